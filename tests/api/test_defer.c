/*
 * Deferred work: in the pending phase or right after poll, in order, and cancelled before it runs.
 */
#include "fixture.h"

static void work_runs_in_order_of_defer(void **state)
{
    (void)state;
    gyre_defer(loop, deferred_new("a"), journal_deferred);
    gyre_defer(loop, deferred_new("b"), journal_deferred);
    gyre_defer(loop, deferred_new("c"), journal_deferred);
    assert_journal("");
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 0);
    assert_journal("a b c");
}

static void journal_phase(gyre_deferred *deferred)
{
    (void)deferred;
    journal(gyre_phase_name(gyre_loop_phase(loop)));
}

static void work_runs_in_the_pending_phase(void **state)
{
    (void)state;
    gyre_defer(loop, deferred_new("a"), journal_phase);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("pending");
}

static void defer_itself(gyre_deferred *deferred)
{
    journal_phase(deferred);
    gyre_defer(loop, deferred, defer_itself);
}

static void work_deferred_from_deferred_work_waits(void **state)
{
    gyre_hook *prepare = hook_new("-", GYRE_HOOK_PREPARE);
    gyre_hook *check = hook_new("|", GYRE_HOOK_CHECK);
    gyre_deferred *work = deferred_new("d");

    (void)state;
    gyre_hook_start(prepare, journal_hook);
    gyre_hook_start(check, journal_hook);
    gyre_defer(loop, work, defer_itself);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("pending - poll poll poll poll poll poll poll poll |");
    assert_int_equal(gyre_defer_cancel(work), 0);
}

static void endless_work_does_not_starve_timers(void **state)
{
    gyre_deferred *work = deferred_new("d");

    (void)state;
    gyre_defer(loop, work, defer_itself);
    gyre_timer_start(timer_new("t"), 0, 0, journal_timer);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("pending poll poll poll poll poll poll poll poll t");
    assert_int_equal(gyre_defer_cancel(work), 0);
}

static void cancelled_work_does_not_run(void **state)
{
    gyre_deferred *work = deferred_new("b");

    (void)state;
    gyre_defer(loop, deferred_new("a"), journal_deferred);
    gyre_defer(loop, work, journal_deferred);
    gyre_defer(loop, deferred_new("c"), journal_deferred);
    assert_int_equal(gyre_defer_cancel(work), 0);
    assert_int_equal(gyre_defer_cancel(work), GYRE_ENOENT);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 0);
    assert_journal("a c");
}

static void cancel_says_enoent_when_it_does_not_wait(void **state)
{
    gyre_deferred *work = deferred_new("a");

    (void)state;
    assert_int_equal(gyre_defer_cancel(work), GYRE_ENOENT);
    gyre_defer(loop, work, journal_deferred);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("a");
    assert_int_equal(gyre_defer_cancel(work), GYRE_ENOENT);
}

static gyre_deferred *victim;

static void cancel_victim(gyre_deferred *deferred)
{
    journal_deferred(deferred);
    assert_int_equal(gyre_defer_cancel(victim), 0);
}

static void work_cancelled_by_its_sibling_does_not_run(void **state)
{
    (void)state;
    victim = deferred_new("victim");
    gyre_defer(loop, deferred_new("a"), cancel_victim);
    gyre_defer(loop, victim, journal_deferred);
    gyre_defer(loop, deferred_new("c"), journal_deferred);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 0);
    assert_journal("a c");
}

static void forget(gyre_deferred *deferred)
{
    journal_deferred(deferred);
    *deferred = (gyre_deferred){.data = NULL};
}

static void its_memory_is_the_callers_in_the_callback(void **state)
{
    gyre_deferred *work = deferred_new("a");

    (void)state;
    gyre_defer(loop, work, forget);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 0);
    assert_journal("a");
    assert_null(work->data);
}

static void defer_without_callback(void)
{
    gyre_deferred work = {.data = NULL};

    if (gyre_loop_init(&loop, NULL) == 0)
        gyre_defer(loop, &work, NULL);
}

static void defer_twice(void)
{
    gyre_deferred work = {.data = NULL};

    if (gyre_loop_init(&loop, NULL) != 0)
        return;
    gyre_defer(loop, &work, journal_deferred);
    gyre_defer(loop, &work, journal_deferred);
}

static void misuse_asserts(void **state)
{
    (void)state;
    assert_true(aborts(defer_without_callback));
    assert_true(aborts(defer_twice));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(work_runs_in_order_of_defer),
        LOOP_TEST(work_runs_in_the_pending_phase),
        LOOP_TEST(work_deferred_from_deferred_work_waits),
        LOOP_TEST(endless_work_does_not_starve_timers),
        LOOP_TEST(cancelled_work_does_not_run),
        LOOP_TEST(cancel_says_enoent_when_it_does_not_wait),
        LOOP_TEST(work_cancelled_by_its_sibling_does_not_run),
        LOOP_TEST(its_memory_is_the_callers_in_the_callback),
        cmocka_unit_test(misuse_asserts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
