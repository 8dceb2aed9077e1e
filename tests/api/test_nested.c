/*
 * A turn run from inside a callback: NOWAIT and ONCE, in each phase. It finishes the phase that it
 * interrupts, in order, and nothing is lost or run twice.
 */
#include "fixture.h"

#include <pthread.h>

static gyre_run_mode mode;
static int depth;

/* Runs a turn inside, with marks around it. A callback met again inside only leaves its mark. */
static void run_inside(void)
{
    const gyre_phase phase = gyre_loop_phase(loop);

    journal("(");
    if (depth++ == 0) {
        gyre_loop_run(loop, mode);
        assert_int_equal(gyre_loop_phase(loop), phase);
    }
    depth--;
    journal(")");
}

/* Each promise holds for both modes; a timer an hour away is alive, so that ONCE could sleep. */
static void never(gyre_timer *timer)
{
    (void)timer;
    fail();
}

static void in_both_modes(void (*test)(void))
{
    static const gyre_run_mode modes[] = {GYRE_RUN_NOWAIT, GYRE_RUN_ONCE};

    gyre_timer_start(timer_new("far"), 3600 * GYRE_SECOND, 0, never);
    for (int i = 0; i < 2; i++) {
        mode = modes[i];
        depth = 0;
        test();
        assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 1);
        assert_journal("");
    }
}

/* ---- timers ---- */

static void timer_inside(gyre_timer *timer)
{
    journal_timer(timer);
    run_inside();
}

static void three_timers(void)
{
    gyre_timer_start(timer_new("a"), 0, 0, timer_inside);
    gyre_timer_start(timer_new("b"), 0, 0, journal_timer);
    gyre_timer_start(timer_new("c"), 0, 0, journal_timer);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("a ( b c )");
}

static void inside_timers_the_due_ones_run(void **state)
{
    (void)state;
    in_both_modes(three_timers);
}

static void start_and_run(gyre_timer *timer)
{
    journal_timer(timer);
    gyre_timer_start(timer_new("new"), 0, 0, journal_timer);
    run_inside();
}

static void a_new_timer(void)
{
    gyre_timer_start(timer_new("a"), 0, 0, start_and_run);
    gyre_timer_start(timer_new("b"), 0, 0, journal_timer);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("a ( b new )");
}

static void inside_timers_a_new_one_runs_behind_the_due_ones(void **state)
{
    (void)state;
    in_both_modes(a_new_timer);
}

static void stop_and_run(gyre_timer *timer)
{
    journal_timer(timer);
    gyre_timer_stop(timer->data);
    run_inside();
}

static void a_stopped_timer(void)
{
    gyre_timer *a = timer_new("a");

    gyre_timer_start(a, 0, 0, stop_and_run);
    a->data = timer_new("b");
    gyre_timer_start(a->data, 0, 0, never);
    gyre_timer_start(timer_new("c"), 0, 0, journal_timer);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("a ( c )");
}

static void inside_timers_a_stopped_one_does_not_run(void **state)
{
    (void)state;
    in_both_modes(a_stopped_timer);
}

/* ---- pending, and after poll ---- */

static void deferred_inside(gyre_deferred *deferred)
{
    journal_deferred(deferred);
    run_inside();
}

static void three_deferred(void)
{
    gyre_defer(loop, deferred_new("a"), deferred_inside);
    gyre_defer(loop, deferred_new("b"), journal_deferred);
    gyre_defer(loop, deferred_new("c"), journal_deferred);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("a ( b c )");
}

static void inside_pending_the_waiting_work_runs(void **state)
{
    (void)state;
    in_both_modes(three_deferred);
}

static void post_inside(gyre_post_node *node, int status)
{
    journal_post(node, status);
    run_inside();
}

static void three_posts(void)
{
    gyre_remote *remote = gyre_loop_remote(loop);

    assert_int_equal(gyre_post(remote, post_new("a"), post_inside), 0);
    assert_int_equal(gyre_post(remote, post_new("b"), journal_post), 0);
    assert_int_equal(gyre_post(remote, post_new("c"), journal_post), 0);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("a ( b c )");
    gyre_remote_unref(remote);
}

static void inside_a_post_the_waiting_posts_run(void **state)
{
    (void)state;
    in_both_modes(three_posts);
}

static void defer_in_prepare(gyre_hook *hook)
{
    gyre_hook_stop(hook);
    gyre_defer(loop, deferred_new("a"), deferred_inside);
    gyre_defer(loop, deferred_new("b"), journal_deferred);
}

static void two_after_poll(void)
{
    gyre_hook_start(hook_new("prepare", GYRE_HOOK_PREPARE), defer_in_prepare);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("a ( b )");
}

static void inside_poll_the_waiting_work_runs(void **state)
{
    (void)state;
    in_both_modes(two_after_poll);
}

static void post_to_all(gyre_post_node *node, int status)
{
    gyre_remote *remote = gyre_loop_remote(loop);

    journal_post(node, status);
    assert_int_equal(gyre_post(remote, post_new("new"), journal_post), 0);
    gyre_remote_unref(remote);
    run_inside();
}

static void a_new_post(void)
{
    gyre_remote *remote = gyre_loop_remote(loop);

    assert_int_equal(gyre_post(remote, post_new("a"), post_to_all), 0);
    assert_int_equal(gyre_post(remote, post_new("b"), journal_post), 0);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("a ( b new )");
    gyre_remote_unref(remote);
}

static void inside_a_post_a_new_one_runs_behind_the_waiting_ones(void **state)
{
    (void)state;
    in_both_modes(a_new_post);
}

/* ---- hooks ---- */

static void hook_inside(gyre_hook *hook)
{
    journal_hook(hook);
    run_inside();
}

/* The nested turn goes through all hooks of the phase, and with that ends the outer phase. */
static void three_hooks(gyre_hook_phase phase)
{
    gyre_hook *hooks[3] = {hook_new("a", phase), hook_new("b", phase), hook_new("c", phase)};
    gyre_hook *end = hook_new("end", GYRE_HOOK_CHECK);

    gyre_hook_start(hooks[0], journal_hook);
    gyre_hook_start(hooks[1], hook_inside);
    gyre_hook_start(hooks[2], journal_hook);
    gyre_hook_start(end, journal_hook);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    for (int i = 0; i < 3; i++)
        gyre_hook_stop(hooks[i]);
    gyre_hook_stop(end);
}

static void hooks_before_poll(void)
{
    mode = mode == GYRE_RUN_ONCE ? GYRE_RUN_NOWAIT : mode; /* nothing would wake a ONCE */
    three_hooks(GYRE_HOOK_PREPARE);
    assert_journal("a b ( a b ( ) c end ) end");
    three_hooks(GYRE_HOOK_CHECK);
    assert_journal("a b ( a b ( ) c end )");
}

static void inside_a_hook_its_phase_is_run_to_its_end(void **state)
{
    (void)state;
    in_both_modes(hooks_before_poll);
}

static void idle_hooks(void)
{
    three_hooks(GYRE_HOOK_IDLE);
    assert_journal("a b ( a b ( ) c end ) end");
}

static void inside_an_idle_hook_a_turn_does_not_sleep(void **state)
{
    (void)state;
    in_both_modes(idle_hooks);
}

/* ---- close ---- */

static void close_inside(gyre_handle *handle)
{
    journal_close(handle);
    run_inside();
}

static void three_closing(void)
{
    gyre_close(&timer_new("a")->handle, close_inside);
    gyre_close(&timer_new("b")->handle, journal_close);
    gyre_close(&timer_new("c")->handle, journal_close);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("a ( b c )");
}

static void inside_a_close_callback_the_others_are_closed(void **state)
{
    (void)state;
    in_both_modes(three_closing);
}

static void close_another_inside(gyre_handle *handle)
{
    journal_close(handle);
    gyre_close(&timer_new("new")->handle, journal_close);
    run_inside();
}

static void closing_one_more(void)
{
    gyre_close(&timer_new("a")->handle, close_another_inside);
    gyre_close(&timer_new("b")->handle, journal_close);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("a ( b new )");
}

static void inside_a_close_callback_a_new_one_comes_last(void **state)
{
    (void)state;
    in_both_modes(closing_one_more);
}

/* ---- waiting inside ---- */

static bool answered;

static void answer(gyre_post_node *node, int status)
{
    journal_post(node, status);
    answered = true;
}

typedef struct sender {
    gyre_remote *remote;
    gyre_post_node *node;
} sender;

static void *send_answer(void *context)
{
    const sender *self = context;

    (void)gyre_post(self->remote, self->node, answer);
    return NULL;
}

static void wait_for_answer(gyre_timer *timer)
{
    sender self = {.remote = gyre_loop_remote(loop), .node = post_new("answer")};
    pthread_t thread;

    answered = false;
    journal_timer(timer);
    assert_int_equal(pthread_create(&thread, NULL, send_answer, &self), 0);
    while (!answered)
        assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 1);
    pthread_join(thread, NULL);
    gyre_remote_unref(self.remote);
    journal("done");
}

static void a_callback_may_wait_for_a_thread_in_once(void **state)
{
    (void)state;
    gyre_loop_hold(loop);
    gyre_timer_start(timer_new("t"), 0, 0, wait_for_answer);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("t answer done");
    gyre_loop_release(loop);
}

/* ---- many levels, stop, counting ---- */

enum { LEVELS = 100 };

static int level;

static void go_deeper(gyre_deferred *deferred)
{
    (void)deferred;
    if (++level == LEVELS)
        return;
    gyre_defer(loop, deferred_new("deeper"), go_deeper);
    gyre_defer(loop, deferred_new("sibling"), journal_deferred);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
}

static void turns_may_be_nested_deeply(void **state)
{
    (void)state;
    level = 0;
    gyre_defer(loop, deferred_new("first"), go_deeper);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(level, LEVELS);
}

static void stop_in_deferred(gyre_deferred *deferred)
{
    journal_deferred(deferred);
    gyre_loop_stop(loop);
}

static void defer_stop_and_run(gyre_timer *timer)
{
    journal_timer(timer);
    gyre_defer(loop, deferred_new("stop"), stop_in_deferred);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 1);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 1);
    journal("back");
}

static void a_stop_inside_ends_the_outer_run_too(void **state)
{
    (void)state;
    gyre_loop_hold(loop);
    gyre_timer_start(timer_new("t"), 0, 0, defer_stop_and_run);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 1);
    assert_journal("t stop back");
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 1);
    gyre_loop_release(loop);
}

static void tick_inside(gyre_timer *timer)
{
    journal_timer(timer);
    assert_int_equal(gyre_loop_tick(loop), 2);
}

static void tick_counts_what_ran_inside(void **state)
{
    (void)state;
    gyre_timer_start(timer_new("a"), 0, 0, tick_inside);
    gyre_timer_start(timer_new("b"), 0, 0, journal_timer);
    gyre_timer_start(timer_new("c"), 0, 0, journal_timer);
    assert_int_equal(gyre_loop_tick(loop), 3);
    assert_journal("a b c");
}

static void look_at_position(gyre_timer *timer)
{
    gyre_loop_position position;

    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    gyre_loop_position_get(loop, &position);
    assert_int_equal(position.phase, GYRE_PHASE_TIMERS);
    assert_int_equal(position.kind, GYRE_HANDLE_TIMER);
    assert_string_equal(position.name, "outer");
    assert_int_equal(position.callbacks, 2);
    journal_timer(timer);
}

static void position_is_the_outer_callbacks_again(void **state)
{
    (void)state;
    gyre_timer_start(timer_new("outer"), 0, 0, look_at_position);
    gyre_timer_start(timer_new("inner"), 0, 0, journal_timer);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("inner outer");
}

static void assert_inside(gyre_handle_kind kind, const char *name)
{
    gyre_loop_position position;

    gyre_loop_position_get(loop, &position);
    assert_int_equal(position.kind, kind);
    assert_string_equal(position.name, name);
}

/* While none of its own callbacks runs, a turn is in the one around it. */
static void look_between(void *ctx, const gyre_trace_event *event)
{
    if (event->type != GYRE_TRACE_TURN_END)
        return;
    assert_inside(GYRE_HANDLE_TIMER, "outer");
    ++*(int *)ctx;
}

static void run_in_hook(gyre_hook *hook)
{
    gyre_hook_stop(hook);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_inside(GYRE_HANDLE_HOOK, "middle");
    gyre_loop_set_trace(loop, look_between, hook->data);
}

static void run_in_timer(gyre_timer *timer)
{
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    gyre_loop_set_trace(loop, NULL, NULL);
    assert_inside(GYRE_HANDLE_TIMER, "outer");
    journal_timer(timer);
}

static void position_is_right_at_every_depth(void **state)
{
    gyre_hook *middle = hook_new("middle", GYRE_HOOK_CHECK);
    gyre_loop_position position;
    int looks = 0;

    (void)state;
    middle->data = &looks;
    gyre_hook_start(middle, run_in_hook);
    gyre_timer_start(timer_new("outer"), 0, 0, run_in_timer);
    gyre_timer_start(timer_new("inner"), 0, 0, journal_timer);
    gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    gyre_loop_position_get(loop, &position);
    assert_int_equal(position.kind, GYRE_HANDLE_NONE);
    assert_null(position.name);
    assert_int_equal(looks, 1);
    assert_journal("inner outer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(inside_timers_the_due_ones_run),
        LOOP_TEST(inside_timers_a_new_one_runs_behind_the_due_ones),
        LOOP_TEST(inside_timers_a_stopped_one_does_not_run),
        LOOP_TEST(inside_pending_the_waiting_work_runs),
        LOOP_TEST(inside_a_post_the_waiting_posts_run),
        LOOP_TEST(inside_poll_the_waiting_work_runs),
        LOOP_TEST(inside_a_post_a_new_one_runs_behind_the_waiting_ones),
        LOOP_TEST(inside_a_hook_its_phase_is_run_to_its_end),
        LOOP_TEST(inside_an_idle_hook_a_turn_does_not_sleep),
        LOOP_TEST(inside_a_close_callback_the_others_are_closed),
        LOOP_TEST(inside_a_close_callback_a_new_one_comes_last),
        LOOP_TEST(a_callback_may_wait_for_a_thread_in_once),
        LOOP_TEST(turns_may_be_nested_deeply),
        LOOP_TEST(a_stop_inside_ends_the_outer_run_too),
        LOOP_TEST(tick_counts_what_ran_inside),
        LOOP_TEST(position_is_the_outer_callbacks_again),
        LOOP_TEST(position_is_right_at_every_depth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
