/*
 * DEFAULT, ONCE, NOWAIT, tick and run_turns: where each begins, when it sleeps, when it ends, and
 * what it returns.
 */
#include "fixture.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

static void never(gyre_timer *timer)
{
    (void)timer;
    fail();
}

static gyre_timer *far_timer(void)
{
    gyre_timer *timer = timer_new("far");

    gyre_timer_start(timer, 3600 * GYRE_SECOND, 0, never);
    return timer;
}

/* ---- nothing to do ---- */

static void an_empty_loop_returns_0_at_once(void **state)
{
    (void)state;
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 0);
    assert_int_equal(gyre_loop_tick(loop), 0);
    assert_int_equal(gyre_loop_run_turns(loop, 5), 0);
}

static void what_does_not_keep_a_loop_alive_does_not_run(void **state)
{
    gyre_timer *timer = timer_new("t");
    gyre_hook *idle = hook_new("i", GYRE_HOOK_IDLE);

    (void)state;
    gyre_timer_start(timer, 0, 0, journal_timer);
    gyre_hook_start(idle, journal_hook);
    gyre_unref(&timer->handle);
    gyre_unref(&idle->handle);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 0);
    assert_int_equal(gyre_loop_tick(loop), 0);
    assert_int_equal(gyre_loop_run_turns(loop, 5), 0);
    assert_journal("");
}

/* ---- DEFAULT ---- */

static void default_runs_until_nothing_is_alive(void **state)
{
    (void)state;
    gyre_timer_start(timer_new("b"), 2 * GYRE_MILLISECOND, 0, journal_timer);
    gyre_timer_start(timer_new("a"), GYRE_MILLISECOND, 0, journal_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("a b");
}

static void stop_in_timer(gyre_timer *timer)
{
    journal_timer(timer);
    gyre_loop_stop(loop);
}

static void default_returns_1_when_stopped_with_something_alive(void **state)
{
    gyre_timer *far = far_timer();

    (void)state;
    gyre_timer_start(timer_new("t"), 0, 0, stop_in_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 1);
    assert_journal("t");
    gyre_timer_stop(far);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
}

static void default_returns_0_when_stopped_with_nothing_alive(void **state)
{
    (void)state;
    gyre_timer_start(timer_new("t"), 0, 0, stop_in_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("t");
}

static void default_runs_due_timers_once_before_its_first_turn(void **state)
{
    gyre_hook *prepare = hook_new("prepare", GYRE_HOOK_PREPARE);

    (void)state;
    gyre_unref(&prepare->handle);
    gyre_hook_start(prepare, journal_hook);
    gyre_timer_start(timer_new("t"), 0, 0, journal_timer);
    gyre_defer(loop, deferred_new("d"), journal_deferred);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("t d prepare");
}

static void once_and_nowait_run_due_timers_at_their_end(void **state)
{
    static const gyre_run_mode modes[] = {GYRE_RUN_ONCE, GYRE_RUN_NOWAIT};
    gyre_hook *prepare = hook_new("prepare", GYRE_HOOK_PREPARE);

    (void)state;
    gyre_hook_start(prepare, journal_hook);
    gyre_unref(&prepare->handle);
    for (int i = 0; i < 2; i++) {
        gyre_timer_start(timer_new("t"), 0, 0, journal_timer);
        assert_int_equal(gyre_loop_run(loop, modes[i]), 0);
        assert_journal("prepare t");
    }
}

/* ---- ONCE ---- */

static void once_waits_for_a_lone_timer_and_runs_it(void **state)
{
    const uint64_t before = clock_ns();

    (void)state;
    gyre_timer_start(timer_new("t"), 20 * GYRE_MILLISECOND, 0, journal_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 0);
    assert_journal("t");
    assert_true(clock_ns() >= before + 20 * GYRE_MILLISECOND);
}

static void once_returns_1_while_something_is_alive(void **state)
{
    (void)state;
    gyre_timer_start(timer_new("a"), 0, 0, journal_timer);
    gyre_timer_start(timer_new("b"), 5 * GYRE_MILLISECOND, 0, journal_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 1);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 0);
    assert_journal("a b");
}

static void once_waits_for_the_nearest_timer_only(void **state)
{
    (void)state;
    far_timer();
    gyre_timer_start(timer_new("near"), GYRE_MILLISECOND, 0, journal_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 1);
    assert_journal("near");
}

static void once_does_not_sleep_after_pending_work(void **state)
{
    (void)state;
    far_timer();
    gyre_defer(loop, deferred_new("d"), journal_deferred);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 1);
    assert_journal("d");
}

/* Posts when the turn has begun, as a thread may at any time. */
static void post_at_begin(void *ctx, const gyre_trace_event *event)
{
    if (event->type != GYRE_TRACE_TURN_BEGIN)
        return;
    gyre_loop_set_trace(loop, NULL, NULL);
    assert_int_equal(gyre_post(ctx, post_new("late"), journal_post), 0);
}

static void once_does_not_sleep_after_a_post_that_came_late(void **state)
{
    gyre_remote *remote = gyre_loop_remote(loop);

    (void)state;
    far_timer();
    gyre_loop_set_trace(loop, post_at_begin, remote);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 1);
    assert_journal("late");
    gyre_remote_unref(remote);
}

static void stop_hook(gyre_hook *hook)
{
    journal_hook(hook);
    gyre_hook_stop(hook);
}

static void once_does_not_sleep_after_an_idle_hook(void **state)
{
    (void)state;
    far_timer();
    gyre_hook_start(hook_new("idle", GYRE_HOOK_IDLE), stop_hook);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 1);
    assert_journal("idle");
}

static void once_does_not_sleep_while_a_handle_is_closing(void **state)
{
    (void)state;
    far_timer();
    gyre_close(&timer_new("closed")->handle, journal_close);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 1);
    assert_journal("closed");
}

static void once_counts_its_sleep_from_a_fresh_clock(void **state)
{
    uint64_t begun;

    (void)state;
    gyre_timer_start(timer_new("t"), 500 * GYRE_MILLISECOND, 0, journal_timer);
    burn_ns(500 * GYRE_MILLISECOND);
    begun = clock_ns();
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 0);
    assert_journal("t");
    assert_true(clock_ns() - begun < 500 * GYRE_MILLISECOND);
}

static void ignore_signal(int signum)
{
    (void)signum;
}

typedef struct nuisance {
    pthread_t sleeper;
    gyre_remote *remote;
    gyre_post_node *node;
} nuisance;

static void *disturb_and_post(void *context)
{
    const nuisance *self = context;

    for (int i = 0; i < 100; i++) {
        pthread_kill(self->sleeper, SIGUSR1);
        sched_yield();
    }
    (void)gyre_post(self->remote, self->node, journal_post);
    return NULL;
}

static void once_sleeps_on_when_it_woke_for_nothing(void **state)
{
    struct sigaction action = {.sa_handler = ignore_signal};
    struct sigaction old;
    nuisance self = {.sleeper = pthread_self(), .remote = gyre_loop_remote(loop)};
    pthread_t thread;

    (void)state;
    far_timer();
    self.node = post_new("post");
    sigaction(SIGUSR1, &action, &old);
    assert_int_equal(pthread_create(&thread, NULL, disturb_and_post, &self), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 1);
    assert_journal("post");
    pthread_join(thread, NULL);
    sigaction(SIGUSR1, &old, NULL);
    gyre_remote_unref(self.remote);
}

/* ---- NOWAIT and tick ---- */

static void nowait_never_sleeps(void **state)
{
    (void)state;
    far_timer();
    for (int i = 0; i < 10; i++)
        assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 1);
}

static void tick_returns_the_number_of_callbacks(void **state)
{
    (void)state;
    far_timer();
    assert_int_equal(gyre_loop_tick(loop), 0);
    gyre_timer_start(timer_new("t"), 0, 0, journal_timer);
    gyre_hook_start(hook_new("h", GYRE_HOOK_CHECK), journal_hook);
    gyre_defer(loop, deferred_new("d"), journal_deferred);
    gyre_close(&timer_new("c")->handle, journal_close);
    gyre_close(&timer_new("silent")->handle, NULL);
    assert_int_equal(gyre_loop_tick(loop), 4);
    assert_journal("d h c t");
    assert_int_equal(gyre_loop_tick(loop), 1);
}

/* ---- run_turns ---- */

static void run_turns_runs_as_many_as_asked_for(void **state)
{
    (void)state;
    gyre_hook_start(hook_new("i", GYRE_HOOK_IDLE), journal_hook);
    assert_int_equal(gyre_loop_run_turns(loop, 0), 0);
    assert_journal("");
    assert_int_equal(gyre_loop_run_turns(loop, 3), 3);
    assert_journal("i i i");
}

static void run_turns_stops_early_when_nothing_is_alive(void **state)
{
    (void)state;
    gyre_timer_start(timer_new("a"), 0, 0, journal_timer);
    gyre_timer_start(timer_new("b"), 5 * GYRE_MILLISECOND, 0, journal_timer);
    assert_int_equal(gyre_loop_run_turns(loop, 100), 2);
    assert_journal("a b");
}

static void run_turns_stops_early_when_stopped(void **state)
{
    (void)state;
    gyre_hook_start(hook_new("i", GYRE_HOOK_IDLE), journal_hook);
    gyre_timer_start(timer_new("t"), 0, 0, stop_in_timer);
    assert_int_equal(gyre_loop_run_turns(loop, 100), 1);
    assert_journal("i t");
    assert_int_equal(gyre_loop_run_turns(loop, 2), 2);
    assert_journal("i i");
}

static void run_turns_does_not_sleep_after_pending_work(void **state)
{
    (void)state;
    far_timer();
    gyre_defer(loop, deferred_new("d"), journal_deferred);
    assert_int_equal(gyre_loop_run_turns(loop, 1), 1);
    assert_journal("d");
}

/* ---- stop ---- */

static void stop_before_run_ends_it_before_its_first_turn(void **state)
{
    static const gyre_run_mode modes[] = {GYRE_RUN_DEFAULT, GYRE_RUN_ONCE, GYRE_RUN_NOWAIT};
    gyre_timer *timer = timer_new("t");

    (void)state;
    for (int i = 0; i < 3; i++) {
        gyre_timer_start(timer, 0, 0, journal_timer);
        gyre_loop_stop(loop);
        assert_int_equal(gyre_loop_run(loop, modes[i]), 1);
        assert_journal("");
        assert_int_equal(gyre_loop_run(loop, modes[i]), 0);
        assert_journal("t");
    }
}

static void stop_before_run_turns_and_tick_ends_them(void **state)
{
    (void)state;
    gyre_timer_start(timer_new("t"), 0, 0, journal_timer);
    gyre_loop_stop(loop);
    assert_int_equal(gyre_loop_run_turns(loop, 3), 0);
    gyre_loop_stop(loop);
    assert_int_equal(gyre_loop_tick(loop), 0);
    assert_journal("");
    assert_int_equal(gyre_loop_tick(loop), 1);
    assert_journal("t");
}

static void stop_in_hook(gyre_hook *hook)
{
    journal_hook(hook);
    gyre_loop_stop(loop);
    gyre_hook_stop(hook);
}

/* A hook of each phase and an end; the one that stops the loop stops itself too. */
static void run_with_stop_in(gyre_hook_phase phase)
{
    static const char *const names[] = {"idle", "prepare", "check"};

    far_timer();
    for (int i = 0; i < 3; i++) {
        gyre_hook_start(hook_new(names[i], (gyre_hook_phase)i),
                        i == (int)phase ? stop_in_hook : journal_hook);
    }
    gyre_close(&timer_new("close")->handle, journal_close);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 1);
    assert_journal("idle prepare check close");
}

static void stop_in_an_idle_hook_ends_after_this_turn(void **state)
{
    (void)state;
    run_with_stop_in(GYRE_HOOK_IDLE);
}

static void stop_in_a_prepare_hook_ends_after_this_turn(void **state)
{
    (void)state;
    run_with_stop_in(GYRE_HOOK_PREPARE);
}

static void stop_in_a_check_hook_ends_after_this_turn(void **state)
{
    (void)state;
    run_with_stop_in(GYRE_HOOK_CHECK);
}

static void stop_in_deferred(gyre_deferred *deferred)
{
    journal_deferred(deferred);
    gyre_loop_stop(loop);
}

static void stop_in_the_pending_phase_ends_after_this_turn(void **state)
{
    (void)state;
    gyre_hook_start(hook_new("check", GYRE_HOOK_CHECK), journal_hook);
    gyre_defer(loop, deferred_new("pending"), stop_in_deferred);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 1);
    assert_journal("pending check");
}

static void defer_stop(gyre_hook *hook)
{
    gyre_defer(loop, deferred_new("poll"), stop_in_deferred);
    gyre_hook_stop(hook);
}

static void stop_in_the_poll_phase_ends_after_this_turn(void **state)
{
    (void)state;
    gyre_hook_start(hook_new("prepare", GYRE_HOOK_PREPARE), defer_stop);
    gyre_hook_start(hook_new("check", GYRE_HOOK_CHECK), journal_hook);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 1);
    assert_journal("poll check");
}

static void stop_in_close(gyre_handle *handle)
{
    journal_close(handle);
    gyre_loop_stop(loop);
}

static void stop_in_the_close_phase_ends_after_this_turn(void **state)
{
    (void)state;
    gyre_hook_start(hook_new("check", GYRE_HOOK_CHECK), journal_hook);
    gyre_close(&timer_new("close")->handle, stop_in_close);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 1);
    assert_journal("check close");
}

static void stop_in_the_first_timers_phase_ends_before_the_first_turn(void **state)
{
    (void)state;
    gyre_hook_start(hook_new("check", GYRE_HOOK_CHECK), journal_hook);
    gyre_timer_start(timer_new("a"), 0, 0, stop_in_timer);
    gyre_timer_start(timer_new("b"), 0, 0, journal_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 1);
    assert_journal("a b");
}

static void stop_in_post(gyre_post_node *node, int status)
{
    journal_post(node, status);
    gyre_loop_stop(loop);
}

typedef struct sender {
    gyre_remote *remote;
    gyre_post_node *node;
    int result;
} sender;

static void *send_stop(void *context)
{
    sender *self = context;

    self->result = gyre_post(self->remote, self->node, stop_in_post);
    return NULL;
}

static void stop_comes_from_another_thread_by_post(void **state)
{
    sender self = {.remote = gyre_loop_remote(loop), .node = post_new("stop"), .result = -1};
    pthread_t thread;

    (void)state;
    far_timer();
    assert_int_equal(pthread_create(&thread, NULL, send_stop, &self), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 1);
    pthread_join(thread, NULL);
    assert_int_equal(self.result, 0);
    assert_journal("stop");
    gyre_remote_unref(self.remote);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(an_empty_loop_returns_0_at_once),
        LOOP_TEST(what_does_not_keep_a_loop_alive_does_not_run),
        LOOP_TEST(default_runs_until_nothing_is_alive),
        LOOP_TEST(default_returns_1_when_stopped_with_something_alive),
        LOOP_TEST(default_returns_0_when_stopped_with_nothing_alive),
        LOOP_TEST(default_runs_due_timers_once_before_its_first_turn),
        LOOP_TEST(once_and_nowait_run_due_timers_at_their_end),
        LOOP_TEST(once_waits_for_a_lone_timer_and_runs_it),
        LOOP_TEST(once_returns_1_while_something_is_alive),
        LOOP_TEST(once_waits_for_the_nearest_timer_only),
        LOOP_TEST(once_does_not_sleep_after_pending_work),
        LOOP_TEST(once_does_not_sleep_after_a_post_that_came_late),
        LOOP_TEST(once_does_not_sleep_after_an_idle_hook),
        LOOP_TEST(once_does_not_sleep_while_a_handle_is_closing),
        LOOP_TEST(once_counts_its_sleep_from_a_fresh_clock),
        LOOP_TEST(once_sleeps_on_when_it_woke_for_nothing),
        LOOP_TEST(nowait_never_sleeps),
        LOOP_TEST(tick_returns_the_number_of_callbacks),
        LOOP_TEST(run_turns_runs_as_many_as_asked_for),
        LOOP_TEST(run_turns_stops_early_when_nothing_is_alive),
        LOOP_TEST(run_turns_stops_early_when_stopped),
        LOOP_TEST(run_turns_does_not_sleep_after_pending_work),
        LOOP_TEST(stop_before_run_ends_it_before_its_first_turn),
        LOOP_TEST(stop_before_run_turns_and_tick_ends_them),
        LOOP_TEST(stop_in_an_idle_hook_ends_after_this_turn),
        LOOP_TEST(stop_in_a_prepare_hook_ends_after_this_turn),
        LOOP_TEST(stop_in_a_check_hook_ends_after_this_turn),
        LOOP_TEST(stop_in_the_pending_phase_ends_after_this_turn),
        LOOP_TEST(stop_in_the_poll_phase_ends_after_this_turn),
        LOOP_TEST(stop_in_the_close_phase_ends_after_this_turn),
        LOOP_TEST(stop_in_the_first_timers_phase_ends_before_the_first_turn),
        LOOP_TEST(stop_comes_from_another_thread_by_post),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
