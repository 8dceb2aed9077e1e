/*
 * The fork rule: a child may not use the loop until gyre_loop_forked, may close it, and in neither
 * case does it disturb its parent. Descriptors are in test_fork_io.c.
 */
#include "child.h"
#include "fixture.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static gyre_timer *timer;
static gyre_hook *hook;
static gyre_async *async;
static gyre_deferred *deferred;

/* The test's loop, with a handle of each kind, has run before it is forked. */
static int busy_set_up(void **state)
{
    const int error = loop_set_up(state);

    if (error != 0)
        return error;
    timer = timer_new("timer");
    hook = hook_new("hook", GYRE_HOOK_CHECK);
    async = async_new("async", journal_async);
    deferred = deferred_new("deferred");
    gyre_timer_start(timer, 3600 * GYRE_SECOND, 0, journal_timer);
    return gyre_loop_run(loop, GYRE_RUN_NOWAIT) == 1 ? 0 : -1;
}

#define BUSY_TEST(name) cmocka_unit_test_setup_teardown(name, busy_set_up, loop_tear_down)

/* ---- every call asserts in a child ---- */

static void call_run(void)
{
    (void)gyre_loop_run(loop, GYRE_RUN_NOWAIT);
}

static void call_tick(void)
{
    (void)gyre_loop_tick(loop);
}

static void call_run_turns(void)
{
    (void)gyre_loop_run_turns(loop, 1);
}

static void call_step(void)
{
    (void)gyre_loop_step(loop);
}

static void call_stop(void)
{
    gyre_loop_stop(loop);
}

static void call_shutdown(void)
{
    (void)gyre_loop_shutdown(loop, GYRE_SECOND);
}

static void call_hold(void)
{
    gyre_loop_hold(loop);
}

static void call_fd(void)
{
    (void)gyre_loop_fd(loop);
}

static void call_embed_prepare(void)
{
    (void)gyre_loop_embed_prepare(loop);
}

static void call_timeout(void)
{
    (void)gyre_loop_timeout_ns(loop);
}

static void call_defer(void)
{
    gyre_defer(loop, deferred, journal_deferred);
}

static void call_timer_init(void)
{
    (void)gyre_timer_init(loop, &(gyre_timer){.cb = NULL});
}

static void call_timer_start(void)
{
    gyre_timer_start(timer, 0, 0, journal_timer);
}

static void call_timer_stop(void)
{
    gyre_timer_stop(timer);
}

static void call_hook_init(void)
{
    (void)gyre_hook_init(loop, &(gyre_hook){.cb = NULL}, GYRE_HOOK_IDLE);
}

static void call_hook_start(void)
{
    gyre_hook_start(hook, journal_hook);
}

static void call_hook_stop(void)
{
    gyre_hook_stop(hook);
}

static void call_async_init(void)
{
    (void)gyre_async_init(loop, &(gyre_async){.cb = NULL}, journal_async);
}

static void call_close(void)
{
    gyre_close(&timer->handle, NULL);
}

static void call_unref(void)
{
    gyre_unref(&timer->handle);
}

static void call_set_trace(void)
{
    gyre_loop_set_trace(loop, NULL, NULL);
}

typedef void (*call)(void);

static const call calls[] = {
    call_run,        call_tick,       call_run_turns,   call_step,       call_stop,
    call_shutdown,   call_hold,       call_fd,          call_timeout,    call_embed_prepare,
    call_defer,      call_timer_init, call_timer_start, call_timer_stop, call_hook_init,
    call_hook_start, call_hook_stop,  call_async_init,  call_close,      call_unref,
    call_set_trace,
};

static void any_call_in_a_child_asserts_before_forked(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (!aborts(calls[i]))
            fail_msg("call %zu does not assert", i);
    }
}

static void forked_twice(void)
{
    if (gyre_loop_forked(loop) == 0)
        (void)gyre_loop_forked(loop);
}

static void forked_asserts_where_no_fork_was(void **state)
{
    (void)state;
    assert_true(aborts(forked_twice));
}

/* ---- after gyre_loop_forked the loop works in the child ---- */

static int run_out_in_child(void)
{
    if (gyre_loop_forked(loop) != 0)
        return 1;
    gyre_timer_start(timer, GYRE_MILLISECOND, 0, journal_timer);
    gyre_defer(loop, deferred, journal_deferred);
    gyre_hook_start(hook, gyre_hook_stop);
    gyre_unref(&async->handle);
    if (gyre_loop_run(loop, GYRE_RUN_DEFAULT) != 0)
        return 2;
    if (gyre_is_active(&timer->handle) || gyre_is_active(&hook->handle))
        return 3;
    return gyre_loop_shutdown(loop, GYRE_SECOND) == 0 ? 0 : 4;
}

static void a_forked_loop_runs_timers_hooks_and_work(void **state)
{
    (void)state;
    assert_int_equal(child_result(run_out_in_child), 0);
}

static void close_async(gyre_async *self)
{
    gyre_close(&self->handle, NULL);
}

static void *send_async(void *remote)
{
    (void)gyre_async_send(remote);
    return NULL;
}

/* Lets a thread wake the loop, which has nothing else to wait for, from its sleep. */
static int wake_by_thread(void)
{
    gyre_async *waker = calloc(1, sizeof(*waker));
    gyre_remote *remote;
    pthread_t thread;
    int result;

    if (waker == NULL || gyre_async_init(loop, waker, close_async) != 0)
        return 10;
    remote = gyre_async_remote(waker);
    if (pthread_create(&thread, NULL, send_async, remote) != 0)
        return 11;
    do {
        result = gyre_loop_run(loop, GYRE_RUN_ONCE);
    } while (result >= 0 && !gyre_is_closing(&waker->handle));
    pthread_join(thread, NULL);
    gyre_remote_unref(remote);
    while (result >= 0 && gyre_loop_handle_count(loop) > 3)
        result = gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    free(waker);
    return result >= 0 ? 0 : 12;
}

static int wake_in_child(void)
{
    return gyre_loop_forked(loop) != 0 ? 1 : wake_by_thread();
}

static void a_forked_loop_is_woken_by_threads(void **state)
{
    (void)state;
    assert_int_equal(child_result(wake_in_child), 0);
}

static int fork_again(void)
{
    return gyre_loop_forked(loop) != 0 ? 1 : child_result(run_out_in_child);
}

static void a_grandchild_may_be_forked(void **state)
{
    (void)state;
    assert_int_equal(child_result(fork_again), 0);
}

static int close_after_forked(void)
{
    if (gyre_loop_forked(loop) != 0)
        return 1;
    if (gyre_loop_close(loop) != GYRE_EBUSY)
        return 2;
    return gyre_loop_shutdown(loop, GYRE_SECOND) == 0 ? 0 : 3;
}

static void after_forked_close_has_its_rules_back(void **state)
{
    (void)state;
    assert_int_equal(child_result(close_after_forked), 0);
}

/* ---- a child may close what it inherited, and its parent does not notice ---- */

static int close_in_child(void)
{
    return gyre_loop_close(loop) == 0 ? 0 : 1;
}

static void a_child_may_close_without_forked(void **state)
{
    (void)state;
    assert_int_equal(child_result(close_in_child), 0);
}

static bool slice_is_done;

static int step_to_end(gyre_slice *slice)
{
    (void)slice;
    return 0;
}

static void slice_done(gyre_slice *slice, int status)
{
    (void)slice;
    slice_is_done = status == 0;
}

static void a_child_may_close_a_loop_that_had_slices(void **state)
{
    static gyre_slice slice;

    (void)state;
    slice_is_done = false;
    assert_int_equal(gyre_slice_start(loop, &slice, 0, step_to_end, slice_done), 0);
    while (!slice_is_done)
        gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_int_equal(child_result(close_in_child), 0);
}

/* The parent's loop still sleeps, and wakes for a thread and for a timer. */
static void assert_undisturbed(void)
{
    for (int i = 0; i < 3; i++)
        assert_int_equal(wake_by_thread(), 0);
    gyre_timer_start(timer, GYRE_MILLISECOND, 0, journal_timer);
    gyre_unref(&async->handle);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("timer");
}

static void a_childs_close_does_not_disturb_its_parent(void **state)
{
    (void)state;
    assert_int_equal(child_result(close_in_child), 0);
    assert_undisturbed();
}

static void a_childs_work_does_not_disturb_its_parent(void **state)
{
    (void)state;
    assert_int_equal(child_result(wake_in_child), 0);
    assert_int_equal(child_result(run_out_in_child), 0);
    assert_undisturbed();
}

/* Whether the loop's descriptor wakes a host. */
static int is_woken(int fd)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};

    return poll(&one, 1, 0);
}

static int post_to_sleeping_loop(void)
{
    gyre_remote *remote = gyre_loop_remote(loop);

    if (gyre_loop_forked(loop) != 0 || gyre_loop_embed_prepare(loop) != 0)
        return 1;
    if (gyre_post(remote, post_new("p"), journal_post) != 0)
        return 2;
    return is_woken(gyre_loop_fd(loop)) == 1 ? 0 : 3;
}

static void wake_ups_stay_on_their_side_of_the_fork(void **state)
{
    const int fd = gyre_loop_fd(loop);

    (void)state;
    if (fd == GYRE_ENOTSUP)
        skip();
    gyre_loop_tick(loop);
    assert_int_equal(gyre_loop_embed_prepare(loop), 0);
    assert_int_equal(is_woken(fd), 0);
    assert_int_equal(child_result(post_to_sleeping_loop), 0);
    assert_int_equal(is_woken(fd), 0);
    assert_undisturbed();
}

/* ---- forks at odd moments ---- */

static int run_unrun(void)
{
    return gyre_loop_forked(loop) != 0 ? 1 : wake_by_thread();
}

static void a_loop_may_be_forked_before_its_first_turn(void **state)
{
    (void)state;
    timer = timer_new("timer");
    async = async_new("async", journal_async);
    timer_new("unused");
    assert_int_equal(child_result(close_in_child), 0);
    assert_int_equal(child_result(run_unrun), 0);
    assert_undisturbed();
}

static int child;

static void fork_in_timer(gyre_timer *self)
{
    child = fork();
    if (child != 0)
        return;
    if (gyre_loop_forked(loop) != 0)
        child_exit(1);
    journal_timer(self);
}

static void close_in_timer(gyre_timer *self)
{
    (void)self;
    child = fork();
    if (child == 0)
        child_exit(gyre_loop_close(loop) == 0 ? 0 : 1);
}

static void a_child_made_in_a_callback_goes_on_in_the_turn(void **state)
{
    (void)state;
    gyre_timer_start(timer, 0, 0, fork_in_timer);
    gyre_unref(&async->handle);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    if (child == 0)
        child_exit(gyre_loop_shutdown(loop, GYRE_SECOND) == 0 ? 0 : 2);
    assert_int_equal(child_wait(child), 0);
    assert_undisturbed();
}

static void a_child_made_in_a_callback_may_close(void **state)
{
    (void)state;
    gyre_timer_start(timer, 0, 0, close_in_timer);
    gyre_unref(&async->handle);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(child_wait(child), 0);
    assert_undisturbed();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BUSY_TEST(any_call_in_a_child_asserts_before_forked),
        BUSY_TEST(forked_asserts_where_no_fork_was),
        BUSY_TEST(a_forked_loop_runs_timers_hooks_and_work),
        BUSY_TEST(a_forked_loop_is_woken_by_threads),
        BUSY_TEST(a_grandchild_may_be_forked),
        BUSY_TEST(after_forked_close_has_its_rules_back),
        BUSY_TEST(a_child_may_close_without_forked),
        BUSY_TEST(a_child_may_close_a_loop_that_had_slices),
        BUSY_TEST(a_childs_close_does_not_disturb_its_parent),
        BUSY_TEST(a_childs_work_does_not_disturb_its_parent),
        BUSY_TEST(wake_ups_stay_on_their_side_of_the_fork),
        LOOP_TEST(a_loop_may_be_forked_before_its_first_turn),
        BUSY_TEST(a_child_made_in_a_callback_goes_on_in_the_turn),
        BUSY_TEST(a_child_made_in_a_callback_may_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
