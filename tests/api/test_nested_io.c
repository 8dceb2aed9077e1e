/*
 * Nested turns, steps and the trace where operations are concerned: results that the outer turn had
 * still to deliver are delivered inside, in order and once.
 */
#include "fixture.h"

#include <string.h>
#include <unistd.h>

static gyre_run_mode mode;

static void drain(gyre_poll *watcher)
{
    char bytes[64];

    assert_true(read(watcher->fd, bytes, sizeof(bytes)) > 0);
}

static void on_poll(gyre_poll *watcher, int status, uint32_t events)
{
    assert_int_equal(status, 0);
    assert_true(events != 0);
    drain(watcher);
    journal("poll");
}

static void run_inside(gyre_poll *watcher, int status, uint32_t events)
{
    (void)status;
    (void)events;
    drain(watcher);
    journal("(");
    gyre_loop_run(loop, mode);
    journal(")");
}

/* Whichever of three ready watchers is called first runs a turn, in which the others are called. */
static void on_first(gyre_poll *watcher, int status, uint32_t events)
{
    int *calls = watcher->data;

    if ((*calls)++ == 0)
        run_inside(watcher, status, events);
    else
        on_poll(watcher, status, events);
}

static void never(gyre_timer *timer)
{
    (void)timer;
    fail();
}

static void three_watchers(void)
{
    int calls = 0;

    gyre_timer_start(timer_new("far"), 3600 * GYRE_SECOND, 0, never);
    for (int i = 0; i < 3; i++) {
        int peer;
        gyre_poll *watcher = poll_new("poll", &peer);

        watcher->data = &calls;
        assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_IN, on_first), 0);
        assert_int_equal(write(peer, "x", 1), 1);
    }
    while (calls < 3)
        gyre_loop_run(loop, GYRE_RUN_ONCE);
    assert_int_equal(calls, 3);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_int_equal(calls, 3);
}

static void nowait_inside_delivers_what_was_ready(void **state)
{
    (void)state;
    mode = GYRE_RUN_NOWAIT;
    three_watchers();
    assert_journal("( poll poll )");
}

static void once_inside_delivers_what_was_ready(void **state)
{
    (void)state;
    mode = GYRE_RUN_ONCE;
    three_watchers();
    assert_journal("( poll poll )");
}

static void write_to(gyre_hook *hook)
{
    const int *peer = hook->data;

    assert_int_equal(write(*peer, "x", 1), 1);
    gyre_hook_stop(hook);
}

static void once_in_timer(gyre_timer *timer)
{
    journal_timer(timer);
    gyre_hook_start(timer->data, write_to);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 1);
    journal("back");
}

static void once_inside_a_timer_waits_for_a_descriptor(void **state)
{
    int peer;
    gyre_poll *watcher = poll_new("poll", &peer);
    gyre_hook *hook = hook_new("h", GYRE_HOOK_PREPARE);
    gyre_timer *timer = timer_new("t");

    (void)state;
    assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_IN, on_poll), 0);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    hook->data = &peer;
    timer->data = hook;
    gyre_timer_start(timer_new("far"), 3600 * GYRE_SECOND, 0, never);
    gyre_timer_start(timer, 0, 0, once_in_timer);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("t poll back");
}

/* ---- steps ---- */

static void each_ready_watcher_is_a_step(void **state)
{
    int steps = 0;

    (void)state;
    for (int i = 0; i < 3; i++) {
        int peer;

        assert_int_equal(gyre_poll_start(poll_new("poll", &peer), GYRE_POLL_IN, on_poll), 0);
        assert_int_equal(write(peer, "x", 1), 1);
    }
    while (steps < 3) {
        const int ran = gyre_loop_step(loop);

        steps += ran;
        assert_true(ran >= 0);
        if (ran == 1)
            assert_journal("poll");
    }
    assert_int_equal(gyre_loop_step(loop), 0);
}

/* ---- the trace ---- */

static int states;
static int runnable;
static int broken;

static bool is_state(const char *name)
{
    static const char *const names[] = {"idle", "queued", "parked", "in_kernel", "runnable"};

    for (int i = 0; name != NULL && i < 5; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

static void look_at_states(void *ctx, const gyre_trace_event *event)
{
    (void)ctx;
    if (event->type != GYRE_TRACE_OP_STATE)
        return;
    states++;
    broken += !is_state(event->op_from) || !is_state(event->op_to) || event->object == NULL;
    broken += event->op_kind == NULL || strcmp(event->op_kind, "poll") != 0;
    runnable += event->op_to != NULL && strcmp(event->op_to, "runnable") == 0;
}

static void the_trace_tells_the_states_of_operations(void **state)
{
    int peer;
    gyre_poll *watcher = poll_new("poll", &peer);

    (void)state;
    states = 0;
    broken = 0;
    runnable = 0;
    gyre_loop_set_trace(loop, look_at_states, NULL);
    assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_IN, on_poll), 0);
    assert_int_equal(write(peer, "x", 1), 1);
    gyre_loop_run(loop, GYRE_RUN_ONCE);
    gyre_close(&watcher->handle, NULL);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    gyre_loop_set_trace(loop, NULL, NULL);
    assert_journal("poll");
    assert_true(states >= 3);
    assert_true(runnable >= 1);
    assert_int_equal(broken, 0);
}

/* ---- more callbacks at once than receive buffers ---- */

enum { FEW = 2, STREAMS = 5 };

static int deep;
static int received;

static void read_inside(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    const char *letter = stream->data;

    assert_int_equal(nread, 1);
    assert_int_equal(buf->base[0], *letter);
    received++;
    if (++deep <= FEW)
        gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    deep--;
    /* Nobody has written to it meanwhile. */
    assert_int_equal(buf->base[0], *letter);
    gyre_read_stop(stream);
}

static void receives_wait_for_a_buffer_that_is_free(void **state)
{
    static char letters[] = "abcde";
    const gyre_loop_options options = {.size = sizeof(options), .read_buffers = FEW};

    (void)state;
    assert_int_equal(gyre_loop_close(loop), 0);
    assert_int_equal(gyre_loop_init(&loop, &options), 0);
    deep = 0;
    received = 0;
    for (int i = 0; i < STREAMS; i++) {
        int peer;
        gyre_pipe *end = pipe_new("end", &peer);

        end->stream.handle.data = &letters[i];
        assert_int_equal(gyre_read_start(&end->stream, read_inside), 0);
        assert_int_equal(write(peer, &letters[i], 1), 1);
    }
    while (received < STREAMS)
        gyre_loop_run(loop, GYRE_RUN_ONCE);
    assert_int_equal(deep, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(nowait_inside_delivers_what_was_ready),
        LOOP_TEST(once_inside_delivers_what_was_ready),
        LOOP_TEST(once_inside_a_timer_waits_for_a_descriptor),
        LOOP_TEST(each_ready_watcher_is_a_step),
        LOOP_TEST(the_trace_tells_the_states_of_operations),
        LOOP_TEST(receives_wait_for_a_buffer_that_is_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
