/*
 * Signals: every watcher of a number is called, on every loop; what was installed before comes back
 * when the last one stops.
 */
#include "peers.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static int called;
static int closed;
static int foreign;

static void on_foreign(int signum)
{
    (void)signum;
    foreign++;
}

/* A handler that is not the library's, so that a signal too many is counted and not deadly. */
static int set_up(void **state)
{
    struct sigaction action = {.sa_handler = on_foreign};

    called = closed = foreign = 0;
    if (sigaction(SIGUSR1, &action, NULL) != 0 || sigaction(SIGUSR2, &action, NULL) != 0)
        return -1;
    return loop_set_up(state);
}

#define SIGNAL_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, loop_tear_down)

static gyre_signal *signal_new(const char *name)
{
    gyre_signal *watcher = lasting(sizeof(*watcher));

    assert_int_equal(gyre_signal_init(loop, watcher), 0);
    gyre_handle_set_name(&watcher->handle, name);
    return watcher;
}

static void note(gyre_signal *watcher, int signum)
{
    assert_int_equal(signum, SIGUSR1);
    journal(gyre_handle_name(&watcher->handle));
    called++;
}

static void note_and_stop(gyre_signal *watcher, int signum)
{
    note(watcher, signum);
    gyre_signal_stop(watcher);
}

static void count_close(gyre_handle *handle)
{
    (void)handle;
    closed++;
}

static void note_and_close(gyre_signal *watcher, int signum)
{
    note(watcher, signum);
    gyre_close(&watcher->handle, count_close);
}

static bool is_ours(int signum)
{
    struct sigaction action;

    assert_int_equal(sigaction(signum, NULL, &action), 0);
    return action.sa_handler != on_foreign;
}

/* ---- several watchers ---- */

static void every_watcher_of_a_number_is_called(void **state)
{
    gyre_signal *first = signal_new("first");
    gyre_signal *second = signal_new("second");
    gyre_signal *other = signal_new("other");

    (void)state;
    assert_int_equal(gyre_signal_start(first, SIGUSR1, note), 0);
    assert_int_equal(gyre_signal_start(second, SIGUSR1, note), 0);
    assert_int_equal(gyre_signal_start(other, SIGUSR2, note), 0);
    raise(SIGUSR1);
    assert_int_equal(called, 0); /* from the loop, never from the handler */
    run_until(&called, 2);
    assert_journal("first second");
    raise(SIGUSR1);
    run_until(&called, 4);
    assert_journal("first second");
    assert_int_equal(foreign, 0);
}

/* The one that leaves is the only one on the list of those that were called already. */
static void a_watcher_that_leaves_takes_no_other_with_it(void **state)
{
    const gyre_signal_cb leave[] = {note_and_stop, note_and_close, note};

    (void)state;
    for (int way = 0; way < 3; way++) {
        gyre_signal *leaver = signal_new("leaver");
        gyre_signal *second = signal_new("second");
        gyre_signal *third = signal_new("third");

        called = 0;
        if (way < 2)
            assert_int_equal(gyre_signal_start(leaver, SIGUSR1, leave[way]), 0);
        else
            assert_int_equal(gyre_signal_start_oneshot(leaver, SIGUSR1, leave[way]), 0);
        assert_int_equal(gyre_signal_start(second, SIGUSR1, note), 0);
        assert_int_equal(gyre_signal_start(third, SIGUSR1, note), 0);
        raise(SIGUSR1);
        run_until(&called, 3);
        assert_journal("leaver second third");
        assert_true(is_ours(SIGUSR1));
        raise(SIGUSR1);
        run_until(&called, 5);
        assert_journal("second third");
        gyre_signal_stop(second);
        assert_true(is_ours(SIGUSR1));
        gyre_signal_stop(third);
        assert_false(is_ours(SIGUSR1));
    }
    assert_int_equal(foreign, 0);
}

static gyre_signal *others[2];

static void stop_others(gyre_signal *watcher, int signum)
{
    note(watcher, signum);
    gyre_signal_stop(others[0]);
    gyre_close(&others[1]->handle, count_close);
}

static void a_callback_stops_those_that_are_due(void **state)
{
    gyre_signal *first = signal_new("first");

    (void)state;
    others[0] = signal_new("stopped");
    others[1] = signal_new("closed");
    assert_int_equal(gyre_signal_start(first, SIGUSR1, stop_others), 0);
    assert_int_equal(gyre_signal_start(others[0], SIGUSR1, note), 0);
    assert_int_equal(gyre_signal_start(others[1], SIGUSR1, note), 0);
    raise(SIGUSR1);
    run_until(&closed, 1);
    run_turns(2);
    assert_journal("first");
    assert_true(is_ours(SIGUSR1));
}

static void stop_all(gyre_signal *watcher, int signum)
{
    note_and_stop(watcher, signum);
    gyre_signal_stop(others[0]);
}

static void a_callback_stops_all_of_them(void **state)
{
    gyre_signal *first = signal_new("first");

    (void)state;
    others[0] = signal_new("stopped");
    assert_int_equal(gyre_signal_start(first, SIGUSR1, stop_all), 0);
    assert_int_equal(gyre_signal_start(others[0], SIGUSR1, note), 0);
    raise(SIGUSR1);
    run_until(&called, 1);
    run_turns(2);
    assert_journal("first");
    assert_false(is_ours(SIGUSR1));
    raise(SIGUSR1);
    assert_int_equal(foreign, 1);
}

static void start_again(gyre_signal *watcher, int signum)
{
    note_and_stop(watcher, signum);
    assert_int_equal(gyre_signal_start(watcher, SIGUSR1, note), 0);
}

static void a_watcher_that_starts_again_is_called_once_for_one_arrival(void **state)
{
    gyre_signal *first = signal_new("first");
    gyre_signal *second = signal_new("second");

    (void)state;
    assert_int_equal(gyre_signal_start(first, SIGUSR1, start_again), 0);
    assert_int_equal(gyre_signal_start(second, SIGUSR1, start_again), 0);
    raise(SIGUSR1);
    run_until(&called, 2);
    run_turns(3);
    assert_journal("first second");
    raise(SIGUSR1);
    run_until(&called, 4);
    assert_journal("first second");
}

/* ---- one watcher ---- */

static void arrivals_before_the_callback_coalesce(void **state)
{
    gyre_signal *watcher = signal_new("watcher");

    (void)state;
    assert_int_equal(gyre_signal_start(watcher, SIGUSR1, note), 0);
    for (int i = 0; i < 100; i++)
        raise(SIGUSR1);
    run_until(&called, 1);
    run_turns(3);
    assert_int_equal(called, 1);
}

static void a_stopped_watcher_is_not_called(void **state)
{
    gyre_signal *watcher = signal_new("watcher");

    (void)state;
    assert_int_equal(gyre_signal_start(watcher, SIGUSR1, note), 0);
    raise(SIGUSR1);
    gyre_signal_stop(watcher);
    gyre_signal_stop(watcher);
    run_turns(3);
    assert_int_equal(called, 0);
    assert_false(is_ours(SIGUSR1));
    assert_int_equal(gyre_is_active(&watcher->handle), 0);
    /* An arrival of before does not count for the next start. */
    assert_int_equal(gyre_signal_start(watcher, SIGUSR1, note), 0);
    run_turns(3);
    assert_int_equal(called, 0);
}

static void a_oneshot_watcher_is_called_once(void **state)
{
    gyre_signal *watcher = signal_new("watcher");

    (void)state;
    assert_int_equal(gyre_signal_start_oneshot(watcher, SIGUSR1, note), 0);
    raise(SIGUSR1);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(called, 1);
    assert_false(is_ours(SIGUSR1));
}

static void a_started_watcher_moves_to_another_number(void **state)
{
    gyre_signal *watcher = signal_new("watcher");

    (void)state;
    assert_int_equal(gyre_signal_start(watcher, SIGUSR2, note), 0);
    assert_int_equal(gyre_signal_start(watcher, SIGUSR1, note), 0);
    assert_false(is_ours(SIGUSR2));
    raise(SIGUSR2);
    assert_int_equal(foreign, 1);
    raise(SIGUSR1);
    run_until(&called, 1);
    /* A failed move changes nothing. */
    assert_int_equal(gyre_signal_start(watcher, SIGKILL, note), GYRE_EINVAL);
    raise(SIGUSR1);
    run_until(&called, 2);
}

static void numbers_that_cannot_be_caught_are_errors(void **state)
{
    const int wrong[] = {-1, 0, 65, 1000, SIGKILL, SIGSTOP};
    gyre_signal *watcher = signal_new("watcher");

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(gyre_signal_start(watcher, wrong[i], note), GYRE_EINVAL);
        assert_int_equal(gyre_signal_start_oneshot(watcher, wrong[i], note), GYRE_EINVAL);
    }
    assert_int_equal(gyre_is_active(&watcher->handle), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
}

/* ---- several loops ---- */

static void close_only(gyre_signal *watcher, int signum)
{
    int *calls = watcher->data;

    (void)signum;
    *calls += 1;
    gyre_close(&watcher->handle, NULL);
}

/* A loop of its own in a thread of its own, which ends when the signal came. */
static void *serve(void *argument)
{
    const int *ready = argument;
    gyre_loop *own;
    int calls = 0;
    gyre_signal watcher = {.data = &calls};
    char byte = 'r';

    if (gyre_loop_init(&own, NULL) != 0 || gyre_signal_init(own, &watcher) != 0 ||
        gyre_signal_start_oneshot(&watcher, SIGUSR1, close_only) != 0)
        byte = 'e';
    if (write(*ready, &byte, 1) != 1)
        return NULL;
    (void)gyre_loop_run(own, GYRE_RUN_DEFAULT);
    return gyre_loop_close(own) == 0 && calls == 1 ? argument : NULL;
}

static void one_signal_reaches_all_loops(void **state)
{
    enum { LOOPS = 4 };
    gyre_signal *watcher = signal_new("watcher");
    pthread_t threads[LOOPS];
    int pipes[2];
    char byte;

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    lasting_fd(pipes[0]);
    lasting_fd(pipes[1]);
    assert_int_equal(gyre_signal_start(watcher, SIGUSR1, note), 0);
    for (int i = 0; i < LOOPS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, serve, &pipes[1]), 0);
        assert_int_equal(read(pipes[0], &byte, 1), 1);
        assert_int_equal(byte, 'r');
    }
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    for (int i = 0; i < LOOPS; i++) {
        void *result;

        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_ptr_equal(result, &pipes[1]);
    }
    run_until(&called, 1);
    /* Their leaving left this loop's watcher in its place. */
    assert_true(is_ours(SIGUSR1));
    raise(SIGUSR1);
    run_until(&called, 2);
}

static void a_loop_that_ends_gives_its_signals_back(void **state)
{
    gyre_signal *watcher = signal_new("watcher");

    (void)state;
    assert_int_equal(gyre_signal_start(watcher, SIGUSR1, note), 0);
    raise(SIGUSR1);
    assert_int_equal(gyre_loop_shutdown(loop, GYRE_SECOND), 0);
    loop = NULL;
    assert_int_equal(called, 0);
    assert_false(is_ours(SIGUSR1));
    raise(SIGUSR1);
    assert_int_equal(foreign, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIGNAL_TEST(every_watcher_of_a_number_is_called),
        SIGNAL_TEST(a_watcher_that_leaves_takes_no_other_with_it),
        SIGNAL_TEST(a_callback_stops_those_that_are_due),
        SIGNAL_TEST(a_callback_stops_all_of_them),
        SIGNAL_TEST(a_watcher_that_starts_again_is_called_once_for_one_arrival),
        SIGNAL_TEST(arrivals_before_the_callback_coalesce),
        SIGNAL_TEST(a_stopped_watcher_is_not_called),
        SIGNAL_TEST(a_oneshot_watcher_is_called_once),
        SIGNAL_TEST(a_started_watcher_moves_to_another_number),
        SIGNAL_TEST(numbers_that_cannot_be_caught_are_errors),
        SIGNAL_TEST(one_signal_reaches_all_loops),
        SIGNAL_TEST(a_loop_that_ends_gives_its_signals_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
