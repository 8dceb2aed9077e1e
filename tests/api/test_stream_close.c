/*
 * The end of a stream: whatever is in flight calls back once before the close callback, a stream
 * may be closed inside each of its callbacks, and finishing and resetting are closes of their own
 * kind.
 */
#include "peers.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LARGE = 8 << 20, DEADLINE_NS = 20000000 };

static int closed;
static int written;
static int last_status;
static bool inside;

static int set_up(void **state)
{
    closed = written = last_status = 0;
    inside = false;
    return loop_set_up(state);
}

#define CLOSE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, loop_tear_down)

static void on_closed(gyre_handle *handle)
{
    assert_false(inside);
    assert_int_equal(gyre_is_closing(handle), 1);
    journal(gyre_handle_name(handle));
    closed++;
}

static void close_stream(gyre_stream *stream)
{
    inside = true;
    gyre_close(&stream->handle, on_closed);
    inside = false;
}

static void on_written(gyre_write_req *req, int status)
{
    assert_false(inside);
    assert_int_equal(closed, 0);
    last_status = status;
    journal(req->data);
    written++;
}

static void never(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)stream;
    (void)nread;
    (void)buf;
    fail();
}

static void never_listen(gyre_stream *listener, int status)
{
    (void)listener;
    (void)status;
    fail();
}

/* A name to write into the journal; nobody changes it. */
static void *word(const char *text)
{
    return gyre_buf_init(text, 0).base;
}

static void queue(gyre_stream *stream, const char *name, size_t len)
{
    gyre_write_req *req = lasting(sizeof(*req));
    const gyre_buf buf = gyre_buf_init(lasting(len), len);

    req->data = word(name);
    assert_int_equal(gyre_write(stream, req, &buf, 1, on_written), 0);
}

static void queue_shutdown(gyre_stream *stream, const char *name)
{
    gyre_write_req *req = lasting(sizeof(*req));

    req->data = word(name);
    assert_int_equal(gyre_shutdown(stream, req, on_written), 0);
}

/* ---- what is in flight ---- */

/* With a receive, a send, queued requests and a shutdown, whatever the kernel has begun. */
static void all_callbacks_come_before_the_close_callback(void **state)
{
    (void)state;
    for (int turns = 0; turns < 4; turns++) {
        int peer;
        gyre_tcp *tcp = tcp_new("closed", &peer);

        closed = written = 0;
        assert_int_equal(gyre_stream_set_deadlines(&tcp->stream, GYRE_SECOND, GYRE_SECOND), 0);
        assert_int_equal(gyre_read_start(&tcp->stream, never), 0);
        queue(&tcp->stream, "first", LARGE);
        queue(&tcp->stream, "second", 1);
        assert_int_equal(gyre_write_copy(&tcp->stream, "x", 1), 0);
        queue_shutdown(&tcp->stream, "shutdown");
        run_turns(turns);
        assert_int_equal(written, 0);
        close_stream(&tcp->stream);
        run_until(&closed, 1);
        assert_journal("first second shutdown closed");
        assert_int_equal(last_status, GYRE_ECANCELED);
    }
}

/* What was sent already is not told to be cancelled. */
static void a_write_that_was_done_keeps_its_result(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("closed", &peer);

    (void)state;
    queue(&tcp->stream, "small", 10);
    close_stream(&tcp->stream);
    run_until(&closed, 1);
    assert_journal("small closed");
    assert_true(last_status == 0 || last_status == GYRE_ECANCELED);
    if (last_status == 0) {
        char bytes[16];

        assert_int_equal(peer_receive(peer, bytes, sizeof(bytes)), 10);
    }
    assert_true(peer_is_at_end(peer));
}

static void close_is_the_end_of_all_calls(void **state)
{
    gyre_write_req req = {0};
    const gyre_buf buf = gyre_buf_init(word("x"), 1);
    int peer;
    gyre_tcp *tcp = tcp_new("closed", &peer);

    (void)state;
    close_stream(&tcp->stream);
    assert_int_equal(gyre_write(&tcp->stream, &req, &buf, 1, on_written), GYRE_EINVAL);
    assert_int_equal(gyre_write_copy(&tcp->stream, "x", 1), GYRE_EINVAL);
    assert_int_equal(gyre_try_write(&tcp->stream, &buf, 1), GYRE_EINVAL);
    assert_int_equal(gyre_shutdown(&tcp->stream, &req, on_written), GYRE_EINVAL);
    assert_int_equal(gyre_read_start(&tcp->stream, never), GYRE_EINVAL);
    assert_int_equal(gyre_listen(&tcp->stream, 0, never_listen), GYRE_EINVAL);
    assert_int_equal(gyre_tcp_set_nodelay(tcp, 1), GYRE_EINVAL);
    assert_int_equal(gyre_tcp_set_keepalive(tcp, 1, 0, 0), GYRE_EINVAL);
    run_until(&closed, 1);
    assert_int_equal(written, 0);
    assert_true(peer_is_at_end(peer));
}

static void a_stream_without_a_socket_closes(void **state)
{
    gyre_tcp *tcp = lasting(sizeof(*tcp));
    gyre_pipe *local = lasting(sizeof(*local));

    (void)state;
    assert_int_equal(gyre_tcp_init(loop, tcp), 0);
    assert_int_equal(gyre_pipe_init(loop, local), 0);
    gyre_handle_set_name(&tcp->handle, "tcp");
    gyre_handle_set_name(&local->handle, "pipe");
    close_stream(&tcp->stream);
    gyre_reset(&local->stream, on_closed);
    run_until(&closed, 2);
    assert_journal("tcp pipe");
}

/* ---- inside each callback ---- */

static void close_in_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)buf;
    journal(nread > 0 ? "bytes" : gyre_errname((int)nread));
    close_stream(stream);
}

static void in_the_read_callback(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("closed", &peer);

    (void)state;
    queue(&tcp->stream, "write", LARGE);
    assert_int_equal(gyre_read_start(&tcp->stream, close_in_read), 0);
    run_turns(2);
    peer_send(peer, "x", 1);
    run_until(&closed, 1);
    assert_journal("bytes write closed");
}

static void in_the_read_callback_at_the_end(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("closed", &peer);

    (void)state;
    assert_int_equal(gyre_read_start(&tcp->stream, close_in_read), 0);
    run_turns(2);
    assert_int_equal(shutdown(peer, SHUT_WR), 0);
    run_until(&closed, 1);
    assert_journal("EOF closed");
}

static void in_the_read_callback_at_the_idle_deadline(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("closed", &peer);

    (void)state;
    assert_int_equal(gyre_stream_set_deadlines(&tcp->stream, DEADLINE_NS, 0), 0);
    assert_int_equal(gyre_read_start(&tcp->stream, close_in_read), 0);
    run_until(&closed, 1);
    assert_journal("ETIMEDOUT closed");
    assert_true(peer_is_at_end(peer));
}

/* The bytes that came after a stop wait for the start, in more than one piece. */
static void stop_then_close(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)nread;
    (void)buf;
    gyre_read_stop(stream);
    assert_int_equal(gyre_read_start(stream, close_in_read), 0);
}

static void in_the_read_callback_with_more_to_come(void **state)
{
    static const char bytes[300000];
    const int room = 1 << 20;
    int peer;
    gyre_pipe *local = pipe_new("closed", &peer);

    (void)state;
    assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
    assert_int_equal(gyre_read_start(&local->stream, stop_then_close), 0);
    run_turns(1);
    peer_send(peer, bytes, sizeof(bytes));
    run_until(&closed, 1);
    assert_journal("bytes closed");
}

static void close_in_write(gyre_write_req *req, int status)
{
    journal(req->data);
    if (!gyre_is_closing(&req->stream->handle))
        close_stream(req->stream);
    else
        assert_int_equal(status, GYRE_ECANCELED);
}

/* A unix socket, because TCP's buffers grow with a peer that reads: they might take "d" as well. */
static void in_the_write_callback(void **state)
{
    static char bytes[LARGE];
    const size_t sizes[] = {1, 1, LARGE, LARGE};
    const char *const names[] = {"a", "b", "c", "d"};
    int peer;
    gyre_pipe *local = pipe_new("closed", &peer);

    (void)state;
    for (int i = 0; i < 4; i++) {
        gyre_write_req *req = lasting(sizeof(*req));
        const gyre_buf buf = gyre_buf_init(bytes, sizes[i]);

        req->data = word(names[i]);
        /* The first two are done together, before the first callback. */
        assert_int_equal(
            gyre_write(&local->stream, req, &buf, 1, i < 2 ? on_written : close_in_write), 0);
        if (i == 1) {
            run_until(&written, 2);
            assert_journal("a b");
        }
    }
    while (closed == 0) {
        (void)peer_receive(peer, bytes, LARGE);
        run_turns(1);
    }
    assert_journal("c d closed");
}

static void in_the_shutdown_callback(void **state)
{
    gyre_write_req req = {0};
    int peer;
    gyre_tcp *tcp = tcp_new("closed", &peer);

    (void)state;
    req.data = word("shutdown");
    assert_int_equal(gyre_read_start(&tcp->stream, never), 0);
    assert_int_equal(gyre_shutdown(&tcp->stream, &req, close_in_write), 0);
    run_until(&closed, 1);
    assert_journal("shutdown closed");
}

static void close_in_drain(gyre_stream *stream, int status)
{
    journal(status == 0 ? "drained" : gyre_errname(status));
    close_stream(stream);
}

static void in_the_drain_callback(void **state)
{
    static char bytes[LARGE];
    int peer;
    gyre_pipe *local = pipe_new("closed", &peer);

    (void)state;
    assert_int_equal(gyre_stream_set_budget(&local->stream, 1000000, 2000000, 0, close_in_drain),
                     0);
    queue(&local->stream, "write", LARGE);
    while (closed == 0) {
        (void)peer_receive(peer, bytes, 100000);
        run_turns(1);
    }
    assert_journal("drained write closed");
    assert_int_equal(last_status, GYRE_ECANCELED);
}

static void never_drain(gyre_stream *stream, int status)
{
    (void)stream;
    (void)status;
    fail();
}

/* The write and the drain callback are due together; the first of them closes. */
static void in_the_write_callback_with_the_queue_drained(void **state)
{
    static char bytes[LARGE];
    gyre_write_req req = {0};
    const gyre_buf buf = gyre_buf_init(bytes, LARGE);
    int peer;
    gyre_pipe *local = pipe_new("closed", &peer);

    (void)state;
    req.data = word("write");
    assert_int_equal(gyre_stream_set_budget(&local->stream, 0, 1000, 0, never_drain), 0);
    assert_int_equal(gyre_write(&local->stream, &req, &buf, 1, close_in_write), 0);
    while (closed == 0) {
        (void)peer_receive(peer, bytes, LARGE);
        run_turns(1);
    }
    assert_journal("write closed");
}

/* The write deadline ends all writes; the first of them to be told closes. */
static void in_the_callback_of_a_write_at_its_deadline(void **state)
{
    gyre_write_req reqs[2] = {{0}};
    const gyre_buf buf = gyre_buf_init(lasting(LARGE), LARGE);
    int peer;
    gyre_tcp *tcp = tcp_new("closed", &peer);

    (void)state;
    assert_int_equal(gyre_stream_set_deadlines(&tcp->stream, 0, DEADLINE_NS), 0);
    reqs[0].data = word("first");
    reqs[1].data = word("second");
    assert_int_equal(gyre_write(&tcp->stream, &reqs[0], &buf, 1, close_in_write), 0);
    assert_int_equal(gyre_write(&tcp->stream, &reqs[1], &buf, 1, on_written), 0);
    run_until(&closed, 1);
    assert_journal("first second closed");
    assert_int_equal(last_status, GYRE_ETIMEDOUT);
}

static void close_in_connect(gyre_connect_req *req, int status)
{
    journal(status == 0 ? "connected" : gyre_errname(status));
    close_stream(req->stream);
}

static void accept_and_close(gyre_stream *listener, int status)
{
    gyre_tcp *client = lasting(sizeof(*client));

    assert_int_equal(status, 0);
    assert_int_equal(gyre_accept(listener, &client->stream), 0);
    gyre_handle_set_name(&client->handle, "client");
    close_stream(&client->stream);
    close_stream(listener);
}

static void in_the_callbacks_of_both_ends_of_a_connection(void **state)
{
    gyre_tcp *listener = listener_new(accept_and_close);
    gyre_tcp *tcp = lasting(sizeof(*tcp));
    gyre_connect_req req = {0};
    gyre_address address;

    (void)state;
    assert_int_equal(gyre_stream_local_address(&listener->stream, &address), 0);
    assert_int_equal(gyre_tcp_init(loop, tcp), 0);
    gyre_handle_set_name(&tcp->handle, "tcp");
    assert_int_equal(gyre_tcp_connect(tcp, &req, &address, GYRE_SECOND, close_in_connect), 0);
    run_until(&closed, 3);
}

static void free_memory(gyre_handle *handle)
{
    free(handle->data);
    closed++;
}

/* ASan would see the library touch them afterwards. */
static void memory_may_be_freed_in_the_close_callback(void **state)
{
    (void)state;
    for (int turns = 0; turns < 3; turns++) {
        gyre_tcp *tcp = calloc(1, sizeof(*tcp));
        int fds[2];

        closed = 0;
        tcp_pair(fds);
        assert_int_equal(gyre_tcp_init(loop, tcp), 0);
        assert_int_equal(gyre_tcp_open(tcp, fds[0]), 0);
        tcp->data = tcp;
        assert_int_equal(gyre_stream_set_deadlines(&tcp->stream, GYRE_SECOND, GYRE_SECOND), 0);
        assert_int_equal(gyre_read_start(&tcp->stream, never), 0);
        assert_int_equal(gyre_write_copy(&tcp->stream, "x", 1), 0);
        run_turns(turns);
        gyre_close(&tcp->handle, free_memory);
        run_until(&closed, 1);
        close(fds[1]);
        run_turns(2);
    }
}

/* ---- finish ---- */

static void finishing_an_idle_stream_closes_it(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("closed", &peer);

    (void)state;
    assert_int_equal(gyre_read_start(&tcp->stream, never), 0);
    run_turns(1);
    inside = true;
    gyre_stream_finish(&tcp->stream, on_closed);
    inside = false;
    peer_send(peer, "x", 1); /* nobody reads any more */
    run_until(&closed, 1);
}

static void finish_may_be_overtaken_by_close(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("closed", &peer);

    (void)state;
    queue(&tcp->stream, "write", LARGE);
    gyre_stream_finish(&tcp->stream, NULL);
    run_turns(3);
    assert_int_equal(gyre_read_start(&tcp->stream, never), GYRE_EINVAL);
    close_stream(&tcp->stream);
    run_until(&closed, 1);
    assert_journal("write closed");
    assert_int_equal(last_status, GYRE_ECANCELED);
}

static void finish_closes_when_the_peer_is_gone(void **state)
{
    const struct linger at_once = {.l_onoff = 1};
    gyre_tcp *tcp = lasting(sizeof(*tcp));
    int fds[2];

    (void)state;
    tcp_pair(fds);
    assert_int_equal(gyre_tcp_init(loop, tcp), 0);
    assert_int_equal(gyre_tcp_open(tcp, fds[0]), 0);
    gyre_handle_set_name(&tcp->handle, "closed");
    queue(&tcp->stream, "write", LARGE);
    gyre_stream_finish(&tcp->stream, on_closed);
    run_turns(2);
    assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    close(fds[1]);
    run_until(&closed, 1);
    assert_journal("write closed");
    assert_true(last_status == GYRE_ECONNRESET || last_status == GYRE_EPIPE);
}

static void finish_closes_at_the_write_deadline(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("closed", &peer);

    (void)state;
    assert_int_equal(gyre_stream_set_deadlines(&tcp->stream, 0, DEADLINE_NS), 0);
    queue(&tcp->stream, "write", LARGE);
    gyre_stream_finish(&tcp->stream, on_closed);
    run_until(&closed, 1);
    assert_journal("write closed");
    assert_int_equal(last_status, GYRE_ETIMEDOUT);
}

static void finish_after_shutdown_waits_for_it(void **state)
{
    static char bytes[LARGE];
    int peer;
    size_t got = 0;
    gyre_tcp *tcp = tcp_new("closed", &peer);

    (void)state;
    queue(&tcp->stream, "write", LARGE);
    queue_shutdown(&tcp->stream, "shutdown");
    gyre_stream_finish(&tcp->stream, on_closed);
    while (closed == 0) {
        got += peer_receive(peer, bytes, LARGE);
        run_turns(1);
    }
    got += peer_receive(peer, bytes, LARGE);
    assert_int_equal(got, LARGE);
    assert_true(peer_is_at_end(peer));
    assert_journal("write shutdown closed");
}

/* ---- reset ---- */

/* Reads all that the peer has. How it ends: 0 for the end of stream, or errno. */
static int peer_end(int peer)
{
    static char bytes[65536];
    ssize_t part;

    while ((part = recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
        continue;
    return part == 0 ? 0 : errno;
}

static void a_reset_drops_what_is_queued(void **state)
{
    (void)state;
    for (int turns = 0; turns < 3; turns++) {
        int peer;
        gyre_tcp *tcp = tcp_new("closed", &peer);

        closed = 0;
        assert_int_equal(gyre_read_start(&tcp->stream, never), 0);
        queue(&tcp->stream, "write", LARGE);
        run_turns(turns);
        gyre_reset(&tcp->stream, on_closed);
        run_until(&closed, 1);
        assert_journal("write closed");
        assert_int_equal(last_status, GYRE_ECANCELED);
        assert_int_equal(peer_end(peer), ECONNRESET);
    }
}

static void a_reset_of_an_idle_stream_is_seen_by_the_peer(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("closed", &peer);

    (void)state;
    assert_int_equal(gyre_read_start(&tcp->stream, never), 0);
    run_turns(2);
    gyre_reset(&tcp->stream, on_closed);
    run_until(&closed, 1);
    assert_true(peer_is_reset(peer));
}

static void a_reset_after_finish_is_a_reset(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("closed", &peer);

    (void)state;
    queue(&tcp->stream, "write", LARGE);
    gyre_stream_finish(&tcp->stream, NULL);
    run_turns(2);
    gyre_reset(&tcp->stream, on_closed);
    run_until(&closed, 1);
    assert_journal("write closed");
    assert_int_equal(peer_end(peer), ECONNRESET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLOSE_TEST(all_callbacks_come_before_the_close_callback),
        CLOSE_TEST(a_write_that_was_done_keeps_its_result),
        CLOSE_TEST(close_is_the_end_of_all_calls),
        CLOSE_TEST(a_stream_without_a_socket_closes),
        CLOSE_TEST(in_the_read_callback),
        CLOSE_TEST(in_the_read_callback_at_the_end),
        CLOSE_TEST(in_the_read_callback_at_the_idle_deadline),
        CLOSE_TEST(in_the_read_callback_with_more_to_come),
        CLOSE_TEST(in_the_write_callback),
        CLOSE_TEST(in_the_shutdown_callback),
        CLOSE_TEST(in_the_drain_callback),
        CLOSE_TEST(in_the_write_callback_with_the_queue_drained),
        CLOSE_TEST(in_the_callback_of_a_write_at_its_deadline),
        CLOSE_TEST(in_the_callbacks_of_both_ends_of_a_connection),
        CLOSE_TEST(memory_may_be_freed_in_the_close_callback),
        CLOSE_TEST(finishing_an_idle_stream_closes_it),
        CLOSE_TEST(finish_may_be_overtaken_by_close),
        CLOSE_TEST(finish_closes_when_the_peer_is_gone),
        CLOSE_TEST(finish_closes_at_the_write_deadline),
        CLOSE_TEST(finish_after_shutdown_waits_for_it),
        CLOSE_TEST(a_reset_drops_what_is_queued),
        CLOSE_TEST(a_reset_of_an_idle_stream_is_seen_by_the_peer),
        CLOSE_TEST(a_reset_after_finish_is_a_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
