/*
 * Async handles: sends coalesce, each send is followed by a callback, from threads and signal
 * handlers, and a send that comes too late says so.
 */
#include "fixture.h"

#include <pthread.h>
#include <signal.h>

static int calls;

static void count_call(gyre_async *async)
{
    (void)async;
    calls++;
}

static void sends_before_the_callback_coalesce(void **state)
{
    gyre_async *async = async_new("a", count_call);
    gyre_remote *remote = gyre_async_remote(async);

    (void)state;
    calls = 0;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(gyre_async_send(remote), 0);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_int_equal(calls, 1);
    gyre_remote_unref(remote);
}

static void the_callback_runs_in_pending_or_after_poll(void **state)
{
    gyre_async *async = async_new("a", journal_async);
    gyre_remote *remote = gyre_async_remote(async);
    gyre_hook *prepare = hook_new("prepare", GYRE_HOOK_PREPARE);

    (void)state;
    gyre_hook_start(prepare, journal_hook);
    assert_int_equal(gyre_async_send(remote), 0);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("a prepare");
    gyre_remote_unref(remote);
}

static gyre_remote *own;

static void send_to_itself(gyre_async *async)
{
    if (++calls < 5)
        assert_int_equal(gyre_async_send(own), 0);
    else
        gyre_close(&async->handle, NULL);
}

static void a_send_in_the_callback_calls_it_again(void **state)
{
    gyre_async *async = async_new("a", send_to_itself);

    (void)state;
    calls = 0;
    own = gyre_async_remote(async);
    assert_int_equal(gyre_async_send(own), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(calls, 5);
    gyre_remote_unref(own);
}

static void asyncs_are_called_in_order_of_their_first_send(void **state)
{
    gyre_remote *a = gyre_async_remote(async_new("a", journal_async));
    gyre_remote *b = gyre_async_remote(async_new("b", journal_async));
    gyre_remote *c = gyre_async_remote(async_new("c", journal_async));

    (void)state;
    gyre_async_send(c);
    gyre_async_send(a);
    gyre_async_send(c);
    gyre_async_send(b);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("c a b");
    gyre_remote_unref(a);
    gyre_remote_unref(b);
    gyre_remote_unref(c);
}

/* ---- other threads ---- */

enum { ROUNDS = 20000 };

typedef struct counter {
    gyre_async *async;
    gyre_remote *remote;
    uint64_t sent; /* atomic */
    uint64_t seen; /* the last value of sent that a callback saw */
    int result;
} counter;

static void *send_rounds(void *context)
{
    counter *self = context;

    for (uint64_t i = 1; i <= ROUNDS; i++) {
        __atomic_store_n(&self->sent, i, __ATOMIC_RELAXED);
        self->result |= gyre_async_send(self->remote);
    }
    return NULL;
}

static void look_at_counter(gyre_async *async)
{
    counter *self = async->data;

    self->seen = __atomic_load_n(&self->sent, __ATOMIC_RELAXED);
    if (self->seen == ROUNDS)
        gyre_close(&async->handle, NULL);
}

/* A callback that comes after the last send sees what was written before it. */
static void a_sleeping_loop_is_woken_by_each_thread(void **state)
{
    counter counters[4] = {{0}};
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++) {
        counters[i].async = async_new("a", look_at_counter);
        counters[i].async->data = &counters[i];
        counters[i].remote = gyre_async_remote(counters[i].async);
        assert_int_equal(pthread_create(&threads[i], NULL, send_rounds, &counters[i]), 0);
    }
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(counters[i].seen, ROUNDS);
        assert_int_equal(counters[i].result, 0);
        gyre_remote_unref(counters[i].remote);
    }
}

/* What was written plainly before a send is visible in the callback: TSan watches. */
static struct {
    gyre_remote *remote;
    int message;
} box;

static void *send_message(void *context)
{
    (void)context;
    box.message = 42;
    (void)gyre_async_send(box.remote);
    return NULL;
}

static void read_message(gyre_async *async)
{
    calls = box.message;
    gyre_close(&async->handle, NULL);
}

static void a_send_carries_what_was_written_before(void **state)
{
    pthread_t thread;

    (void)state;
    box.remote = gyre_async_remote(async_new("a", read_message));
    assert_int_equal(pthread_create(&thread, NULL, send_message, NULL), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(calls, 42);
    pthread_join(thread, NULL);
    gyre_remote_unref(box.remote);
}

/* ---- signal handlers ---- */

static gyre_remote *from_handler;

static void on_signal(int signum)
{
    (void)signum;
    (void)gyre_async_send(from_handler);
}

static void raise_in_hook(gyre_hook *hook)
{
    raise(SIGUSR1);
    raise(SIGUSR1);
    gyre_hook_stop(hook);
}

static void a_signal_handler_may_send(void **state)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct sigaction old;

    (void)state;
    from_handler = gyre_async_remote(async_new("signal", journal_async));
    sigaction(SIGUSR1, &action, &old);
    raise(SIGUSR1);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("signal");
    gyre_hook_start(hook_new("h", GYRE_HOOK_PREPARE), raise_in_hook);
    gyre_loop_run(loop, GYRE_RUN_ONCE);
    assert_journal("signal");
    sigaction(SIGUSR1, &old, NULL);
    gyre_remote_unref(from_handler);
}

static void *signal_process(void *context)
{
    pthread_kill(*(pthread_t *)context, SIGUSR1);
    return NULL;
}

static void a_signal_handler_wakes_the_loop_that_sleeps(void **state)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct sigaction old;
    pthread_t self = pthread_self();
    pthread_t thread;

    (void)state;
    from_handler = gyre_async_remote(async_new("signal", journal_async));
    sigaction(SIGUSR1, &action, &old);
    assert_int_equal(pthread_create(&thread, NULL, signal_process, &self), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 1);
    assert_journal("signal");
    pthread_join(thread, NULL);
    sigaction(SIGUSR1, &old, NULL);
    gyre_remote_unref(from_handler);
}

/* ---- the end ---- */

static void a_send_to_a_closed_async_says_egone(void **state)
{
    gyre_async *async = async_new("a", journal_async);
    gyre_remote *remote = gyre_async_remote(async);

    (void)state;
    gyre_close(&async->handle, journal_close);
    assert_int_equal(gyre_async_send(remote), GYRE_EGONE);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("a");
    assert_int_equal(gyre_async_send(remote), GYRE_EGONE);
    assert_int_equal(gyre_loop_close(loop), 0);
    loop = NULL;
    assert_int_equal(gyre_async_send(remote), GYRE_EGONE);
    gyre_remote_unref(remote);
}

static void closed(gyre_handle *handle)
{
    (void)handle;
    journal("closed");
}

static void a_close_after_a_send_takes_the_callback_back(void **state)
{
    gyre_async *async = async_new("a", journal_async);
    gyre_remote *remote = gyre_async_remote(async);

    (void)state;
    assert_int_equal(gyre_async_send(remote), 0);
    gyre_close(&async->handle, closed);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("closed");
    gyre_remote_unref(remote);
}

static void the_last_reference_may_go_while_a_send_waits(void **state)
{
    gyre_async *async = async_new("a", journal_async);
    gyre_remote *remote = gyre_async_remote(async);

    (void)state;
    assert_int_equal(gyre_async_send(remote), 0);
    gyre_remote_unref(remote);
    gyre_close(&async->handle, closed);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("closed");
}

static void references_are_counted(void **state)
{
    gyre_remote *remote = gyre_async_remote(async_new("a", journal_async));

    (void)state;
    assert_ptr_equal(gyre_remote_ref(remote), remote);
    gyre_remote_unref(remote);
    assert_int_equal(gyre_async_send(remote), 0);
    gyre_remote_unref(remote);
    gyre_remote_unref(NULL);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("a");
}

typedef struct racer {
    gyre_remote *remote;
    int gone;
} racer;

static void *send_until_gone(void *context)
{
    racer *self = context;

    while (gyre_async_send(self->remote) == 0)
        ;
    self->gone = 1;
    gyre_remote_unref(self->remote);
    return NULL;
}

static void close_after_some(gyre_async *async)
{
    if (++calls == 10)
        gyre_close(&async->handle, NULL);
}

static void a_send_that_races_the_close_is_harmless(void **state)
{
    gyre_async *async = async_new("a", close_after_some);
    racer racers[4];
    pthread_t threads[4];

    (void)state;
    calls = 0;
    for (int i = 0; i < 4; i++) {
        racers[i] = (racer){.remote = gyre_async_remote(async)};
        assert_int_equal(pthread_create(&threads[i], NULL, send_until_gone, &racers[i]), 0);
    }
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(gyre_loop_close(loop), 0);
    loop = NULL;
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(racers[i].gone, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(sends_before_the_callback_coalesce),
        LOOP_TEST(the_callback_runs_in_pending_or_after_poll),
        LOOP_TEST(a_send_in_the_callback_calls_it_again),
        LOOP_TEST(asyncs_are_called_in_order_of_their_first_send),
        LOOP_TEST(a_sleeping_loop_is_woken_by_each_thread),
        LOOP_TEST(a_send_carries_what_was_written_before),
        LOOP_TEST(a_signal_handler_may_send),
        LOOP_TEST(a_signal_handler_wakes_the_loop_that_sleeps),
        LOOP_TEST(a_send_to_a_closed_async_says_egone),
        LOOP_TEST(a_close_after_a_send_takes_the_callback_back),
        LOOP_TEST(the_last_reference_may_go_while_a_send_waits),
        LOOP_TEST(references_are_counted),
        LOOP_TEST(a_send_that_races_the_close_is_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
