/*
 * Hooks: run once a turn in start order; started, stopped and closed while their phase runs.
 */
#include "fixture.h"

static const gyre_hook_phase phases[] = {GYRE_HOOK_IDLE, GYRE_HOOK_PREPARE, GYRE_HOOK_CHECK};

typedef void (*phase_test)(gyre_hook_phase phase);

/* Each promise holds for each of the three phases. */
static void in_each_phase(phase_test test)
{
    for (int i = 0; i < 3; i++)
        test(phases[i]);
}

static gyre_hook *started(const char *name, gyre_hook_phase phase, gyre_hook_cb cb)
{
    gyre_hook *hook = hook_new(name, phase);

    gyre_hook_start(hook, cb);
    return hook;
}

/* Closes all hooks that a test of one phase left, before the next phase's. */
static void close_all(gyre_handle *handle, void *ctx)
{
    (void)ctx;
    gyre_close(handle, NULL);
}

static void end_phase_test(void)
{
    gyre_loop_walk(loop, close_all, NULL);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("");
}

static void tick(const char *expected)
{
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal(expected);
}

static void order_of_start(gyre_hook_phase phase)
{
    gyre_hook *a = hook_new("a", phase);
    gyre_hook *b = hook_new("b", phase);

    gyre_hook_start(b, journal_hook);
    started("c", phase, journal_hook);
    gyre_hook_start(a, journal_hook);
    tick("b c a");
    tick("b c a");
    gyre_hook_stop(b);
    gyre_hook_start(b, journal_hook);
    tick("c a b");
    end_phase_test();
}

static void hooks_run_in_order_of_start(void **state)
{
    (void)state;
    in_each_phase(order_of_start);
}

static void other_callback(gyre_hook *hook)
{
    (void)hook;
    journal("other");
}

static void only_the_callback(gyre_hook_phase phase)
{
    gyre_hook *a = started("a", phase, journal_hook);

    started("b", phase, journal_hook);
    gyre_hook_start(a, other_callback);
    tick("other b");
    end_phase_test();
}

static void starting_a_started_hook_changes_only_its_callback(void **state)
{
    (void)state;
    in_each_phase(only_the_callback);
}

static void start_new(gyre_hook *hook)
{
    const gyre_hook_phase *phase = hook->data;

    journal_hook(hook);
    started("new", *phase, journal_hook);
    gyre_hook_start(hook, journal_hook);
}

static void next_turn(gyre_hook_phase phase)
{
    gyre_hook *a = started("a", phase, start_new);

    a->data = &phase;
    started("b", phase, journal_hook);
    tick("a b");
    tick("a b new");
    end_phase_test();
}

static void one_started_inside_its_phase_begins_in_the_next_turn(void **state)
{
    (void)state;
    in_each_phase(next_turn);
}

static void restart_other(gyre_hook *hook)
{
    journal_hook(hook);
    gyre_hook_stop(hook->data);
    gyre_hook_start(hook->data, journal_hook);
    gyre_hook_start(hook, journal_hook);
}

static void restarted(gyre_hook_phase phase)
{
    gyre_hook *a = started("a", phase, restart_other);

    a->data = started("b", phase, journal_hook);
    started("c", phase, journal_hook);
    tick("a c");
    tick("a c b");
    end_phase_test();
}

static void one_restarted_inside_its_phase_begins_in_the_next_turn(void **state)
{
    (void)state;
    in_each_phase(restarted);
}

static void stop_other(gyre_hook *hook)
{
    journal_hook(hook);
    gyre_hook_stop(hook->data);
}

static void stopped_by_sibling(gyre_hook_phase phase)
{
    gyre_hook *a = started("a", phase, stop_other);

    a->data = started("b", phase, journal_hook);
    started("c", phase, journal_hook);
    tick("a c");
    end_phase_test();
}

static void one_stopped_by_its_sibling_does_not_run(void **state)
{
    (void)state;
    in_each_phase(stopped_by_sibling);
}

static void stopped_behind(gyre_hook_phase phase)
{
    gyre_hook *a = started("a", phase, journal_hook);
    gyre_hook *b = started("b", phase, stop_other);

    b->data = a;
    started("c", phase, journal_hook);
    tick("a b c");
    tick("b c");
    end_phase_test();
}

static void stopping_one_that_has_run_skips_nobody(void **state)
{
    (void)state;
    in_each_phase(stopped_behind);
}

static void stop_self(gyre_hook *hook)
{
    journal_hook(hook);
    gyre_hook_stop(hook);
    gyre_hook_stop(hook);
}

static void each_stops_itself(gyre_hook_phase phase)
{
    started("a", phase, stop_self);
    started("b", phase, stop_self);
    started("c", phase, stop_self);
    tick("a b c");
    tick("");
    end_phase_test();
}

static void hooks_may_stop_themselves(void **state)
{
    (void)state;
    in_each_phase(each_stops_itself);
}

static void close_other(gyre_hook *hook)
{
    gyre_hook *other = hook->data;

    journal_hook(hook);
    gyre_close(&other->handle, journal_close);
    gyre_close(&hook->handle, journal_close);
}

static void closed_by_sibling(gyre_hook_phase phase)
{
    gyre_hook *a = started("a", phase, close_other);

    a->data = started("b", phase, journal_hook);
    started("c", phase, journal_hook);
    tick("a c b a");
    end_phase_test();
}

static void one_closed_by_its_sibling_does_not_run(void **state)
{
    (void)state;
    in_each_phase(closed_by_sibling);
}

static void an_unrefd_hook_runs_while_something_is_alive(void **state)
{
    gyre_hook *hook = started("h", GYRE_HOOK_IDLE, journal_hook);

    (void)state;
    gyre_unref(&hook->handle);
    tick("");
    gyre_loop_hold(loop);
    tick("h");
    gyre_loop_release(loop);
}

static void an_idle_hook_keeps_the_loop_from_sleeping(void **state)
{
    gyre_timer *far = timer_new("far");

    (void)state;
    gyre_timer_start(far, 3600 * GYRE_SECOND, 0, journal_timer);
    started("idle", GYRE_HOOK_IDLE, journal_hook);
    assert_int_equal(gyre_loop_timeout_ns(loop), 0);
    assert_int_equal(gyre_loop_run_turns(loop, 3), 3);
    assert_journal("idle idle idle");
}

static void init_refuses_an_unknown_phase(void **state)
{
    gyre_hook hook;

    (void)state;
    assert_int_equal(gyre_hook_init(loop, &hook, (gyre_hook_phase)3), GYRE_EINVAL);
    assert_int_equal(gyre_hook_init(loop, &hook, (gyre_hook_phase)-1), GYRE_EINVAL);
    assert_int_equal(gyre_loop_handle_count(loop), 0);
}

static void start_without_callback(void)
{
    gyre_hook hook;

    if (gyre_loop_init(&loop, NULL) == 0 && gyre_hook_init(loop, &hook, GYRE_HOOK_IDLE) == 0)
        gyre_hook_start(&hook, NULL);
}

static void start_closing(void)
{
    gyre_hook hook;

    if (gyre_loop_init(&loop, NULL) != 0 || gyre_hook_init(loop, &hook, GYRE_HOOK_IDLE) != 0)
        return;
    gyre_close(&hook.handle, NULL);
    gyre_hook_start(&hook, journal_hook);
}

static void misuse_of_start_asserts(void **state)
{
    (void)state;
    assert_true(aborts(start_without_callback));
    assert_true(aborts(start_closing));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(hooks_run_in_order_of_start),
        LOOP_TEST(starting_a_started_hook_changes_only_its_callback),
        LOOP_TEST(one_started_inside_its_phase_begins_in_the_next_turn),
        LOOP_TEST(one_restarted_inside_its_phase_begins_in_the_next_turn),
        LOOP_TEST(one_stopped_by_its_sibling_does_not_run),
        LOOP_TEST(stopping_one_that_has_run_skips_nobody),
        LOOP_TEST(hooks_may_stop_themselves),
        LOOP_TEST(one_closed_by_its_sibling_does_not_run),
        LOOP_TEST(an_unrefd_hook_runs_while_something_is_alive),
        LOOP_TEST(an_idle_hook_keeps_the_loop_from_sleeping),
        LOOP_TEST(init_refuses_an_unknown_phase),
        cmocka_unit_test(misuse_of_start_asserts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
