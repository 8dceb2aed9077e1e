/*
 * The order of phases: timers, pending, idle, prepare, poll, check, close, and round again.
 */
#include "fixture.h"

/* ---- each callback journals the phase in which it ran ---- */

static void journal_phase(void)
{
    journal(gyre_phase_name(gyre_loop_phase(loop)));
}

/* A ring of callbacks, one in each phase; the timer counts the turns. */
static struct {
    gyre_timer *timer;
    gyre_hook *idle;
    gyre_hook *prepare;
    gyre_hook *check;
    gyre_deferred *deferred;
    gyre_post_node *post;
    gyre_remote *remote;
    int turns_left;
} ring;

static void in_pending(gyre_deferred *deferred)
{
    (void)deferred;
    journal_phase();
}

static void in_timers(gyre_timer *timer)
{
    journal_phase();
    if (ring.turns_left-- == 0) {
        gyre_hook_stop(ring.idle);
        gyre_hook_stop(ring.prepare);
        gyre_hook_stop(ring.check);
        return;
    }
    gyre_timer_start(timer, 0, 0, in_timers);
    gyre_defer(loop, ring.deferred, in_pending);
}

static void in_idle(gyre_hook *hook)
{
    (void)hook;
    journal_phase();
}

static void in_poll(gyre_post_node *node, int status)
{
    (void)node;
    assert_int_equal(status, 0);
    journal_phase();
}

static void in_prepare(gyre_hook *hook)
{
    (void)hook;
    journal_phase();
    assert_int_equal(gyre_post(ring.remote, ring.post, in_poll), 0);
}

static void in_close(gyre_handle *handle)
{
    (void)handle;
    journal_phase();
}

static void in_check(gyre_hook *hook)
{
    (void)hook;
    journal_phase();
    gyre_close(&timer_new("closed")->handle, in_close);
}

static void ring_set_up(int turns)
{
    ring.timer = timer_new("timer");
    ring.idle = hook_new("idle", GYRE_HOOK_IDLE);
    ring.prepare = hook_new("prepare", GYRE_HOOK_PREPARE);
    ring.check = hook_new("check", GYRE_HOOK_CHECK);
    ring.deferred = deferred_new("deferred");
    ring.post = post_new("post");
    ring.remote = gyre_loop_remote(loop);
    ring.turns_left = turns;
    gyre_timer_start(ring.timer, 0, 0, in_timers);
    gyre_hook_start(ring.idle, in_idle);
    gyre_hook_start(ring.prepare, in_prepare);
    gyre_hook_start(ring.check, in_check);
}

static void phases_go_round_in_a_running_loop(void **state)
{
    (void)state;
    ring_set_up(3);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("timers pending idle prepare poll check close "
                   "timers pending idle prepare poll check close "
                   "timers pending idle prepare poll check close timers");
    gyre_remote_unref(ring.remote);
}

static void once_begins_with_pending_and_ends_with_timers(void **state)
{
    (void)state;
    ring_set_up(100);
    gyre_loop_run(loop, GYRE_RUN_ONCE);
    assert_journal("idle prepare poll check close timers");
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("pending idle prepare poll check close timers");
    assert_int_equal(gyre_loop_phase(loop), GYRE_PHASE_NONE);
    gyre_remote_unref(ring.remote);
}

/* ---- phases without callbacks are gone through too: the trace ---- */

static void journal_trace(void *ctx, const gyre_trace_event *event)
{
    (void)ctx;
    if (event->type == GYRE_TRACE_PHASE)
        journal(gyre_phase_name(event->phase));
}

static void every_turn_enters_every_phase(void **state)
{
    (void)state;
    gyre_loop_hold(loop);
    gyre_loop_set_trace(loop, journal_trace, NULL);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("pending idle prepare poll check close timers");
    gyre_loop_release(loop);
}

static void default_enters_timers_before_its_first_turn(void **state)
{
    (void)state;
    gyre_timer_start(timer_new("t"), 0, 0, journal_timer);
    gyre_loop_set_trace(loop, journal_trace, NULL);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("timers t");
}

/* ---- deferred work runs in the next of: pending, after poll ---- */

static void defer_in_hook(gyre_hook *hook)
{
    journal_phase();
    gyre_hook_stop(hook);
    gyre_defer(loop, deferred_new("d"), in_pending);
}

static void defer_in_timer(gyre_timer *timer)
{
    (void)timer;
    journal_phase();
    gyre_defer(loop, deferred_new("d"), in_pending);
}

static void defer_in_close(gyre_handle *handle)
{
    (void)handle;
    journal_phase();
    gyre_defer(loop, deferred_new("d"), in_pending);
}

static void work_deferred_before_poll_runs_after_poll(void **state)
{
    (void)state;
    gyre_hook_start(hook_new("i", GYRE_HOOK_IDLE), defer_in_hook);
    gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    assert_journal("idle poll");
    gyre_hook_start(hook_new("p", GYRE_HOOK_PREPARE), defer_in_hook);
    gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    assert_journal("prepare poll");
}

static void work_deferred_after_poll_runs_in_pending(void **state)
{
    (void)state;
    gyre_hook_start(hook_new("c", GYRE_HOOK_CHECK), defer_in_hook);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("check");
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("pending");
    gyre_close(&timer_new("t")->handle, defer_in_close);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("close");
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("pending");
    gyre_timer_start(timer_new("t"), 0, 0, defer_in_timer);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("timers");
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("pending");
}

/* ---- a prepare hook may forbid sleeping, and that holds in this very turn ---- */

static gyre_remote *door;

static void by_idle_hook(gyre_hook *hook)
{
    (void)hook;
    gyre_hook_start(hook_new("idle", GYRE_HOOK_IDLE), journal_hook);
}

static void by_deferred_work(gyre_hook *hook)
{
    (void)hook;
    gyre_defer(loop, deferred_new("deferred"), journal_deferred);
}

static void by_post(gyre_hook *hook)
{
    (void)hook;
    assert_int_equal(gyre_post(door, post_new("post"), journal_post), 0);
}

static void by_close(gyre_hook *hook)
{
    (void)hook;
    gyre_close(&timer_new("close")->handle, journal_close);
}

static void by_timer(gyre_hook *hook)
{
    (void)hook;
    gyre_timer_start(timer_new("timer"), 0, 0, journal_timer);
}

static void by_stop(gyre_hook *hook)
{
    gyre_loop_stop(loop);
    journal_hook(hook);
}

static void never(gyre_timer *timer)
{
    (void)timer;
    fail();
}

/* One ONCE with a timer an hour away, in which `forbid` is the prepare hook's callback. */
static void try_to_sleep(gyre_hook_cb forbid)
{
    gyre_hook *prepare = hook_new("prepare", GYRE_HOOK_PREPARE);
    gyre_hook *check = hook_new("check", GYRE_HOOK_CHECK);

    gyre_timer_start(timer_new("far"), 3600 * GYRE_SECOND, 0, never);
    gyre_hook_start(check, journal_hook);
    gyre_hook_start(prepare, forbid);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 1);
}

static void an_idle_hook_started_in_prepare_forbids_sleeping(void **state)
{
    (void)state;
    try_to_sleep(by_idle_hook);
    assert_journal("check");
}

static void work_deferred_in_prepare_forbids_sleeping(void **state)
{
    (void)state;
    try_to_sleep(by_deferred_work);
    assert_journal("deferred check");
}

static void a_post_in_prepare_forbids_sleeping(void **state)
{
    (void)state;
    door = gyre_loop_remote(loop);
    try_to_sleep(by_post);
    assert_journal("post check");
    gyre_remote_unref(door);
}

static void a_close_in_prepare_forbids_sleeping(void **state)
{
    (void)state;
    try_to_sleep(by_close);
    assert_journal("check close");
}

static void a_due_timer_started_in_prepare_forbids_sleeping(void **state)
{
    (void)state;
    try_to_sleep(by_timer);
    assert_journal("check timer");
}

static void a_stop_in_prepare_forbids_sleeping(void **state)
{
    (void)state;
    try_to_sleep(by_stop);
    assert_journal("prepare check");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(phases_go_round_in_a_running_loop),
        LOOP_TEST(once_begins_with_pending_and_ends_with_timers),
        LOOP_TEST(every_turn_enters_every_phase),
        LOOP_TEST(default_enters_timers_before_its_first_turn),
        LOOP_TEST(work_deferred_before_poll_runs_after_poll),
        LOOP_TEST(work_deferred_after_poll_runs_in_pending),
        LOOP_TEST(an_idle_hook_started_in_prepare_forbids_sleeping),
        LOOP_TEST(work_deferred_in_prepare_forbids_sleeping),
        LOOP_TEST(a_post_in_prepare_forbids_sleeping),
        LOOP_TEST(a_close_in_prepare_forbids_sleeping),
        LOOP_TEST(a_due_timer_started_in_prepare_forbids_sleeping),
        LOOP_TEST(a_stop_in_prepare_forbids_sleeping),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
