/*
 * Writing: every byte arrives once and in order whatever the sizes, every request calls back once
 * and never from inside the call, and an end says what became of it.
 */
#include "peers.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HUGE_BYTES = 8 << 20 };

static int written;
static int failed;
static int last_status;
static int closed;
static bool inside; /* a call into the library that may not call back */

static int set_up(void **state)
{
    written = failed = last_status = closed = 0;
    inside = false;
    return loop_set_up(state);
}

#define WRITE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, loop_tear_down)

static void on_written(gyre_write_req *req, int status)
{
    int *calls = req->data;

    assert_false(inside);
    assert_int_equal(++*calls, 1);
    last_status = status;
    if (status == 0)
        written++;
    else
        failed++;
}

static void on_closed(gyre_handle *handle)
{
    (void)handle;
    closed++;
}

static void read_nothing(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)stream;
    (void)buf;
    assert_true(nread < 0);
}

/* The byte at a place of the stream that the tests send. */
static char byte_at(size_t place)
{
    return (char)(place * 2654435761U >> 13);
}

static char *pattern(size_t len)
{
    char *bytes = lasting(len);

    for (size_t i = 0; i < len; i++)
        bytes[i] = byte_at(i);
    return bytes;
}

/* Requests that count their own calls. */
static gyre_write_req *reqs_new(int count)
{
    gyre_write_req *reqs = lasting((size_t)count * sizeof(*reqs));

    for (int i = 0; i < count; i++)
        reqs[i].data = lasting(sizeof(int));
    return reqs;
}

static int write_inside(gyre_stream *stream, gyre_write_req *req, const gyre_buf *bufs,
                        uint32_t count)
{
    int error;

    inside = true;
    error = gyre_write(stream, req, bufs, count, on_written);
    inside = false;
    return error;
}

/* Reads from the peer while the loop turns, until so many bytes came, and compares them. */
static void expect_pattern(int peer, size_t len)
{
    char *bytes = lasting(len + 1);
    size_t got = 0;

    while (got < len) {
        got += peer_receive(peer, bytes + got, len + 1 - got);
        run_turns(1);
    }
    assert_int_equal(got, len);
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != byte_at(i))
            fail_msg("byte %zu of %zu", i, len);
    }
}

/* ---- sizes ---- */

static void requests_of_all_sizes_arrive_in_order(void **state)
{
    const size_t sizes[] = {0, 1, 2, 63, 4096, 0, 65536, 100, HUGE_BYTES, 1};
    enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };
    gyre_write_req *reqs = reqs_new(COUNT);
    size_t total = 0;
    char *bytes = pattern(HUGE_BYTES + (1 << 20));
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        const gyre_buf buf = gyre_buf_init(bytes + total, sizes[i]);

        assert_int_equal(write_inside(&tcp->stream, &reqs[i], &buf, 1), 0);
        total += sizes[i];
    }
    assert_int_equal(gyre_queued_bytes(&tcp->stream), total);
    expect_pattern(peer, total);
    run_until(&written, COUNT);
    assert_int_equal(gyre_queued_bytes(&tcp->stream), 0);
}

/* More vectors than one call of the kernel takes (IOV_MAX, 1,024), some of them empty. */
static void five_thousand_buffers_are_one_write(void **state)
{
    enum { BUFS = 5000 };
    gyre_buf *bufs = lasting(BUFS * sizeof(*bufs));
    gyre_write_req *req = reqs_new(1);
    char *bytes = pattern((size_t)BUFS * 500);
    size_t total = 0;
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    for (size_t i = 0; i < BUFS; i++) {
        bufs[i] = gyre_buf_init(bytes + total, i % 500);
        total += i % 500;
    }
    assert_int_equal(write_inside(&tcp->stream, req, bufs, BUFS), 0);
    expect_pattern(peer, total);
    run_until(&written, 1);
}

static void writes_of_nothing_call_back(void **state)
{
    gyre_write_req *reqs = reqs_new(3);
    const gyre_buf empty[2] = {{0}};
    int peer;
    char byte;
    gyre_pipe *local = pipe_new("pipe", &peer);

    (void)state;
    assert_int_equal(write_inside(&local->stream, &reqs[0], NULL, 0), 0);
    assert_int_equal(write_inside(&local->stream, &reqs[1], empty, 2), 0);
    assert_int_equal(gyre_write_copy(&local->stream, NULL, 0), 0);
    assert_int_equal(write_inside(&local->stream, &reqs[2], empty, 1), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(written, 3);
    assert_int_equal(recv(peer, &byte, 1, MSG_DONTWAIT), -1);
}

/* ---- the kinds of writing, mixed ---- */

/* Copies, requests and tries in any order, in pieces of all sizes, from inside a read callback. */
static void write_mixed(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    const size_t pieces[] = {7, 100, 1000, 1024, 3000, 5000, 70000, 1, 12, 4000};
    char *bytes = stream->data;
    size_t at = 0;

    (void)buf;
    assert_int_equal(nread, 1);
    for (size_t i = 0; i < 400; i++) {
        const size_t len = pieces[i * 7 % 10];
        const gyre_buf piece = gyre_buf_init(bytes + at, len);
        int64_t sent = 0;

        if (i % 5 == 3) {
            assert_int_equal(write_inside(stream, reqs_new(1), &piece, 1), 0);
        } else {
            if (i % 7 == 5)
                sent = gyre_try_write(stream, &piece, 1);
            if (sent == GYRE_EAGAIN)
                sent = 0;
            assert_true(sent >= 0);
            assert_int_equal(gyre_write_copy(stream, bytes + at + sent, len - (size_t)sent), 0);
        }
        at += len;
    }
    failed = (int)at; /* how many bytes it was */
}

static void all_kinds_of_writes_keep_their_order(void **state)
{
    char *bytes = pattern(16 << 20);
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    tcp->data = bytes;
    assert_int_equal(gyre_read_start(&tcp->stream, write_mixed), 0);
    peer_send(peer, "x", 1);
    while (failed == 0)
        run_turns(1);
    expect_pattern(peer, (size_t)failed);
}

/* What a read callback copies goes out in one piece, and without a further callback. */
static void copy_twice(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    char copy[] = "gyreloop";

    (void)buf;
    assert_int_equal(nread, 1);
    assert_int_equal(gyre_write_copy(stream, copy, 4), 0);
    memset(copy, 0, 4);
    assert_int_equal(gyre_write_copy(stream, copy + 4, 4), 0);
    memset(copy, 0, sizeof(copy));
    assert_int_equal(gyre_queued_bytes(stream), 8);
    written++;
}

static void what_a_read_callback_copies_is_sent_when_it_returns(void **state)
{
    char bytes[16];
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    assert_int_equal(gyre_read_start(&tcp->stream, copy_twice), 0);
    peer_send(peer, "x", 1);
    run_until(&written, 1);
    assert_int_equal(gyre_queued_bytes(&tcp->stream), 0);
    assert_int_equal(peer_receive(peer, bytes, sizeof(bytes)), 8);
    assert_memory_equal(bytes, "gyreloop", 8);
}

enum { END_CLOSE, END_FINISH, END_SHUTDOWN, END_RESET, END_WAYS };

static void copy_and_end(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    const int *way = stream->data;

    (void)buf;
    if (nread < 0)
        return;
    assert_int_equal(gyre_write_copy(stream, "bye", 3), 0);
    switch (*way) {
    case END_CLOSE: gyre_close(&stream->handle, on_closed); break;
    case END_FINISH: gyre_stream_finish(stream, on_closed); break;
    case END_RESET: gyre_reset(stream, on_closed); break;
    default: assert_int_equal(gyre_shutdown(stream, reqs_new(1), on_written), 0); break;
    }
}

static void what_was_copied_before_an_end_arrives_before_it(void **state)
{
    (void)state;
    for (int way = 0; way < END_WAYS; way++) {
        char bytes[8];
        int peer;
        gyre_tcp *tcp = tcp_new("tcp", &peer);

        closed = written = 0;
        tcp->data = &way;
        assert_int_equal(gyre_read_start(&tcp->stream, copy_and_end), 0);
        peer_send(peer, "x", 1);
        run_until(way == END_SHUTDOWN ? &written : &closed, 1);
        if (way == END_RESET) {
            assert_true(peer_is_reset(peer));
            continue;
        }
        assert_int_equal(peer_receive(peer, bytes, sizeof(bytes)), 3);
        assert_memory_equal(bytes, "bye", 3);
        assert_true(peer_is_at_end(peer));
    }
}

/* Nothing was read yet: the loop has not even turned. */
static void a_copy_before_the_first_turn_is_sent(void **state)
{
    char bytes[8];
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    assert_int_equal(gyre_write_copy(&tcp->stream, "hello", 5), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(peer_receive(peer, bytes, sizeof(bytes)), 5);
}

static void a_copy_larger_than_the_socket_waits_for_room(void **state)
{
    char *bytes = pattern(HUGE_BYTES);
    int peer;
    gyre_pipe *local = pipe_new("pipe", &peer);

    (void)state;
    assert_int_equal(gyre_write_copy(&local->stream, bytes, HUGE_BYTES), 0);
    memset(bytes, 0, HUGE_BYTES);
    assert_in_range(gyre_queued_bytes(&local->stream), 1, HUGE_BYTES);
    expect_pattern(peer, HUGE_BYTES);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
}

static struct {
    char *bytes;
    size_t at;
} copied;

/* Two copies of each length, made in one callback; what was copied is the caller's to change. */
static void copy_more(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    const size_t sizes[] = {1, 3071, 3072, 4096, 8191, 8192, 8193, 12000};
    const size_t len = sizes[copied.at / 7 % (sizeof(sizes) / sizeof(sizes[0]))];

    (void)nread;
    (void)buf;
    for (int i = 0; i < 2 && copied.at + len <= HUGE_BYTES; i++) {
        assert_int_equal(gyre_write_copy(stream, copied.bytes + copied.at, len), 0);
        memset(copied.bytes + copied.at, 0, len);
        copied.at += len;
    }
}

/* The peer does not read before the socket is full: some go at once, some in part, some wait. */
static void copies_of_all_sizes_arrive_in_order(void **state)
{
    int peer;
    gyre_pipe *local = pipe_new("pipe", &peer);

    (void)state;
    copied.bytes = pattern(HUGE_BYTES);
    copied.at = 0;
    assert_int_equal(gyre_read_start(&local->stream, copy_more), 0);
    for (size_t before = 1; before != copied.at;) {
        before = copied.at;
        peer_send(peer, "x", 1);
        run_turns(2);
    }
    assert_in_range(copied.at, HUGE_BYTES / 2, HUGE_BYTES);
    assert_in_range(gyre_queued_bytes(&local->stream), 1, HUGE_BYTES);
    expect_pattern(peer, copied.at);
    assert_int_equal(gyre_queued_bytes(&local->stream), 0);
    gyre_read_stop(&local->stream);
}

static void try_write_never_queues(void **state)
{
    char *bytes = pattern(HUGE_BYTES);
    const gyre_buf buf = gyre_buf_init(bytes, HUGE_BYTES);
    int peer;
    gyre_pipe *local = pipe_new("pipe", &peer);
    int64_t sent = gyre_try_write(&local->stream, &buf, 1);

    (void)state;
    assert_in_range(sent, 1, HUGE_BYTES - 1);
    assert_int_equal(gyre_queued_bytes(&local->stream), 0);
    assert_int_equal(gyre_try_write(&local->stream, &buf, 1), GYRE_EAGAIN);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    expect_pattern(peer, (size_t)sent);
}

/* ---- ends ---- */

static void shutdown_comes_after_what_is_queued(void **state)
{
    gyre_write_req *reqs = reqs_new(2);
    const gyre_buf buf = gyre_buf_init(pattern(HUGE_BYTES), HUGE_BYTES);
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    assert_int_equal(write_inside(&tcp->stream, &reqs[0], &buf, 1), 0);
    assert_int_equal(gyre_shutdown(&tcp->stream, &reqs[1], on_written), 0);
    assert_int_equal(gyre_shutdown(&tcp->stream, &reqs[1], on_written), GYRE_ESHUTDOWN);
    assert_int_equal(gyre_write_copy(&tcp->stream, "x", 1), GYRE_ESHUTDOWN);
    run_turns(3);
    assert_int_equal(written, 0);
    expect_pattern(peer, HUGE_BYTES);
    run_until(&written, 2);
    assert_true(peer_is_at_end(peer));
    /* The other half still works. */
    assert_int_equal(gyre_read_start(&tcp->stream, read_nothing), 0);
}

static void finish_sends_what_is_queued_and_closes(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    assert_int_equal(gyre_write_copy(&tcp->stream, pattern(HUGE_BYTES), HUGE_BYTES), 0);
    gyre_stream_finish(&tcp->stream, on_closed);
    assert_int_equal(gyre_write_copy(&tcp->stream, "x", 1), GYRE_ESHUTDOWN);
    run_turns(3);
    assert_int_equal(closed, 0);
    expect_pattern(peer, HUGE_BYTES);
    run_until(&closed, 1);
    assert_true(peer_is_at_end(peer));
}

static void close_cancels_what_is_queued(void **state)
{
    enum { COUNT = 20 };
    gyre_write_req *reqs = reqs_new(COUNT);
    const gyre_buf buf = gyre_buf_init(pattern(1 << 19), 1 << 19);
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(write_inside(&tcp->stream, &reqs[i], &buf, 1), 0);
    }
    run_turns(3);
    inside = true;
    gyre_close(&tcp->handle, on_closed);
    inside = false;
    run_until(&closed, 1);
    assert_int_equal(written + failed, COUNT);
    assert_int_equal(last_status, GYRE_ECANCELED);
    assert_int_equal(gyre_write_copy(&tcp->stream, "x", 1), GYRE_EINVAL);
}

/* SIGPIPE would kill the test. */
static void a_peer_that_is_gone_is_an_error_of_the_write(void **state)
{
    gyre_write_req *reqs = reqs_new(2);
    const gyre_buf buf = gyre_buf_init("x", 1);
    gyre_pipe *local = lasting(sizeof(*local));
    int fds[2];

    (void)state;
    unix_pair(fds);
    assert_int_equal(gyre_pipe_init(loop, local), 0);
    assert_int_equal(gyre_pipe_open(local, fds[0]), 0);
    close(fds[1]);
    assert_int_equal(write_inside(&local->stream, &reqs[0], &buf, 1), 0);
    assert_int_equal(write_inside(&local->stream, &reqs[1], &buf, 1), 0);
    run_until(&failed, 2);
    assert_int_equal(last_status, GYRE_EPIPE);
    assert_int_equal(gyre_write_copy(&local->stream, "x", 1), GYRE_EPIPE);
    assert_int_equal(gyre_try_write(&local->stream, &buf, 1), GYRE_EPIPE);
}

static void a_stream_that_is_not_connected_cannot_be_written(void **state)
{
    gyre_write_req *req = reqs_new(1);
    const gyre_buf buf = gyre_buf_init("x", 1);
    gyre_tcp *tcp = lasting(sizeof(*tcp));

    (void)state;
    assert_int_equal(gyre_tcp_init(loop, tcp), 0);
    assert_int_equal(gyre_write(&tcp->stream, req, &buf, 1, on_written), GYRE_ENOTCONN);
    assert_int_equal(gyre_write_copy(&tcp->stream, "x", 1), GYRE_ENOTCONN);
    assert_int_equal(gyre_try_write(&tcp->stream, &buf, 1), GYRE_ENOTCONN);
    assert_int_equal(gyre_shutdown(&tcp->stream, req, on_written), GYRE_ENOTCONN);
    assert_int_equal(gyre_read_start(&tcp->stream, read_nothing), GYRE_ENOTCONN);
    run_turns(1);
    assert_int_equal(written + failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WRITE_TEST(requests_of_all_sizes_arrive_in_order),
        WRITE_TEST(five_thousand_buffers_are_one_write),
        WRITE_TEST(writes_of_nothing_call_back),
        WRITE_TEST(all_kinds_of_writes_keep_their_order),
        WRITE_TEST(what_a_read_callback_copies_is_sent_when_it_returns),
        WRITE_TEST(what_was_copied_before_an_end_arrives_before_it),
        WRITE_TEST(a_copy_before_the_first_turn_is_sent),
        WRITE_TEST(a_copy_larger_than_the_socket_waits_for_room),
        WRITE_TEST(copies_of_all_sizes_arrive_in_order),
        WRITE_TEST(try_write_never_queues),
        WRITE_TEST(shutdown_comes_after_what_is_queued),
        WRITE_TEST(finish_sends_what_is_queued_and_closes),
        WRITE_TEST(close_cancels_what_is_queued),
        WRITE_TEST(a_peer_that_is_gone_is_an_error_of_the_write),
        WRITE_TEST(a_stream_that_is_not_connected_cannot_be_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
