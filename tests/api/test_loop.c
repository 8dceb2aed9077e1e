/*
 * The loop as an object: what a new one is, when it may be closed, its clocks, counts and lists.
 */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

static void a_new_loop_is_empty(void **state)
{
    (void)state;
    assert_int_equal(gyre_loop_alive(loop), 0);
    assert_int_equal(gyre_loop_handle_count(loop), 0);
    assert_int_equal(gyre_loop_phase(loop), GYRE_PHASE_NONE);
    assert_int_equal(gyre_loop_timeout_ns(loop), UINT64_MAX);
}

static void backend_is_the_one_asked_for(void **state)
{
    const char *asked = getenv("GYRE_BACKEND");

    (void)state;
    if (asked == NULL)
        skip();
    assert_string_equal(gyre_loop_backend_name(loop), asked);
}

static void an_unknown_mode_is_refused(void **state)
{
    (void)state;
    assert_int_equal(gyre_loop_run(loop, (gyre_run_mode)3), GYRE_EINVAL);
    assert_int_equal(gyre_loop_run(loop, (gyre_run_mode)-1), GYRE_EINVAL);
}

/* ---- close ---- */

static void close_is_refused_while_a_handle_is_open(void **state)
{
    gyre_timer *timer = timer_new("t");

    (void)state;
    assert_int_equal(gyre_loop_close(loop), GYRE_EBUSY);
    gyre_close(&timer->handle, journal_close);
    assert_int_equal(gyre_loop_close(loop), GYRE_EBUSY);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("t");
    assert_int_equal(gyre_loop_close(loop), 0);
    loop = NULL;
}

static void close_is_refused_while_work_is_deferred(void **state)
{
    gyre_deferred *deferred = deferred_new("d");

    (void)state;
    gyre_defer(loop, deferred, journal_deferred);
    assert_int_equal(gyre_loop_close(loop), GYRE_EBUSY);
    assert_int_equal(gyre_defer_cancel(deferred), 0);
    assert_int_equal(gyre_loop_close(loop), 0);
    loop = NULL;
    assert_journal("");
}

static void a_refused_close_changes_nothing(void **state)
{
    gyre_timer *timer = timer_new("t");

    (void)state;
    gyre_timer_start(timer, 0, 0, journal_timer);
    assert_int_equal(gyre_loop_close(loop), GYRE_EBUSY);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("t");
}

static void a_held_loop_may_be_closed(void **state)
{
    (void)state;
    gyre_loop_hold(loop);
    assert_int_equal(gyre_loop_close(loop), 0);
    loop = NULL;
}

static void close_in_post(gyre_post_node *node, int status)
{
    (void)node;
    (void)status;
    (void)gyre_loop_close(loop);
}

static void close_inside_a_callback(void)
{
    gyre_remote *remote;
    gyre_post_node node;

    if (gyre_loop_init(&loop, NULL) != 0)
        return;
    remote = gyre_loop_remote(loop);
    if (gyre_post(remote, &node, close_in_post) == 0)
        (void)gyre_loop_run(loop, GYRE_RUN_NOWAIT);
}

static void close_inside_a_callback_asserts(void **state)
{
    (void)state;
    assert_true(aborts(close_inside_a_callback));
}

static gyre_timer aborting_timer;

static void close_in_timer(gyre_timer *timer)
{
    (void)gyre_loop_close(timer->handle.loop);
}

static void close_inside_the_first_timers_phase(void)
{
    if (gyre_loop_init(&loop, NULL) != 0 || gyre_timer_init(loop, &aborting_timer) != 0)
        return;
    gyre_timer_start(&aborting_timer, 0, 0, close_in_timer);
    (void)gyre_loop_run(loop, GYRE_RUN_DEFAULT);
}

static void close_inside_the_first_timers_phase_asserts(void **state)
{
    (void)state;
    assert_true(aborts(close_inside_the_first_timers_phase));
}

/* ---- hold and release ---- */

static void hold_keeps_the_loop_alive_until_release(void **state)
{
    (void)state;
    gyre_loop_hold(loop);
    gyre_loop_hold(loop);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 1);
    gyre_loop_release(loop);
    assert_int_equal(gyre_loop_alive(loop), 1);
    gyre_loop_release(loop);
    assert_int_equal(gyre_loop_alive(loop), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
}

static void release_in_post(gyre_post_node *node, int status)
{
    journal_post(node, status);
    gyre_loop_release(loop);
}

static void a_released_loop_returns_from_default(void **state)
{
    gyre_remote *remote = gyre_loop_remote(loop);
    gyre_post_node *node = post_new("released");

    (void)state;
    gyre_loop_hold(loop);
    assert_int_equal(gyre_post(remote, node, release_in_post), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("released");
    gyre_remote_unref(remote);
}

static void release_unheld(void)
{
    if (gyre_loop_init(&loop, NULL) == 0)
        gyre_loop_release(loop);
}

static void one_release_too_many_asserts(void **state)
{
    (void)state;
    assert_true(aborts(release_unheld));
}

/* ---- clocks ---- */

static void now_is_the_monotonic_clock(void **state)
{
    uint64_t before = clock_ns();

    (void)state;
    gyre_loop_update_now(loop);
    assert_in_range(gyre_loop_now_ns(loop), before, clock_ns());
}

static void read_now_twice(gyre_hook *hook)
{
    const uint64_t now = gyre_loop_now_ns(loop);

    burn_ns(GYRE_MILLISECOND);
    assert_int_equal(gyre_loop_now_ns(loop), now);
    gyre_loop_update_now(loop);
    assert_true(gyre_loop_now_ns(loop) >= now + GYRE_MILLISECOND);
    gyre_hook_stop(hook);
}

static void now_stands_still_in_a_callback_until_updated(void **state)
{
    gyre_hook *hook = hook_new("check", GYRE_HOOK_CHECK);

    (void)state;
    gyre_hook_start(hook, read_now_twice);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_int_equal(gyre_is_active(&hook->handle), 0);
}

static void now_is_read_when_poll_returns(void **state)
{
    const uint64_t before = clock_ns();

    (void)state;
    gyre_loop_hold(loop);
    burn_ns(GYRE_MILLISECOND);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_true(gyre_loop_now_ns(loop) >= before + GYRE_MILLISECOND);
    gyre_loop_release(loop);
}

static void now_is_read_even_when_nothing_is_alive(void **state)
{
    uint64_t before;

    (void)state;
    before = clock_ns();
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 0);
    assert_true(gyre_loop_now_ns(loop) >= before);
}

static void wall_clock_is_that_of_the_system(void **state)
{
    const int64_t before = wall_clock_ns();
    const int64_t now = gyre_loop_wall_ns(loop);

    (void)state;
    assert_true(now >= before && now <= wall_clock_ns());
}

/* ---- counts and lists ---- */

static void handle_count_counts_closing_handles_too(void **state)
{
    gyre_timer *timer = timer_new("t");

    (void)state;
    hook_new("h", GYRE_HOOK_IDLE);
    assert_int_equal(gyre_loop_handle_count(loop), 2);
    gyre_close(&timer->handle, NULL);
    assert_int_equal(gyre_loop_handle_count(loop), 2);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_int_equal(gyre_loop_handle_count(loop), 1);
}

static void journal_walk(gyre_handle *handle, void *ctx)
{
    assert_string_equal(ctx, "context");
    journal_close(handle);
}

static void walk_visits_handles_in_order_of_init(void **state)
{
    char context[] = "context";
    gyre_async *async;

    (void)state;
    timer_new("timer");
    hook_new("hook", GYRE_HOOK_CHECK);
    async = async_new("async", journal_async);
    gyre_loop_walk(loop, journal_walk, context);
    assert_journal("timer hook async");
    gyre_close(&async->handle, NULL);
    gyre_loop_walk(loop, journal_walk, context);
    assert_journal("async timer hook");
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    gyre_loop_walk(loop, journal_walk, context);
    assert_journal("timer hook");
}

static void close_in_walk(gyre_handle *handle, void *ctx)
{
    journal_walk(handle, ctx);
    gyre_close(handle, journal_close);
}

static void walk_meets_a_handle_that_it_closes_once(void **state)
{
    char context[] = "context";

    (void)state;
    timer_new("a");
    timer_new("b");
    timer_new("c");
    gyre_loop_walk(loop, close_in_walk, context);
    assert_journal("a b c");
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("a b c");
}

static void look_at_position(gyre_timer *timer)
{
    gyre_loop_position position;

    gyre_loop_position_get(timer->handle.loop, &position);
    assert_int_equal(position.phase, GYRE_PHASE_TIMERS);
    assert_int_equal(position.kind, GYRE_HANDLE_TIMER);
    assert_string_equal(position.name, "slow");
    assert_int_equal(position.callbacks, 1);
}

static void position_names_the_callback_that_runs(void **state)
{
    gyre_timer *timer = timer_new("slow");
    gyre_loop_position position;

    (void)state;
    gyre_timer_start(timer, 0, 0, look_at_position);
    gyre_loop_run(loop, GYRE_RUN_ONCE);
    gyre_loop_position_get(loop, &position);
    assert_int_equal(position.phase, GYRE_PHASE_NONE);
    assert_int_equal(position.kind, GYRE_HANDLE_NONE);
    assert_null(position.name);
    assert_int_equal(position.callbacks, 1);
}

static void phases_have_names(void **state)
{
    static const char *const names[] = {
        "none", "timers", "pending", "idle", "prepare", "poll", "check", "close",
    };

    (void)state;
    for (int phase = 0; phase < 8; phase++)
        assert_string_equal(gyre_phase_name((gyre_phase)phase), names[phase]);
    assert_string_equal(gyre_phase_name((gyre_phase)8), "none");
    assert_string_equal(gyre_phase_name((gyre_phase)-1), "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(a_new_loop_is_empty),
        LOOP_TEST(backend_is_the_one_asked_for),
        LOOP_TEST(an_unknown_mode_is_refused),
        LOOP_TEST(close_is_refused_while_a_handle_is_open),
        LOOP_TEST(close_is_refused_while_work_is_deferred),
        LOOP_TEST(a_refused_close_changes_nothing),
        LOOP_TEST(a_held_loop_may_be_closed),
        cmocka_unit_test(close_inside_a_callback_asserts),
        cmocka_unit_test(close_inside_the_first_timers_phase_asserts),
        LOOP_TEST(hold_keeps_the_loop_alive_until_release),
        LOOP_TEST(a_released_loop_returns_from_default),
        cmocka_unit_test(one_release_too_many_asserts),
        LOOP_TEST(now_is_the_monotonic_clock),
        LOOP_TEST(now_stands_still_in_a_callback_until_updated),
        LOOP_TEST(now_is_read_when_poll_returns),
        LOOP_TEST(now_is_read_even_when_nothing_is_alive),
        LOOP_TEST(wall_clock_is_that_of_the_system),
        LOOP_TEST(handle_count_counts_closing_handles_too),
        LOOP_TEST(walk_visits_handles_in_order_of_init),
        LOOP_TEST(walk_meets_a_handle_that_it_closes_once),
        LOOP_TEST(position_names_the_callback_that_runs),
        LOOP_TEST(phases_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
