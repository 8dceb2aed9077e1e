/*
 * What bounds a stream: deadlines that pass neither early nor while bytes move, and the byte budget
 * of the write queue with its marks and its cap.
 */
#include "peers.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define DEADLINE_NS (40 * GYRE_MILLISECOND)

static int reads;
static int timeouts;
static int written;
static int write_timeouts;
static int drained;
static int drain_error;
static uint64_t timed_out_ns;
static uint64_t write_timed_out_ns;

static int set_up(void **state)
{
    reads = timeouts = written = write_timeouts = drained = drain_error = 0;
    return loop_set_up(state);
}

#define LIMIT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, loop_tear_down)

static void on_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)stream;
    (void)buf;
    if (nread > 0) {
        reads++;
        return;
    }
    assert_int_equal(nread, GYRE_ETIMEDOUT);
    timed_out_ns = clock_ns();
    timeouts++;
}

static void on_written(gyre_write_req *req, int status)
{
    (void)req;
    if (status == 0)
        written++;
    if (status != GYRE_ETIMEDOUT)
        return;
    write_timed_out_ns = clock_ns();
    write_timeouts++;
}

static void on_drain(gyre_stream *stream, int status)
{
    (void)stream;
    if (status == 0)
        drained++;
    else
        drain_error = status;
}

static void write_bytes(gyre_stream *stream, size_t len)
{
    const gyre_buf buf = gyre_buf_init(lasting(len), len);

    assert_int_equal(gyre_write(stream, lasting(sizeof(gyre_write_req)), &buf, 1, on_written), 0);
}

static void count_tick(gyre_timer *timer)
{
    int *ticks = timer->data;

    *ticks += 1;
}

/* ---- deadlines ---- */

static void an_idle_stream_is_told_and_not_early(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);
    uint64_t began;

    (void)state;
    assert_int_equal(gyre_read_start(&tcp->stream, on_read), 0);
    began = clock_ns();
    assert_int_equal(gyre_stream_set_deadlines(&tcp->stream, DEADLINE_NS, 0), 0);
    run_until(&timeouts, 1);
    assert_true(timed_out_ns - began >= DEADLINE_NS);
    /* It is over once; the stream can go on if its user wants. */
    peer_send(peer, "x", 1);
    assert_int_equal(gyre_read_start(&tcp->stream, on_read), 0);
    run_until(&reads, 1);
}

/* Each byte, in either direction, gives the stream its whole time again. */
static void bytes_put_an_idle_deadline_off(void **state)
{
    gyre_timer *timer = timer_new("timer");
    int ticks = 0;
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);
    uint64_t last = 0;

    (void)state;
    timer->data = &ticks;
    assert_int_equal(gyre_stream_set_deadlines(&tcp->stream, DEADLINE_NS, 0), 0);
    assert_int_equal(gyre_read_start(&tcp->stream, on_read), 0);
    gyre_timer_start(timer, DEADLINE_NS / 2, DEADLINE_NS / 2, count_tick);
    for (int i = 1; i <= 8; i++) {
        run_until(&ticks, i);
        if (timeouts > 0)
            break; /* the machine stood still for longer than the deadline */
        last = clock_ns();
        if (i % 2 == 0)
            peer_send(peer, "x", 1);
        else
            assert_int_equal(gyre_write_copy(&tcp->stream, "x", 1), 0);
        run_turns(1);
    }
    gyre_timer_stop(timer);
    if (timeouts == 0)
        run_until(&timeouts, 1);
    assert_true(timed_out_ns - last >= DEADLINE_NS);
}

static void an_idle_deadline_can_be_taken_back(void **state)
{
    gyre_timer *timer = timer_new("timer");
    int ticks = 0;
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    timer->data = &ticks;
    assert_int_equal(gyre_read_start(&tcp->stream, on_read), 0);
    assert_int_equal(gyre_stream_set_deadlines(&tcp->stream, DEADLINE_NS, 0), 0);
    run_turns(1);
    assert_int_equal(gyre_stream_set_deadlines(&tcp->stream, 0, 0), 0);
    gyre_timer_start(timer, 2 * DEADLINE_NS, 0, count_tick);
    run_until(&ticks, 1);
    assert_int_equal(timeouts, 0);
}

/* The peer does not read: all requests end, and the stream is broken. */
static void a_write_that_makes_no_progress_ends(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);
    const uint64_t began = clock_ns();

    (void)state;
    assert_int_equal(gyre_stream_set_deadlines(&tcp->stream, 0, DEADLINE_NS), 0);
    write_bytes(&tcp->stream, 10 * MIB);
    write_bytes(&tcp->stream, 1);
    run_until(&write_timeouts, 2);
    assert_true(clock_ns() - began >= DEADLINE_NS);
    assert_int_equal(gyre_queued_bytes(&tcp->stream), 0);
    assert_int_equal(gyre_write_copy(&tcp->stream, "x", 1), GYRE_ETIMEDOUT);
}

/* Runs until the timer has ticked so often, or a write came to its deadline. */
static void run_ticks(const int *ticks, int goal)
{
    while (*ticks < goal && write_timeouts == 0)
        assert_true(gyre_loop_run(loop, GYRE_RUN_ONCE) >= 0);
}

/* The peer reads what there is, and the queue moves: its time begins anew. */
static void a_write_that_makes_progress_goes_on(void **state)
{
    char *bytes = lasting(MIB);
    gyre_timer *timer = timer_new("timer");
    int ticks = 0;
    int peer;
    gyre_pipe *local = pipe_new("pipe", &peer);
    uint64_t last = clock_ns();

    (void)state;
    timer->data = &ticks;
    assert_int_equal(gyre_stream_set_deadlines(&local->stream, 0, DEADLINE_NS), 0);
    write_bytes(&local->stream, 64 * MIB);
    gyre_timer_start(timer, DEADLINE_NS / 2, DEADLINE_NS / 2, count_tick);
    for (int i = 1; i <= 8 && write_timeouts == 0; i++) {
        run_ticks(&ticks, i);
        /* Failed, and perhaps not called back yet: the machine stood still for that long. */
        if (gyre_queued_bytes(&local->stream) == 0)
            break;
        last = clock_ns();
        assert_true(peer_receive(peer, bytes, MIB) > 0);
        run_turns(1);
    }
    gyre_timer_stop(timer);
    if (write_timeouts == 0)
        run_until(&write_timeouts, 1);
    assert_true(write_timed_out_ns - last >= DEADLINE_NS);
}

/* A peer that sends, and does not read, comes to the deadline like one that is silent. */
static void received_bytes_put_no_write_deadline_off(void **state)
{
    gyre_timer *timer = timer_new("timer");
    int ticks = 0;
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    timer->data = &ticks;
    assert_int_equal(gyre_stream_set_deadlines(&tcp->stream, 0, 10 * DEADLINE_NS), 0);
    assert_int_equal(gyre_read_start(&tcp->stream, on_read), 0);
    write_bytes(&tcp->stream, 10 * MIB);
    gyre_timer_start(timer, DEADLINE_NS / 4, DEADLINE_NS / 4, count_tick);
    for (int i = 1; i <= 120 && write_timeouts == 0; i++) {
        peer_send(peer, "x", 1);
        run_ticks(&ticks, i);
    }
    assert_true(reads > 0);
    assert_int_equal(write_timeouts, 1);
}

/* A deadline that never comes is as good as none, also beside one that does. */
static void an_endless_write_deadline_leaves_the_idle_one(void **state)
{
    gyre_timer *timer = timer_new("timer");
    int ticks = 0;
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    timer->data = &ticks;
    assert_int_equal(gyre_stream_set_deadlines(&tcp->stream, DEADLINE_NS, UINT64_MAX), 0);
    assert_int_equal(gyre_read_start(&tcp->stream, on_read), 0);
    write_bytes(&tcp->stream, 10 * MIB);
    gyre_timer_start(timer, 4 * DEADLINE_NS, 0, count_tick);
    run_until(&ticks, 1);
    assert_int_equal(timeouts, 1);
    assert_int_equal(write_timeouts, 0);
}

static void deadlines_of_a_closing_stream_are_an_error(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    assert_int_equal(gyre_stream_set_deadlines(&tcp->stream, DEADLINE_NS, DEADLINE_NS), 0);
    assert_int_equal(gyre_read_start(&tcp->stream, on_read), 0);
    write_bytes(&tcp->stream, 10 * MIB);
    gyre_close(&tcp->handle, NULL);
    assert_int_equal(gyre_stream_set_deadlines(&tcp->stream, 1, 1), GYRE_EINVAL);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(timeouts + write_timeouts, 0);
}

/* ---- the budget ---- */

static void the_cap_refuses_and_what_was_taken_is_sent(void **state)
{
    int peer;
    gyre_pipe *local = pipe_new("pipe", &peer);
    char *bytes = lasting(16 * MIB);
    size_t sent = 6000;
    size_t got = 0;

    (void)state;
    assert_int_equal(gyre_stream_set_budget(&local->stream, 0, 0, 10000, NULL), 0);
    assert_int_equal(gyre_write_copy(&local->stream, lasting(6000), 6000), 0);
    sent += fill(gyre_stream_fd(&local->stream));
    assert_int_equal(gyre_write_copy(&local->stream, lasting(6000), 6000), 0);
    assert_int_equal(gyre_write_copy(&local->stream, lasting(6000), 6000), GYRE_ENOBUFS);
    assert_int_equal(gyre_write_copy(&local->stream, lasting(4000), 4000), 0);
    assert_int_equal(gyre_write_copy(&local->stream, "x", 1), GYRE_ENOBUFS);
    assert_int_equal(gyre_queued_bytes(&local->stream), 10000);
    while (gyre_queued_bytes(&local->stream) > 0) {
        got += peer_receive(peer, bytes, 16 * MIB);
        assert_true(gyre_loop_run(loop, GYRE_RUN_ONCE) >= 0);
    }
    got += peer_receive(peer, bytes, 16 * MIB);
    assert_int_equal(got, sent + 10000);
}

static void one_write_above_the_cap_is_taken_by_an_empty_queue(void **state)
{
    int peer;
    gyre_pipe *local = pipe_new("pipe", &peer);

    (void)state;
    assert_int_equal(gyre_stream_set_budget(&local->stream, 0, 0, 1000, NULL), 0);
    write_bytes(&local->stream, 10 * MIB);
    assert_int_equal(gyre_write_copy(&local->stream, "x", 1), GYRE_ENOBUFS);
}

static void the_drain_callback_comes_at_the_low_mark_once(void **state)
{
    char *bytes = lasting(10 * MIB);
    int peer;
    gyre_pipe *local = pipe_new("pipe", &peer);
    size_t got = 0;

    (void)state;
    assert_int_equal(gyre_stream_set_budget(&local->stream, MIB, 4 * MIB, 0, on_drain), 0);
    write_bytes(&local->stream, 3 * MIB);
    run_turns(2);
    assert_int_equal(drained, 0);
    write_bytes(&local->stream, 3 * MIB);
    run_turns(2);
    while (drained == 0) {
        got += peer_receive(peer, bytes, 100000);
        run_turns(1);
        assert_true(drained == 0 || gyre_queued_bytes(&local->stream) <= MIB);
    }
    while (written < 2) {
        got += peer_receive(peer, bytes, 100000);
        run_turns(1);
    }
    assert_true(got <= 6 * MIB);
    assert_int_equal(drained, 1);
}

static void a_copy_that_fails_later_is_told(void **state)
{
    gyre_pipe *local = lasting(sizeof(*local));
    int fds[2];

    (void)state;
    unix_pair(fds);
    assert_int_equal(gyre_pipe_init(loop, local), 0);
    assert_int_equal(gyre_pipe_open(local, fds[0]), 0);
    assert_int_equal(gyre_stream_set_budget(&local->stream, 0, 0, 0, on_drain), 0);
    (void)fill(fds[0]);
    assert_int_equal(gyre_write_copy(&local->stream, "x", 1), 0);
    run_turns(2);
    close(fds[1]);
    while (drain_error == 0)
        assert_true(gyre_loop_run(loop, GYRE_RUN_ONCE) >= 0);
    assert_true(drain_error == GYRE_EPIPE || drain_error == GYRE_ECONNRESET);
    assert_int_equal(gyre_write_copy(&local->stream, "x", 1), drain_error);
}

static void marks_the_wrong_way_round_are_an_error(void **state)
{
    int peer;
    gyre_pipe *local = pipe_new("pipe", &peer);

    (void)state;
    assert_int_equal(gyre_stream_set_budget(&local->stream, 2, 1, 0, NULL), GYRE_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIMIT_TEST(an_idle_stream_is_told_and_not_early),
        LIMIT_TEST(bytes_put_an_idle_deadline_off),
        LIMIT_TEST(an_idle_deadline_can_be_taken_back),
        LIMIT_TEST(a_write_that_makes_no_progress_ends),
        LIMIT_TEST(a_write_that_makes_progress_goes_on),
        LIMIT_TEST(received_bytes_put_no_write_deadline_off),
        LIMIT_TEST(an_endless_write_deadline_leaves_the_idle_one),
        LIMIT_TEST(deadlines_of_a_closing_stream_are_an_error),
        LIMIT_TEST(the_cap_refuses_and_what_was_taken_is_sent),
        LIMIT_TEST(one_write_above_the_cap_is_taken_by_an_empty_queue),
        LIMIT_TEST(the_drain_callback_comes_at_the_low_mark_once),
        LIMIT_TEST(a_copy_that_fails_later_is_told),
        LIMIT_TEST(marks_the_wrong_way_round_are_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
