/*
 * gyre_loop_step: at most one callback at a time, and all steps of a round together are a turn.
 */
#include "fixture.h"

#include <string.h>

static void a_step_of_an_empty_loop_runs_nothing(void **state)
{
    (void)state;
    assert_int_equal(gyre_loop_step(loop), 0);
    assert_int_equal(gyre_loop_step(loop), 0);
}

static void never(gyre_timer *timer)
{
    (void)timer;
    fail();
}

static void a_step_never_sleeps(void **state)
{
    (void)state;
    gyre_timer_start(timer_new("far"), 3600 * GYRE_SECOND, 0, never);
    for (int i = 0; i < 5; i++)
        assert_int_equal(gyre_loop_step(loop), 0);
}

static void a_step_runs_nothing_when_nothing_is_alive(void **state)
{
    gyre_timer *timer = timer_new("t");

    (void)state;
    gyre_timer_start(timer, 0, 0, never);
    gyre_unref(&timer->handle);
    assert_int_equal(gyre_loop_step(loop), 0);
    gyre_timer_stop(timer);
}

static void a_step_runs_one_callback(void **state)
{
    (void)state;
    gyre_timer_start(timer_new("a"), 0, 0, journal_timer);
    gyre_timer_start(timer_new("b"), 0, 0, journal_timer);
    assert_int_equal(gyre_loop_step(loop), 1);
    assert_journal("a");
    assert_int_equal(gyre_loop_phase(loop), GYRE_PHASE_TIMERS);
    assert_int_equal(gyre_loop_step(loop), 1);
    assert_journal("b");
    assert_int_equal(gyre_loop_step(loop), 0);
}

static void phase_says_where_it_stopped(void **state)
{
    static const gyre_phase expected[] = {
        GYRE_PHASE_PENDING, GYRE_PHASE_IDLE,  GYRE_PHASE_PREPARE,
        GYRE_PHASE_CHECK,   GYRE_PHASE_CLOSE, GYRE_PHASE_TIMERS,
    };

    (void)state;
    gyre_timer_start(timer_new("t"), 0, 0, journal_timer);
    gyre_hook_start(hook_new("i", GYRE_HOOK_IDLE), gyre_hook_stop);
    gyre_hook_start(hook_new("p", GYRE_HOOK_PREPARE), gyre_hook_stop);
    gyre_hook_start(hook_new("c", GYRE_HOOK_CHECK), gyre_hook_stop);
    gyre_defer(loop, deferred_new("d"), journal_deferred);
    gyre_close(&timer_new("closed")->handle, journal_close);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(gyre_loop_step(loop), 1);
        assert_int_equal(gyre_loop_phase(loop), expected[i]);
    }
    assert_int_equal(gyre_loop_step(loop), 0);
    assert_int_equal(gyre_loop_phase(loop), GYRE_PHASE_NONE);
}

static void a_close_without_callback_is_no_step(void **state)
{
    (void)state;
    gyre_close(&timer_new("a")->handle, NULL);
    gyre_close(&timer_new("b")->handle, journal_close);
    gyre_close(&timer_new("c")->handle, NULL);
    assert_int_equal(gyre_loop_step(loop), 1);
    assert_journal("b");
    assert_int_equal(gyre_loop_step(loop), 0);
    assert_int_equal(gyre_loop_handle_count(loop), 0);
}

/* ---- the same work by steps and by turns ---- */

static void defer_again(gyre_timer *timer)
{
    journal_timer(timer);
    gyre_defer(loop, deferred_new("deferred"), journal_deferred);
    gyre_timer_start(timer_new("child"), 0, 0, journal_timer);
}

static void post_again(gyre_hook *hook)
{
    gyre_remote *remote = gyre_loop_remote(loop);

    journal_hook(hook);
    assert_int_equal(gyre_post(remote, post_new("post"), journal_post), 0);
    gyre_remote_unref(remote);
    gyre_hook_stop(hook);
}

static void close_in_hook(gyre_hook *hook)
{
    journal_hook(hook);
    gyre_close(&hook->handle, journal_close);
}

static void put_work_in(void)
{
    gyre_timer_start(timer_new("timer"), 0, 0, defer_again);
    gyre_timer_start(timer_new("sibling"), 0, 0, journal_timer);
    gyre_hook_start(hook_new("idle", GYRE_HOOK_IDLE), close_in_hook);
    gyre_hook_start(hook_new("prepare", GYRE_HOOK_PREPARE), post_again);
    gyre_hook_start(hook_new("check", GYRE_HOOK_CHECK), close_in_hook);
    gyre_defer(loop, deferred_new("first"), journal_deferred);
    gyre_defer(loop, deferred_new("second"), journal_deferred);
}

#define FIRST_TURN "first second idle prepare post check idle check timer sibling"
#define SECOND_TURN "deferred child"

static void turns_do_the_work(void **state)
{
    (void)state;
    put_work_in();
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal(FIRST_TURN);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal(SECOND_TURN);
}

static void steps_do_the_same_work_one_by_one(void **state)
{
    int steps = 0;

    (void)state;
    put_work_in();
    while (gyre_loop_step(loop) == 1)
        steps++;
    assert_journal(FIRST_TURN " " SECOND_TURN);
    assert_int_equal(steps, 12);
}

static void a_turn_takes_up_what_steps_left(void **state)
{
    (void)state;
    gyre_timer_start(timer_new("a"), 0, 0, journal_timer);
    gyre_timer_start(timer_new("b"), 0, 0, journal_timer);
    gyre_timer_start(timer_new("c"), 0, 0, journal_timer);
    assert_int_equal(gyre_loop_step(loop), 1);
    assert_journal("a");
    gyre_timer_start(timer_new("new"), 0, 0, journal_timer);
    assert_int_equal(gyre_loop_timeout_ns(loop), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("b c new");
    assert_int_equal(gyre_loop_step(loop), 0);
}

static void a_once_between_steps_does_not_sleep_over_due_timers(void **state)
{
    (void)state;
    gyre_timer_start(timer_new("far"), 3600 * GYRE_SECOND, 0, never);
    gyre_timer_start(timer_new("a"), 0, 0, journal_timer);
    gyre_timer_start(timer_new("b"), 0, 0, journal_timer);
    assert_int_equal(gyre_loop_step(loop), 1);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 1);
    assert_journal("a b");
}

/* ---- in the trace, the steps of a round are one turn ---- */

static void journal_turns(void *ctx, const gyre_trace_event *event)
{
    (void)ctx;
    if (event->type == GYRE_TRACE_TURN_BEGIN)
        journal("[");
    else if (event->type == GYRE_TRACE_TURN_END)
        journal("]");
    else if (event->type == GYRE_TRACE_CALLBACK_ENTER)
        journal(event->name);
}

static void ignore(gyre_timer *timer)
{
    (void)timer;
}

static void the_steps_of_a_round_are_one_turn(void **state)
{
    (void)state;
    gyre_timer_start(timer_new("a"), 0, 0, ignore);
    gyre_timer_start(timer_new("b"), 0, 0, ignore);
    gyre_loop_set_trace(loop, journal_turns, NULL);
    assert_int_equal(gyre_loop_step(loop), 1);
    assert_int_equal(gyre_loop_step(loop), 1);
    assert_int_equal(gyre_loop_step(loop), 0);
    assert_journal("[ a b ]");
    assert_int_equal(gyre_loop_step(loop), 0);
    assert_journal("");
}

static void read_nothing(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)stream;
    (void)nread;
    (void)buf;
}

/* What a call outside of callbacks has left to flush is forgotten with its stream. */
static void a_stream_that_is_started_and_closed_between_two_steps(void **state)
{
    (void)state;
    for (int steps = 0; steps < 8; steps++) {
        gyre_hook *hook = hook_new("hook", GYRE_HOOK_IDLE);
        int peer;
        gyre_tcp *tcp = tcp_new("tcp", &peer);

        gyre_hook_start(hook, journal_hook);
        for (int i = 0; i < steps; i++)
            assert_true(gyre_loop_step(loop) >= 0);
        assert_int_equal(gyre_read_start(&tcp->stream, read_nothing), 0);
        gyre_close(&tcp->handle, journal_close);
        gyre_close(&hook->handle, NULL);
        for (int i = 0; i < 8; i++)
            assert_true(gyre_loop_step(loop) >= 0);
    }
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(a_step_of_an_empty_loop_runs_nothing),
        LOOP_TEST(a_step_never_sleeps),
        LOOP_TEST(a_step_runs_nothing_when_nothing_is_alive),
        LOOP_TEST(a_step_runs_one_callback),
        LOOP_TEST(phase_says_where_it_stopped),
        LOOP_TEST(a_close_without_callback_is_no_step),
        LOOP_TEST(turns_do_the_work),
        LOOP_TEST(steps_do_the_same_work_one_by_one),
        LOOP_TEST(a_turn_takes_up_what_steps_left),
        LOOP_TEST(a_once_between_steps_does_not_sleep_over_due_timers),
        LOOP_TEST(the_steps_of_a_round_are_one_turn),
        LOOP_TEST(a_stream_that_is_started_and_closed_between_two_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
