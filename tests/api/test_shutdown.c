/*
 * gyre_loop_shutdown: cancels and closes all there is and frees the loop. Operations in flight are
 * in test_shutdown_io.c.
 */
#include "fixture.h"

/* Shuts the loop down in the test, and leaves the tear-down nothing to do. */
static void shut_down(void)
{
    assert_int_equal(gyre_loop_shutdown(loop, GYRE_SECOND), 0);
    loop = NULL;
}

static void an_empty_loop_is_shut_down(void **state)
{
    (void)state;
    shut_down();
}

static void one_that_has_run_is_shut_down(void **state)
{
    (void)state;
    gyre_timer_start(timer_new("t"), 0, 0, journal_timer);
    gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    shut_down();
    assert_journal("t");
}

static void never(gyre_timer *timer)
{
    (void)timer;
    fail();
}

static void started_handles_are_closed_without_a_call(void **state)
{
    (void)state;
    gyre_timer_start(timer_new("t"), 3600 * GYRE_SECOND, 1, never);
    gyre_hook_start(hook_new("h", GYRE_HOOK_CHECK), journal_hook);
    async_new("a", journal_async);
    timer_new("unused");
    shut_down();
    assert_journal("");
}

static void handles_that_close_get_their_callbacks(void **state)
{
    (void)state;
    gyre_close(&timer_new("a")->handle, journal_close);
    gyre_close(&async_new("b", journal_async)->handle, journal_close);
    shut_down();
    assert_journal("a b");
}

static void deferred_work_is_run(void **state)
{
    (void)state;
    gyre_defer(loop, deferred_new("d"), journal_deferred);
    shut_down();
    assert_journal("d");
}

static void each_post_is_called_once(void **state)
{
    gyre_remote *remote = gyre_loop_remote(loop);

    (void)state;
    assert_int_equal(gyre_post(remote, post_new("p"), journal_post), 0);
    shut_down();
    assert_journal("ECANCELED");
    assert_int_equal(gyre_post(remote, post_new("p"), journal_post), GYRE_EGONE);
    gyre_remote_unref(remote);
}

static void a_held_loop_is_shut_down(void **state)
{
    (void)state;
    gyre_loop_hold(loop);
    timer_new("t");
    shut_down();
}

static void a_stop_does_not_keep_it_from_ending(void **state)
{
    (void)state;
    timer_new("t");
    gyre_loop_stop(loop);
    assert_int_equal(gyre_loop_shutdown(loop, 0), 0);
    loop = NULL;
}

static void it_ends_without_time_when_nobody_adds_work(void **state)
{
    (void)state;
    gyre_timer_start(timer_new("t"), 3600 * GYRE_SECOND, 1, never);
    gyre_close(&timer_new("a")->handle, journal_close);
    assert_int_equal(gyre_loop_shutdown(loop, 0), 0);
    loop = NULL;
    assert_journal("a");
}

static void thousands_of_handles_are_closed(void **state)
{
    enum { COUNT = 10000 };
    gyre_timer *timers = lasting(COUNT * sizeof(*timers));
    gyre_async *asyncs = lasting(COUNT * sizeof(*asyncs));

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(gyre_timer_init(loop, &timers[i]), 0);
        gyre_timer_start(&timers[i], GYRE_SECOND * 3600, 1, never);
        assert_int_equal(gyre_async_init(loop, &asyncs[i], journal_async), 0);
    }
    shut_down();
}

/* ---- callbacks that add work ---- */

static int chain_left;

static void open_another(gyre_handle *handle)
{
    (void)handle;
    if (chain_left-- > 0)
        gyre_close(&timer_new("t")->handle, open_another);
}

static void work_that_ends_is_waited_for(void **state)
{
    (void)state;
    chain_left = 20;
    gyre_close(&timer_new("t")->handle, open_another);
    shut_down();
    assert_int_equal(chain_left, -1);
}

static void work_without_end_is_etimedout_and_the_loop_stands(void **state)
{
    (void)state;
    chain_left = 1000000;
    gyre_close(&timer_new("t")->handle, open_another);
    assert_int_equal(gyre_loop_shutdown(loop, GYRE_MILLISECOND), GYRE_ETIMEDOUT);
    assert_true(chain_left > 0);
    chain_left = 0;
    gyre_timer_start(timer_new("stands"), 0, 0, journal_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("stands");
    shut_down();
}

static void start_in_close(gyre_handle *handle)
{
    journal_close(handle);
    gyre_timer_start(timer_new("new"), 3600 * GYRE_SECOND, 0, never);
}

static void handles_opened_meanwhile_are_closed_too(void **state)
{
    (void)state;
    gyre_close(&timer_new("t")->handle, start_in_close);
    shut_down();
    assert_journal("t");
}

static gyre_timer aborting_timer;

static void shut_down_in_timer(gyre_timer *timer)
{
    (void)gyre_loop_shutdown(timer->handle.loop, 0);
}

static void shut_down_inside(void)
{
    if (gyre_loop_init(&loop, NULL) != 0 || gyre_timer_init(loop, &aborting_timer) != 0)
        return;
    gyre_timer_start(&aborting_timer, 0, 0, shut_down_in_timer);
    (void)gyre_loop_run(loop, GYRE_RUN_NOWAIT);
}

static void a_shutdown_inside_a_callback_asserts(void **state)
{
    (void)state;
    assert_true(aborts(shut_down_inside));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(an_empty_loop_is_shut_down),
        LOOP_TEST(one_that_has_run_is_shut_down),
        LOOP_TEST(started_handles_are_closed_without_a_call),
        LOOP_TEST(handles_that_close_get_their_callbacks),
        LOOP_TEST(deferred_work_is_run),
        LOOP_TEST(each_post_is_called_once),
        LOOP_TEST(a_held_loop_is_shut_down),
        LOOP_TEST(a_stop_does_not_keep_it_from_ending),
        LOOP_TEST(it_ends_without_time_when_nobody_adds_work),
        LOOP_TEST(thousands_of_handles_are_closed),
        LOOP_TEST(work_that_ends_is_waited_for),
        LOOP_TEST(work_without_end_is_etimedout_and_the_loop_stands),
        LOOP_TEST(handles_opened_meanwhile_are_closed_too),
        cmocka_unit_test(a_shutdown_inside_a_callback_asserts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
