/*
 * Groups: a loop on each thread; where things are placed; posts to one and to all; the ways in
 * which a group ends.
 *
 * An assertion of cmocka may fail on the test's own thread only: what other threads find goes into
 * counters, which the test looks at.
 */
#include "peers.h"

#include <gyre/group.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { LOOPS = 3 };

static gyre_group *group;
static pthread_t threads[LOOPS];
static gyre_loop *loops[LOOPS];
static int set_ups;
static int drains;
static int teardowns;
static int ends;
static int wrong; /* what should not be */
static int count;
static int fail_at; /* the setup of this loop fails; -1: none */

static void add(int *counter, int amount)
{
    __atomic_fetch_add(counter, amount, __ATOMIC_SEQ_CST);
}

static int get(const int *counter)
{
    return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

static void check(bool holds)
{
    if (!holds)
        add(&wrong, 1);
}

static void wait_for(const int *counter, int goal)
{
    while (get(counter) < goal)
        sched_yield();
}

static int set_up(void **state)
{
    (void)state;
    set_ups = drains = teardowns = ends = wrong = count = 0;
    fail_at = -1;
    memset(loops, 0, sizeof(loops));
    group = NULL;
    return 0;
}

/* A test that failed half-way leaves no threads behind. */
static int tear_down(void **state)
{
    (void)state;
    if (group != NULL)
        (void)gyre_group_close(group, 0);
    return get(&wrong);
}

#define GROUP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* ---- callbacks ---- */

static int on_setup(gyre_group *of, uint32_t index, gyre_loop *on, void *ctx)
{
    check(of == group && ctx == &count);
    check(gyre_group_index(of, on) == (int)index);
    threads[index] = pthread_self();
    loops[index] = on;
    add(&set_ups, 1);
    return (int)index == fail_at ? GYRE_EADDRINUSE : 0;
}

static void on_drain(gyre_group *of, uint32_t index, gyre_loop *on, void *ctx)
{
    check(of == group && ctx == &count);
    check(loops[index] == on && pthread_equal(threads[index], pthread_self()));
    add(&drains, 1);
}

static void on_teardown(gyre_group *of, uint32_t index, gyre_loop *on, void *ctx)
{
    check(of == group && ctx == &count);
    check(gyre_group_index(of, on) == (int)index);
    check(pthread_equal(threads[index], pthread_self()));
    check(gyre_loop_phase(on) == GYRE_PHASE_NONE);
    check(gyre_group_enter(of, (int)index) == GYRE_EGONE);
    add(&teardowns, 1);
}

static void on_ended(gyre_group *of, uint32_t index, void *ctx)
{
    check(of == group && ctx == &count);
    check(pthread_equal(threads[index], pthread_self()));
    check(gyre_group_index(of, loops[index]) == GYRE_ENOENT);
    add(&ends, 1);
}

static gyre_group_options usual_options(void)
{
    return (gyre_group_options){
        .size = sizeof(gyre_group_options),
        .drain = on_drain,
        .teardown = on_teardown,
        .ended = on_ended,
        .ctx = &count,
    };
}

static void open_group(void)
{
    const gyre_group_options options = usual_options();

    set_ups = teardowns = ends = 0;
    assert_int_equal(gyre_group_open(&group, LOOPS, &options, on_setup), 0);
    assert_int_equal(get(&set_ups), LOOPS);
}

static void close_group(uint64_t timeout_ns, int expected)
{
    assert_int_equal(gyre_group_close(group, timeout_ns), expected);
    group = NULL;
    assert_int_equal(get(&teardowns), LOOPS);
    assert_int_equal(get(&ends), LOOPS);
    assert_int_equal(get(&wrong), 0);
}

/* ---- life ---- */

static void each_loop_has_a_thread_of_its_own(void **state)
{
    (void)state;
    open_group();
    assert_int_equal(gyre_group_count(group), LOOPS);
    for (int i = 0; i < LOOPS; i++) {
        assert_false(pthread_equal(threads[i], pthread_self()));
        assert_int_equal(gyre_group_index(group, loops[i]), i);
        for (int j = 0; j < i; j++) {
            assert_false(pthread_equal(threads[i], threads[j]));
            assert_ptr_not_equal(loops[i], loops[j]);
        }
    }
    assert_int_equal(gyre_group_index(group, NULL), GYRE_ENOENT);
    close_group(UINT64_MAX, 0);
    assert_int_equal(get(&drains), LOOPS);
}

static void a_group_serves_until_it_is_told_to_end(void **state)
{
    (void)state;
    open_group();
    for (int i = 0; i < 100; i++) {
        assert_int_equal(get(&ends), 0);
        sched_yield();
    }
    gyre_group_drain(group);
    gyre_group_drain(group);
    wait_for(&ends, LOOPS);
    assert_int_equal(get(&drains), LOOPS);
    close_group(UINT64_MAX, 0);
    assert_int_equal(get(&drains), LOOPS);
}

static void stopping_does_not_drain(void **state)
{
    (void)state;
    open_group();
    gyre_group_stop(group);
    gyre_group_stop(group);
    wait_for(&ends, LOOPS);
    close_group(0, 0);
    open_group();
    close_group(0, 0);
    assert_int_equal(get(&drains), 0);
}

static void without_options_a_group_runs_too(void **state)
{
    cpu_set_t allowed;

    (void)state;
    assert_int_equal(gyre_group_open(&group, 0, NULL, NULL), 0);
    assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    assert_int_equal(gyre_group_count(group), CPU_COUNT(&allowed));
    assert_int_equal(gyre_group_close(group, GYRE_SECOND), 0);
    group = NULL;
}

static void options_out_of_range_are_refused(void **state)
{
    const gyre_loop_options bad_loop = {.size = sizeof(bad_loop), .ring_entries = 1};
    gyre_group_options options = usual_options();

    (void)state;
    assert_int_equal(gyre_group_open(&group, 1025, &options, on_setup), GYRE_EINVAL);
    options.pin = 2;
    assert_int_equal(gyre_group_open(&group, 1, &options, on_setup), GYRE_EINVAL);
    options = usual_options();
    options.size = 0;
    assert_int_equal(gyre_group_open(&group, 1, &options, on_setup), GYRE_EINVAL);
    options = usual_options();
    options.loop = &bad_loop;
    assert_int_equal(gyre_group_open(&group, 1, &options, on_setup), GYRE_EINVAL);
    assert_null(group);
    assert_int_equal(get(&set_ups), 0);
}

static void a_setup_that_fails_ends_the_group(void **state)
{
    const gyre_group_options options = usual_options();

    (void)state;
    for (fail_at = 0; fail_at < LOOPS; fail_at++) {
        set_ups = teardowns = ends = 0;
        assert_int_equal(gyre_group_open(&group, LOOPS, &options, on_setup), GYRE_EADDRINUSE);
        assert_null(group);
        assert_true(get(&set_ups) >= 1);
        assert_int_equal(get(&teardowns), get(&set_ups) - 1);
        assert_int_equal(get(&ends), get(&set_ups) - 1);
        assert_int_equal(get(&drains), 0);
    }
}

static void close_on_a_thread_of_the_group(gyre_post_node *node, int status)
{
    (void)node;
    check(status == 0);
    check(gyre_group_close(group, 0) == GYRE_EDEADLK);
    add(&count, 1);
}

static void no_loop_closes_its_own_group(void **state)
{
    gyre_post_node node;

    (void)state;
    open_group();
    assert_int_equal(gyre_group_post(group, 1, &node, close_on_a_thread_of_the_group), 0);
    wait_for(&count, 1);
    close_group(GYRE_SECOND, 0);
}

/* ---- timers that keep a loop alive ---- */

static gyre_timer timers[LOOPS];
static int timers_closed;

static void on_timer(gyre_timer *timer)
{
    gyre_close(&timer->handle, NULL);
}

static void on_timer_closed(gyre_handle *handle)
{
    (void)handle;
    add(&timers_closed, 1);
}

static void no_timer(gyre_timer *timer)
{
    (void)timer;
    add(&wrong, 1);
}

static int setup_for_ever(gyre_group *of, uint32_t index, gyre_loop *on, void *ctx)
{
    check(gyre_timer_init(on, &timers[index]) == 0);
    gyre_timer_start(&timers[index], 3600 * GYRE_SECOND, 0, no_timer);
    return on_setup(of, index, on, ctx);
}

static void drain_soon(gyre_group *of, uint32_t index, gyre_loop *on, void *ctx)
{
    on_drain(of, index, on, ctx);
    gyre_timer_start(&timers[index], GYRE_MILLISECOND, 0, on_timer);
}

static void drain_and_close(gyre_group *of, uint32_t index, gyre_loop *on, void *ctx)
{
    on_drain(of, index, on, ctx);
    gyre_close(&timers[index].handle, on_timer_closed);
}

static void draining_waits_for_what_is_under_way(void **state)
{
    gyre_group_options options = usual_options();

    (void)state;
    options.drain = drain_soon;
    assert_int_equal(gyre_group_open(&group, LOOPS, &options, setup_for_ever), 0);
    close_group(UINT64_MAX, 0);
    assert_int_equal(get(&drains), LOOPS);
    options.drain = drain_and_close;
    teardowns = ends = timers_closed = 0;
    assert_int_equal(gyre_group_open(&group, LOOPS, &options, setup_for_ever), 0);
    close_group(60 * GYRE_SECOND, 0);
    assert_int_equal(get(&timers_closed), LOOPS);
}

static void at_the_end_of_the_time_a_loop_is_stopped(void **state)
{
    const gyre_group_options options = usual_options();

    (void)state;
    assert_int_equal(gyre_group_open(&group, LOOPS, &options, setup_for_ever), 0);
    close_group(10 * GYRE_MILLISECOND, GYRE_ETIMEDOUT);
    assert_int_equal(get(&drains), LOOPS);
}

static void count_post(gyre_post_node *node, int status)
{
    (void)node;
    check(status == 0);
    add(&count, 1);
}

static void nothing_is_placed_on_a_loop_that_drains(void **state)
{
    const gyre_group_options options = usual_options();
    gyre_post_node nodes[LOOPS];

    (void)state;
    assert_int_equal(gyre_group_open(&group, LOOPS, &options, setup_for_ever), 0);
    assert_int_equal(gyre_group_enter(group, 0), 0);
    gyre_group_drain(group);
    wait_for(&drains, LOOPS);
    assert_int_equal(gyre_group_enter(group, 0), GYRE_EGONE);
    assert_int_equal(gyre_group_enter(group, GYRE_GROUP_NEXT), GYRE_EGONE);
    assert_int_equal(gyre_group_enter(group, GYRE_GROUP_LEAST), GYRE_EGONE);
    gyre_group_leave(group, 0);
    /* but it still runs */
    assert_int_equal(gyre_group_post_all(group, nodes, count_post), LOOPS);
    wait_for(&count, LOOPS);
    assert_int_equal(get(&ends), 0);
    close_group(0, 0);
}

static void stop_this_loop(gyre_post_node *node, int status)
{
    check(status == 0);
    gyre_loop_stop(node->data);
}

static void a_loop_may_leave_the_group(void **state)
{
    gyre_post_node node = {0};
    gyre_remote *remote;

    (void)state;
    open_group();
    remote = gyre_group_remote(group, 1);
    node.data = loops[1];
    assert_int_equal(gyre_group_post(group, 1, &node, stop_this_loop), 0);
    wait_for(&ends, 1);
    assert_int_equal(gyre_group_post(group, 1, &node, stop_this_loop), GYRE_EGONE);
    assert_int_equal(gyre_post(remote, &node, stop_this_loop), GYRE_EGONE);
    assert_int_equal(gyre_group_enter(group, 1), GYRE_EGONE);
    for (int i = 0; i < 10; i++) {
        const int next = gyre_group_enter(group, GYRE_GROUP_NEXT);
        const int least = gyre_group_enter(group, GYRE_GROUP_LEAST);

        assert_true(next == 0 || next == 2);
        assert_true(least == 0 || least == 2);
    }
    assert_int_equal(gyre_group_load(group, 1), 0);
    assert_int_equal(gyre_group_load(group, 0), 10);
    assert_int_equal(gyre_group_load(group, 2), 10);
    close_group(UINT64_MAX, 0);
    assert_int_equal(get(&drains), LOOPS - 1);
    assert_int_equal(gyre_post(remote, &node, stop_this_loop), GYRE_EGONE);
    gyre_remote_unref(remote);
}

/* ---- threads ---- */

static void look_at_the_thread(gyre_post_node *node, int status)
{
    cpu_set_t allowed;
    sigset_t blocked;

    (void)node;
    check(status == 0);
    check(sched_getaffinity(0, sizeof(allowed), &allowed) == 0);
    check(CPU_COUNT(&allowed) == 1);
    check(pthread_sigmask(SIG_BLOCK, NULL, &blocked) == 0);
    check(sigismember(&blocked, SIGTERM) == 1 && sigismember(&blocked, SIGCHLD) == 1);
    check(sigismember(&blocked, SIGSEGV) == 0);
    add(&count, 1);
}

static void threads_are_pinned_and_take_no_signals(void **state)
{
    gyre_group_options options = usual_options();
    gyre_post_node nodes[LOOPS];
    sigset_t blocked;

    (void)state;
    options.pin = 1;
    options.name = "a name that is longer than any";
    assert_int_equal(gyre_group_open(&group, LOOPS, &options, on_setup), 0);
    assert_int_equal(gyre_group_post_all(group, nodes, look_at_the_thread), LOOPS);
    wait_for(&count, LOOPS);
    close_group(UINT64_MAX, 0);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &blocked), 0);
    assert_int_equal(sigismember(&blocked, SIGTERM), 0);
}

/* ---- posts ---- */

static void count_on_own_thread(gyre_post_node *node, int status)
{
    const size_t index = *(const size_t *)node->data;

    check(status == 0 && pthread_equal(threads[index], pthread_self()));
    add(&count, 1);
}

static void a_post_runs_on_the_loop_that_it_names(void **state)
{
    static size_t indexes[LOOPS];
    gyre_post_node nodes[LOOPS];

    (void)state;
    open_group();
    for (size_t i = 0; i < LOOPS; i++) {
        indexes[i] = i;
        nodes[i].data = &indexes[i];
    }
    for (int round = 1; round <= 50; round++) {
        assert_int_equal(gyre_group_post_all(group, nodes, count_on_own_thread), LOOPS);
        wait_for(&count, round * LOOPS);
    }
    for (uint32_t i = 0; i < LOOPS; i++)
        assert_int_equal(gyre_group_post(group, i, &nodes[i], count_on_own_thread), 0);
    close_group(UINT64_MAX, 0);
    assert_int_equal(get(&count), 51 * LOOPS);
}

static gyre_post_node early_nodes[LOOPS];

static void after_all_set_ups(gyre_post_node *node, int status)
{
    (void)node;
    check(status == 0 && get(&set_ups) == LOOPS);
    add(&count, 1);
}

static int setup_that_posts(gyre_group *of, uint32_t index, gyre_loop *on, void *ctx)
{
    check(gyre_group_post(of, (index + 1) % LOOPS, &early_nodes[index], after_all_set_ups) == 0);
    return on_setup(of, index, on, ctx);
}

static void no_loop_runs_before_all_are_set_up(void **state)
{
    const gyre_group_options options = usual_options();

    (void)state;
    for (int i = 0; i < 20; i++) {
        set_ups = teardowns = ends = count = 0;
        assert_int_equal(gyre_group_open(&group, LOOPS, &options, setup_that_posts), 0);
        wait_for(&count, LOOPS);
        close_group(UINT64_MAX, 0);
    }
}

static void count_status(gyre_post_node *node, int status)
{
    (void)node;
    check(status == 0 || status == GYRE_ECANCELED);
    add(&count, 1);
}

/* Each post that was taken is called, with or without the loop, and none that was refused. */
static void no_post_is_lost_while_loops_leave(void **state)
{
    enum { POSTS = 3000 };
    gyre_post_node *nodes = calloc(POSTS, sizeof(*nodes));
    int taken = 0;

    (void)state;
    assert_non_null(nodes);
    open_group();
    for (uint32_t i = 0; i < POSTS; i++) {
        if (i == POSTS / 3)
            gyre_group_stop(group);
        if (gyre_group_post(group, i % LOOPS, &nodes[i], count_status) == 0)
            taken++;
    }
    close_group(0, 0);
    assert_true(taken >= POSTS / 3);
    assert_int_equal(get(&count), taken);
    free(nodes);
}

/* ---- placing ---- */

static void next_goes_round(void **state)
{
    int first;

    (void)state;
    open_group();
    first = gyre_group_enter(group, GYRE_GROUP_NEXT);
    for (int i = 1; i < 3 * LOOPS; i++)
        assert_int_equal(gyre_group_enter(group, GYRE_GROUP_NEXT), (first + i) % LOOPS);
    for (uint32_t i = 0; i < LOOPS; i++)
        assert_int_equal(gyre_group_load(group, i), 3);
    assert_int_equal(gyre_group_enter(group, LOOPS), GYRE_EINVAL);
    assert_int_equal(gyre_group_enter(group, -3), GYRE_EINVAL);
}

static void least_is_where_the_load_is_least(void **state)
{
    (void)state;
    open_group();
    for (int i = 0; i < 5; i++) {
        assert_int_equal(gyre_group_enter(group, 0), 0);
        assert_int_equal(gyre_group_enter(group, 2), 2);
    }
    for (int i = 0; i < 5; i++)
        assert_int_equal(gyre_group_enter(group, GYRE_GROUP_LEAST), 1);
    gyre_group_leave(group, 2);
    gyre_group_leave(group, 2);
    assert_int_equal(gyre_group_load(group, 2), 3);
    assert_int_equal(gyre_group_enter(group, GYRE_GROUP_LEAST), 2);
    assert_int_equal(gyre_group_enter(group, GYRE_GROUP_LEAST), 2);
    for (int i = 0; i < 3 * LOOPS; i++)
        assert_true(gyre_group_enter(group, GYRE_GROUP_LEAST) >= 0);
    for (uint32_t i = 0; i < LOOPS; i++)
        assert_int_equal(gyre_group_load(group, i), 8);
}

static void *enter_and_leave(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3000; i++) {
        const int one = gyre_group_enter(group, GYRE_GROUP_LEAST);
        const int two = gyre_group_enter(group, GYRE_GROUP_NEXT);

        check(one >= 0 && two >= 0);
        gyre_group_leave(group, (uint32_t)one);
        if (i % 3 != 0)
            gyre_group_leave(group, (uint32_t)two);
    }
    return NULL;
}

static void placing_from_many_threads_counts_right(void **state)
{
    pthread_t placers[4];
    uint32_t sum = 0;

    (void)state;
    open_group();
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&placers[i], NULL, enter_and_leave, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(placers[i], NULL);
    for (uint32_t i = 0; i < LOOPS; i++)
        sum += gyre_group_load(group, i);
    assert_int_equal(sum, 4 * 1000);
    close_group(UINT64_MAX, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GROUP_TEST(each_loop_has_a_thread_of_its_own),
        GROUP_TEST(a_group_serves_until_it_is_told_to_end),
        GROUP_TEST(stopping_does_not_drain),
        GROUP_TEST(without_options_a_group_runs_too),
        GROUP_TEST(options_out_of_range_are_refused),
        GROUP_TEST(a_setup_that_fails_ends_the_group),
        GROUP_TEST(no_loop_closes_its_own_group),
        GROUP_TEST(draining_waits_for_what_is_under_way),
        GROUP_TEST(at_the_end_of_the_time_a_loop_is_stopped),
        GROUP_TEST(nothing_is_placed_on_a_loop_that_drains),
        GROUP_TEST(a_loop_may_leave_the_group),
        GROUP_TEST(threads_are_pinned_and_take_no_signals),
        GROUP_TEST(a_post_runs_on_the_loop_that_it_names),
        GROUP_TEST(no_loop_runs_before_all_are_set_up),
        GROUP_TEST(no_post_is_lost_while_loops_leave),
        GROUP_TEST(next_goes_round),
        GROUP_TEST(least_is_where_the_load_is_least),
        GROUP_TEST(placing_from_many_threads_counts_right),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
