/*
 * The thread rule: a loop may be made in one thread and run in another; it belongs to the thread of
 * its first turn, and calls from elsewhere assert.
 */
#include "fixture.h"

#include <pthread.h>

static void *run_default(void *result)
{
    *(int *)result = gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    return NULL;
}

static void *run_and_shut_down(void *result)
{
    run_default(result);
    if (*(int *)result == 0)
        *(int *)result = gyre_loop_shutdown(loop, GYRE_SECOND);
    return NULL;
}

static void a_loop_made_in_one_thread_runs_in_another(void **state)
{
    pthread_t thread;
    int result = -1;

    (void)state;
    gyre_timer_start(timer_new("timer"), 0, 0, journal_timer);
    gyre_hook_start(hook_new("hook", GYRE_HOOK_PREPARE), gyre_hook_stop);
    gyre_defer(loop, deferred_new("deferred"), journal_deferred);
    assert_int_equal(pthread_create(&thread, NULL, run_and_shut_down, &result), 0);
    pthread_join(thread, NULL);
    assert_int_equal(result, 0);
    loop = NULL;
    assert_journal("timer deferred");
}

static void a_loop_made_in_a_thread_that_ended_runs_here(void **state)
{
    (void)state;
    gyre_timer_start(timer_new("timer"), 0, 0, journal_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("timer");
}

static void *make_loop(void *result)
{
    *(int *)result = gyre_loop_init(&loop, NULL);
    return NULL;
}

static int made_elsewhere_set_up(void **state)
{
    pthread_t thread;
    int result = -1;

    (void)state;
    if (pthread_create(&thread, NULL, make_loop, &result) != 0)
        return -1;
    pthread_join(thread, NULL);
    return result;
}

static void a_loop_that_never_ran_may_be_closed_anywhere(void **state)
{
    (void)state;
    assert_int_equal(gyre_loop_close(loop), 0);
    loop = NULL;
}

/* ---- calls from elsewhere assert; each in a child of its own ---- */

static gyre_timer timer;
static gyre_hook hook;

/* A loop that belongs to this thread. */
static bool make_owned(void)
{
    return gyre_loop_init(&loop, NULL) == 0 && gyre_timer_init(loop, &timer) == 0 &&
           gyre_hook_init(loop, &hook, GYRE_HOOK_IDLE) == 0 &&
           gyre_loop_run(loop, GYRE_RUN_NOWAIT) == 0;
}

static void in_thread(void *(*body)(void *))
{
    pthread_t thread;

    if (make_owned() && pthread_create(&thread, NULL, body, NULL) == 0)
        pthread_join(thread, NULL);
}

static void *call_run(void *context)
{
    (void)gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    return context;
}

static void *call_close(void *context)
{
    (void)gyre_loop_close(loop);
    return context;
}

static void *call_stop(void *context)
{
    gyre_loop_stop(loop);
    return context;
}

static void *call_timer_start(void *context)
{
    gyre_timer_start(&timer, 0, 0, journal_timer);
    return context;
}

static void *call_hook_start(void *context)
{
    gyre_hook_start(&hook, journal_hook);
    return context;
}

static void *call_defer(void *context)
{
    static gyre_deferred deferred;

    gyre_defer(loop, &deferred, journal_deferred);
    return context;
}

static void *call_handle_close(void *context)
{
    gyre_close(&timer.handle, NULL);
    return context;
}

static void run_elsewhere(void)
{
    in_thread(call_run);
}

static void close_elsewhere(void)
{
    in_thread(call_close);
}

static void stop_elsewhere(void)
{
    in_thread(call_stop);
}

static void start_timer_elsewhere(void)
{
    in_thread(call_timer_start);
}

static void start_hook_elsewhere(void)
{
    in_thread(call_hook_start);
}

static void defer_elsewhere(void)
{
    in_thread(call_defer);
}

static void close_handle_elsewhere(void)
{
    in_thread(call_handle_close);
}

static void calls_from_another_thread_assert(void **state)
{
    (void)state;
    assert_true(aborts(run_elsewhere));
    assert_true(aborts(close_elsewhere));
    assert_true(aborts(stop_elsewhere));
    assert_true(aborts(start_timer_elsewhere));
    assert_true(aborts(start_hook_elsewhere));
    assert_true(aborts(defer_elsewhere));
    assert_true(aborts(close_handle_elsewhere));
}

/* ---- many loops, each in its thread, pass one node round ---- */

enum { LOOPS = 4, HOPS = 4000 };

typedef struct station {
    gyre_loop *loop;
    gyre_remote *remote;
    struct station *next;
    int visits;
    int result;
} station;

static station stations[LOOPS];
static gyre_post_node token;
static int hops;

static void leave(gyre_post_node *node, int status)
{
    station *here = node->data;

    (void)status;
    gyre_loop_release(here->loop);
    if (here->next == &stations[0])
        return;
    node->data = here->next;
    (void)gyre_post(here->next->remote, node, leave);
}

static void hop(gyre_post_node *node, int status)
{
    station *here = node->data;

    (void)status;
    here->visits++;
    node->data = here->next;
    if (++hops < HOPS)
        (void)gyre_post(here->next->remote, node, hop);
    else
        (void)gyre_post(here->next->remote, node, leave);
}

static void *run_station(void *context)
{
    station *self = context;

    gyre_loop_hold(self->loop);
    self->result = gyre_loop_run(self->loop, GYRE_RUN_DEFAULT);
    if (self->result == 0)
        self->result = gyre_loop_close(self->loop);
    return NULL;
}

static void loops_in_threads_post_to_each_other(void **state)
{
    pthread_t threads[LOOPS];

    (void)state;
    for (int i = 0; i < LOOPS; i++) {
        stations[i].next = &stations[(i + 1) % LOOPS];
        assert_int_equal(gyre_loop_init(&stations[i].loop, NULL), 0);
        stations[i].remote = gyre_loop_remote(stations[i].loop);
    }
    for (int i = 0; i < LOOPS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_station, &stations[i]), 0);
    token.data = &stations[0];
    assert_int_equal(gyre_post(stations[0].remote, &token, hop), 0);
    for (int i = 0; i < LOOPS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < LOOPS; i++) {
        assert_int_equal(stations[i].result, 0);
        assert_int_equal(stations[i].visits, HOPS / LOOPS);
        gyre_remote_unref(stations[i].remote);
    }
}

/* ---- the position, read by a watchdog in another thread ---- */

typedef struct watchdog {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool blocked;
    bool seen;
    gyre_loop_position position;
} watchdog;

static void *watch(void *context)
{
    watchdog *self = context;

    pthread_mutex_lock(&self->mutex);
    while (!self->blocked)
        pthread_cond_wait(&self->changed, &self->mutex);
    gyre_loop_position_get(loop, &self->position);
    self->seen = true;
    pthread_cond_signal(&self->changed);
    pthread_mutex_unlock(&self->mutex);
    return NULL;
}

static void block_until_seen(gyre_timer *self)
{
    watchdog *dog = self->data;

    pthread_mutex_lock(&dog->mutex);
    dog->blocked = true;
    pthread_cond_signal(&dog->changed);
    while (!dog->seen)
        pthread_cond_wait(&dog->changed, &dog->mutex);
    pthread_mutex_unlock(&dog->mutex);
}

static void a_watchdog_sees_the_callback_that_blocks(void **state)
{
    watchdog dog = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    gyre_timer *slow = timer_new("slow");
    pthread_t thread;

    (void)state;
    slow->data = &dog;
    gyre_timer_start(slow, 0, 0, block_until_seen);
    assert_int_equal(pthread_create(&thread, NULL, watch, &dog), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 0);
    pthread_join(thread, NULL);
    assert_int_equal(dog.position.phase, GYRE_PHASE_TIMERS);
    assert_int_equal(dog.position.kind, GYRE_HANDLE_TIMER);
    assert_string_equal(dog.position.name, "slow");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(a_loop_made_in_one_thread_runs_in_another),
        cmocka_unit_test_setup_teardown(a_loop_made_in_a_thread_that_ended_runs_here,
                                        made_elsewhere_set_up, loop_tear_down),
        cmocka_unit_test_setup_teardown(a_loop_that_never_ran_may_be_closed_anywhere,
                                        made_elsewhere_set_up, loop_tear_down),
        cmocka_unit_test(calls_from_another_thread_assert),
        cmocka_unit_test(loops_in_threads_post_to_each_other),
        LOOP_TEST(a_watchdog_sees_the_callback_that_blocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
