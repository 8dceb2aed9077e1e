/*
 * Bugs that event loops have had, each as a test: events for what is closed already, ends of
 * streams that come with bytes, resets that nobody reads, and one connection that starves others.
 */
#include "peers.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static int reads;
static int ends;
static int closes;
static int64_t last_nread;
static size_t read_bytes;

static void count_close(gyre_handle *handle)
{
    (void)handle;
    closes++;
}

static void count_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)stream;
    last_nread = nread;
    assert_true((nread > 0) == (buf != NULL));
    read_bytes += buf != NULL ? buf->len : 0;
    if (nread > 0)
        reads++;
    else
        ends++;
}

static int set_up(void **state)
{
    reads = ends = closes = 0;
    last_nread = 0;
    read_bytes = 0;
    return loop_set_up(state);
}

#define STREAM_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, loop_tear_down)

/* ---- one batch ---- */

enum { SIBLINGS = 8 };

static gyre_tcp *siblings[SIBLINGS];

static void close_all(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)stream;
    (void)buf;
    assert_true(nread > 0);
    reads++;
    for (int i = 0; i < SIBLINGS; i++)
        gyre_close(&siblings[i]->handle, count_close);
}

static void a_callback_closes_the_other_handles_of_its_batch(void **state)
{
    int peers[SIBLINGS];

    (void)state;
    for (int i = 0; i < SIBLINGS; i++) {
        siblings[i] = tcp_new("sibling", &peers[i]);
        assert_int_equal(gyre_read_start(&siblings[i]->stream, close_all), 0);
    }
    run_turns(1);
    for (int i = 0; i < SIBLINGS; i++)
        peer_send(peers[i], "x", 1);
    run_until(&closes, SIBLINGS);
    assert_int_equal(reads, 1);
}

/* Closes the sibling's descriptor, whose number the kernel gives out next, and watches that. */
static void replace_sibling(gyre_poll *watcher, int status, uint32_t events)
{
    gyre_poll *other = watcher->data;
    gyre_poll *fresh = lasting(sizeof(*fresh));
    const int number = other->fd;
    int fds[2];

    assert_int_equal(status, 0);
    assert_int_equal(events, GYRE_POLL_IN);
    reads++;
    gyre_poll_stop(watcher);
    gyre_poll_stop(other);
    gyre_close(&other->handle, count_close);
    close(number);
    unix_pair(fds);
    assert_true(fds[0] == number || fds[1] == number);
    lasting_fd(fds[0]);
    lasting_fd(fds[1]);
    assert_int_equal(gyre_poll_init(loop, fresh, number), 0);
    assert_int_equal(gyre_poll_start(fresh, GYRE_POLL_IN, replace_sibling), 0);
}

static void a_descriptor_number_that_is_used_anew_gets_no_stale_event(void **state)
{
    gyre_poll *watchers[2];
    int peers[2];

    (void)state;
    for (int i = 0; i < 2; i++) {
        int fds[2];

        unix_pair(fds); /* one of them is closed by the callback, the other at exit */
        peers[i] = lasting_fd(fds[1]);
        watchers[i] = lasting(sizeof(gyre_poll));
        assert_int_equal(gyre_poll_init(loop, watchers[i], fds[0]), 0);
        assert_int_equal(gyre_poll_start(watchers[i], GYRE_POLL_IN, replace_sibling), 0);
    }
    watchers[0]->data = watchers[1];
    watchers[1]->data = watchers[0];
    run_turns(1);
    peer_send(peers[0], "x", 1);
    peer_send(peers[1], "x", 1);
    run_until(&closes, 1);
    run_turns(5);
    assert_int_equal(reads, 1);
}

static gyre_pipe *fresh_streams[2 * SIBLINGS];
static int fresh_peers[2 * SIBLINGS];
static int fresh;

/* The first closes half of its siblings; the others make streams, whose numbers were theirs. */
static void close_half_or_replace(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)stream;
    (void)buf;
    assert_int_equal(nread, 1);
    if (reads++ == 0) {
        for (int i = 0; i < SIBLINGS; i++) {
            if (&siblings[i]->stream != stream && i % 2 == 0)
                gyre_close(&siblings[i]->handle, count_close);
        }
        return;
    }
    fresh_streams[fresh] = pipe_new("fresh", &fresh_peers[fresh]);
    assert_int_equal(gyre_read_start(&fresh_streams[fresh]->stream, count_read), 0);
    fresh++;
}

static void a_streams_number_that_is_used_anew_gets_no_stale_event(void **state)
{
    int peers[SIBLINGS];

    (void)state;
    fresh = 0;
    for (int i = 0; i < SIBLINGS; i++) {
        int fds[2];

        tcp_pair(fds);
        peers[i] = lasting_fd(fds[1]);
        siblings[i] = lasting(sizeof(gyre_tcp));
        assert_int_equal(gyre_tcp_init(loop, siblings[i]), 0);
        assert_int_equal(gyre_tcp_open(siblings[i], fds[0]), 0);
        assert_int_equal(gyre_read_start(&siblings[i]->stream, close_half_or_replace), 0);
    }
    run_turns(1);
    for (int i = 0; i < SIBLINGS; i++)
        peer_send(peers[i], "x", 1);
    while (closes < SIBLINGS / 2 - 1 || fresh < SIBLINGS / 2 - 1)
        assert_true(gyre_loop_run(loop, GYRE_RUN_ONCE) >= 0);
    run_turns(5);
    assert_int_equal(ends, 0);
    assert_int_equal(reads, 1 + fresh);
    for (int i = 0; i < fresh; i++)
        peer_send(fresh_peers[i], "x", 1);
    run_until(&reads, 1 + 2 * fresh);
}

static void close_now(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)nread;
    (void)buf;
    reads++;
    gyre_close(&stream->handle, count_close);
}

static void count_write(gyre_write_req *req, int status)
{
    int *count = req->data;

    assert_true(status < 0);
    *count += 1;
}

static void close_in_the_read_callback_with_in_out_and_error_pending(void **state)
{
    static char bytes[4 << 20];
    const struct linger at_once = {.l_onoff = 1};
    gyre_write_req req = {0};
    gyre_tcp *tcp;
    int fds[2];
    int written = 0;
    const gyre_buf buf = gyre_buf_init(bytes, sizeof(bytes));

    (void)state;
    tcp_pair(fds);
    tcp = lasting(sizeof(*tcp));
    assert_int_equal(gyre_tcp_init(loop, tcp), 0);
    assert_int_equal(gyre_tcp_open(tcp, fds[0]), 0);
    req.data = &written;
    assert_int_equal(gyre_read_start(&tcp->stream, close_now), 0);
    assert_int_equal(gyre_write(&tcp->stream, &req, &buf, 1, count_write), 0);
    run_turns(2);
    peer_send(fds[1], "x", 1);
    assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    close(fds[1]);
    run_until(&closes, 1);
    assert_int_equal(reads, 1);
    assert_int_equal(written, 1);
}

/* ---- ends ---- */

static gyre_stream *stream_new(bool tcp, int *peer)
{
    return tcp ? &tcp_new("tcp", peer)->stream : &pipe_new("pipe", peer)->stream;
}

static void send_bytes_and_the_end(bool tcp, size_t count)
{
    static const char bytes[131072];
    const int room = 1 << 20;
    int peer;
    gyre_stream *stream = stream_new(tcp, &peer);

    ends = 0;
    read_bytes = 0;
    assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
    assert_int_equal(gyre_read_start(stream, count_read), 0);
    run_turns(1);
    peer_send(peer, bytes, count);
    assert_int_equal(shutdown(peer, SHUT_WR), 0);
    run_until(&ends, 1);
    assert_int_equal(last_nread, GYRE_EOF);
    assert_int_equal(read_bytes, count);
}

/* The end of stream stands right behind as many bytes as one buffer holds. */
static void a_fin_behind_exactly_one_buffer_is_seen(void **state)
{
    const size_t sizes[] = {1, 4096, 16384, 65536, 131072, 65535, 65537};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        send_bytes_and_the_end(false, sizes[i]);
        send_bytes_and_the_end(true, sizes[i]);
    }
}

static void the_end_comes_once_and_reading_is_over(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    assert_int_equal(gyre_read_start(&tcp->stream, count_read), 0);
    assert_int_equal(shutdown(peer, SHUT_WR), 0);
    run_until(&ends, 1);
    run_turns(3);
    assert_int_equal(ends, 1);
    assert_int_equal(gyre_read_start(&tcp->stream, count_read), GYRE_EOF);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
}

static void close_with_a_receive_in_flight_gives_the_peer_its_end(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);
    uint64_t began;

    (void)state;
    assert_int_equal(gyre_read_start(&tcp->stream, count_read), 0);
    run_turns(2);
    began = clock_ns();
    gyre_close(&tcp->handle, count_close);
    run_until(&closes, 1);
    assert_true(peer_is_at_end(peer));
    assert_true(clock_ns() - began < 50 * GYRE_MILLISECOND * slowness());
    assert_int_equal(reads + ends, 0);
}

static uint64_t processor_ns(void)
{
    struct rusage usage;

    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * GYRE_SECOND +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

static void stop_loop(gyre_timer *timer)
{
    (void)timer;
    gyre_loop_stop(loop);
}

/* Turns in a wait of 100 ms: a loop that spins makes thousands. */
static void a_reset_while_reads_are_stopped_does_not_spin(void **state)
{
    const struct linger at_once = {.l_onoff = 1};
    gyre_timer *timer = timer_new("timer");
    gyre_tcp *tcp;
    uint64_t before;
    int fds[2];

    (void)state;
    tcp_pair(fds);
    tcp = lasting(sizeof(*tcp));
    assert_int_equal(gyre_tcp_init(loop, tcp), 0);
    assert_int_equal(gyre_tcp_open(tcp, fds[0]), 0);
    assert_int_equal(gyre_read_start(&tcp->stream, count_read), 0);
    run_turns(1);
    gyre_read_stop(&tcp->stream);
    run_turns(1);
    assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    close(fds[1]);
    gyre_timer_start(timer, 100 * GYRE_MILLISECOND, 0, stop_loop);
    before = processor_ns();
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_true(processor_ns() - before < 50 * GYRE_MILLISECOND);
    assert_int_equal(ends, 0);
    /* It is told when somebody asks. */
    assert_int_equal(gyre_read_start(&tcp->stream, count_read), 0);
    run_until(&ends, 1);
    assert_int_equal(last_nread, GYRE_ECONNRESET);
}

static void what_arrives_after_read_stop_is_not_lost(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    assert_int_equal(gyre_read_start(&tcp->stream, count_read), 0);
    run_turns(2);
    peer_send(peer, "late", 4);
    gyre_read_stop(&tcp->stream);
    run_turns(4);
    assert_int_equal(reads, 0);
    assert_int_equal(gyre_read_start(&tcp->stream, count_read), 0);
    run_until(&reads, 1);
    assert_int_equal(last_nread, 4);
}

static void stop_and_start(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)buf;
    reads += (int)nread;
    gyre_read_stop(stream);
    assert_int_equal(gyre_read_start(stream, stop_and_start), 0);
}

static void read_stop_and_start_in_the_callback_lose_nothing(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    assert_int_equal(gyre_read_start(&tcp->stream, stop_and_start), 0);
    for (int i = 1; i <= 100; i++) {
        peer_send(peer, "0123456789", 10);
        run_until(&reads, 10 * i);
    }
}

/* ---- turns inside a read callback ---- */

/* More than the loop has buffers, so that some have to wait for one. */
enum { NESTED = 12, NESTED_BYTES = 10000 };

static int inside;
static int deepest;

static void assert_all_are(const gyre_buf *buf, char byte)
{
    for (size_t i = 0; i < buf->len; i++)
        assert_int_equal(buf->base[i], byte);
}

static void run_turns_inside(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    const char *byte = stream->data;

    assert_true(nread > 0);
    read_bytes += (size_t)nread;
    if (++inside > deepest)
        deepest = inside;
    assert_all_are(buf, *byte);
    run_turns(2);
    assert_all_are(buf, *byte);
    inside--;
}

static void a_read_callback_that_runs_turns_keeps_its_bytes(void **state)
{
    char bytes[NESTED_BYTES];
    char letters[NESTED];
    int peers[NESTED];

    (void)state;
    deepest = 0;
    for (int i = 0; i < NESTED; i++) {
        gyre_stream *stream = stream_new(i % 2 == 0, &peers[i]);

        letters[i] = (char)('a' + i);
        stream->data = &letters[i];
        assert_int_equal(gyre_read_start(stream, run_turns_inside), 0);
    }
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < NESTED; i++) {
            memset(bytes, letters[i], sizeof(bytes));
            peer_send(peers[i], bytes, sizeof(bytes));
        }
        while (read_bytes < (size_t)round * NESTED * NESTED_BYTES)
            run_turns(1);
    }
    assert_int_equal(read_bytes, 3 * NESTED * NESTED_BYTES);
    assert_int_equal(inside, 0);
    assert_true(deepest >= 2);
}

/* ---- fairness and depth ---- */

enum { QUIET = 100 };

static int quiet_reads;

static void count_quiet(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)stream;
    (void)buf;
    assert_int_equal(nread, 1);
    quiet_reads++;
}

/* Each time that it is heard the firehose has more, as a sender on a fast line does. */
static void refill(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    static const char bytes[65536];
    const int *peer = stream->data;

    (void)buf;
    assert_true(nread > 0);
    reads++;
    while (send(*peer, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
        continue;
}

static void a_firehose_does_not_starve_a_hundred_others(void **state)
{
    static const char bytes[65536];
    int firehose;
    int peers[QUIET];
    gyre_tcp *loud = tcp_new("loud", &firehose);

    (void)state;
    quiet_reads = 0;
    loud->data = &firehose;
    assert_int_equal(gyre_read_start(&loud->stream, refill), 0);
    for (int i = 0; i < QUIET; i++)
        assert_int_equal(gyre_read_start(&tcp_new("quiet", &peers[i])->stream, count_quiet), 0);
    run_turns(1);
    while (send(firehose, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
        continue;
    for (int i = 0; i < QUIET; i++)
        peer_send(peers[i], "x", 1);
    /* All were ready before the first turn: a few of them serve everybody. */
    run_turns(10);
    assert_int_equal(quiet_reads, QUIET);
    assert_in_range(reads, 1, 400);
}

enum { CHAIN = 1000000 };

static const char *stack_begin;
static ptrdiff_t stack_most;
static int chained;

static void write_again(gyre_write_req *req, int status)
{
    /* not the address of a local: ASan keeps these elsewhere */
    ptrdiff_t depth = stack_begin - (const char *)__builtin_frame_address(0);

    assert_int_equal(status, 0);
    if (depth < 0)
        depth = -depth;
    if (depth > stack_most)
        stack_most = depth;
    if (++chained < CHAIN)
        assert_int_equal(gyre_write(req->stream, req, NULL, 0, write_again), 0);
}

static void a_million_completions_chained_from_callbacks_keep_the_stack_flat(void **state)
{
    gyre_write_req req = {0};
    int peer;
    gyre_pipe *local = pipe_new("pipe", &peer);

    (void)state;
    stack_begin = __builtin_frame_address(0);
    stack_most = chained = 0;
    assert_int_equal(gyre_write(&local->stream, &req, NULL, 0, write_again), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(chained, CHAIN);
    assert_in_range(stack_most, 1, 16384);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STREAM_TEST(a_callback_closes_the_other_handles_of_its_batch),
        STREAM_TEST(a_descriptor_number_that_is_used_anew_gets_no_stale_event),
        STREAM_TEST(a_streams_number_that_is_used_anew_gets_no_stale_event),
        STREAM_TEST(close_in_the_read_callback_with_in_out_and_error_pending),
        STREAM_TEST(a_fin_behind_exactly_one_buffer_is_seen),
        STREAM_TEST(the_end_comes_once_and_reading_is_over),
        STREAM_TEST(close_with_a_receive_in_flight_gives_the_peer_its_end),
        STREAM_TEST(a_reset_while_reads_are_stopped_does_not_spin),
        STREAM_TEST(what_arrives_after_read_stop_is_not_lost),
        STREAM_TEST(read_stop_and_start_in_the_callback_lose_nothing),
        STREAM_TEST(a_read_callback_that_runs_turns_keeps_its_bytes),
        STREAM_TEST(a_firehose_does_not_starve_a_hundred_others),
        STREAM_TEST(a_million_completions_chained_from_callbacks_keep_the_stack_flat),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
