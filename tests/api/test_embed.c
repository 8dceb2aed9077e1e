/*
 * A loop inside another one: the host sleeps in its own epoll on gyre_loop_fd, no longer than
 * gyre_loop_timeout_ns, and then runs a turn. Reads are in test_embed_io.c.
 */
#include "fixture.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

static int host = -1;

/* The first turn: what the descriptor says before it is stale. A turn needs something alive. */
static void settle_loop(void)
{
    gyre_loop_hold(loop);
    gyre_loop_tick(loop);
    gyre_loop_release(loop);
}

static int host_set_up(void **state)
{
    const int error = loop_set_up(state);
    struct epoll_event event = {.events = EPOLLIN};
    int fd;

    if (error != 0)
        return error;
    fd = gyre_loop_fd(loop);
    settle_loop();
    host = fd >= 0 ? epoll_create1(EPOLL_CLOEXEC) : -1;
    return host >= 0 ? epoll_ctl(host, EPOLL_CTL_ADD, fd, &event) : 0;
}

static int host_tear_down(void **state)
{
    if (host >= 0)
        close(host);
    return loop_tear_down(state);
}

#define HOST_TEST(name) cmocka_unit_test_setup_teardown(name, host_set_up, host_tear_down)

/*
 * The host sleeps, at most so long; 1 if the loop's descriptor woke it. A signal may end it early:
 * a ring that was closed a moment ago interrupts its thread.
 */
static int host_sleep(uint64_t timeout_ns)
{
    const uint64_t ms = timeout_ns / GYRE_MILLISECOND + (timeout_ns % GYRE_MILLISECOND != 0);
    struct epoll_event event;
    int woken;

    do {
        woken = epoll_wait(host, &event, 1, timeout_ns == UINT64_MAX ? -1 : (int)ms);
    } while (woken < 0 && timeout_ns == UINT64_MAX);
    return woken > 0;
}

/* One wake-up may have been for what the turn before did already, but not one after the other. */
static void assert_quiet(void)
{
    int woken = 0;

    assert_int_equal(gyre_loop_embed_prepare(loop), 0);
    while (host_sleep(0) == 1) {
        assert_true(woken++ == 0);
        assert_int_equal(gyre_loop_tick(loop), 0);
        assert_int_equal(gyre_loop_embed_prepare(loop), 0);
    }
}

static void need_descriptor(void)
{
    if (host < 0)
        skip();
}

static void the_poll_backend_has_no_descriptor(void **state)
{
    (void)state;
    if (backend_is("poll"))
        assert_int_equal(gyre_loop_fd(loop), GYRE_ENOTSUP);
    else
        assert_true(gyre_loop_fd(loop) >= 0);
}

static void the_descriptor_stays_the_same(void **state)
{
    (void)state;
    need_descriptor();
    gyre_loop_hold(loop);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_int_equal(gyre_loop_fd(loop), gyre_loop_fd(loop));
    gyre_loop_release(loop);
}

static void the_descriptor_is_quiet_when_nothing_is_ready(void **state)
{
    (void)state;
    need_descriptor();
    gyre_loop_hold(loop);
    for (int i = 0; i < 3; i++) {
        assert_quiet();
        assert_int_equal(gyre_loop_tick(loop), 0);
    }
    gyre_loop_release(loop);
}

/* ---- posts ---- */

typedef struct sender {
    gyre_remote *remote;
    gyre_post_node *node;
} sender;

static void *send_post(void *context)
{
    const sender *self = context;

    (void)gyre_post(self->remote, self->node, journal_post);
    return NULL;
}

static void a_post_from_a_thread_wakes_the_host(void **state)
{
    sender self = {.remote = gyre_loop_remote(loop), .node = post_new("p")};
    pthread_t thread;

    (void)state;
    gyre_loop_hold(loop);
    for (int i = 0; host >= 0 && i < 10; i++) {
        assert_int_equal(gyre_loop_embed_prepare(loop), 0);
        assert_int_equal(gyre_loop_timeout_ns(loop), UINT64_MAX);
        assert_int_equal(pthread_create(&thread, NULL, send_post, &self), 0);
        assert_int_equal(host_sleep(UINT64_MAX), 1);
        pthread_join(thread, NULL);
        assert_int_equal(gyre_loop_tick(loop), 1);
        assert_journal("p");
        assert_quiet();
    }
    gyre_loop_release(loop);
    gyre_remote_unref(self.remote);
    need_descriptor();
}

static void a_post_before_prepare_wakes_the_host_too(void **state)
{
    gyre_remote *remote = gyre_loop_remote(loop);

    (void)state;
    gyre_loop_hold(loop);
    for (int i = 0; host >= 0 && i < 3; i++) {
        assert_int_equal(gyre_post(remote, post_new("a"), journal_post), 0);
        assert_int_equal(gyre_loop_timeout_ns(loop), 0);
        assert_int_equal(gyre_loop_embed_prepare(loop), 0);
        assert_int_equal(gyre_post(remote, post_new("b"), journal_post), 0);
        assert_int_equal(host_sleep(UINT64_MAX), 1);
        assert_int_equal(gyre_loop_tick(loop), 2);
        assert_journal("a b");
    }
    gyre_loop_release(loop);
    gyre_remote_unref(remote);
    need_descriptor();
}

static void an_async_wakes_the_host(void **state)
{
    gyre_remote *remote = gyre_async_remote(async_new("a", journal_async));

    (void)state;
    if (host >= 0) {
        assert_int_equal(gyre_loop_embed_prepare(loop), 0);
        assert_int_equal(gyre_async_send(remote), 0);
        assert_int_equal(host_sleep(UINT64_MAX), 1);
        assert_int_equal(gyre_loop_tick(loop), 1);
        assert_journal("a");
    }
    gyre_remote_unref(remote);
    need_descriptor();
}

/* ---- timers ---- */

static void the_timeout_wakes_the_host_for_a_timer(void **state)
{
    const uint64_t before = clock_ns();
    uint64_t timeout_ns;

    (void)state;
    need_descriptor();
    gyre_timer_start(timer_new("t"), 20 * GYRE_MILLISECOND, 0, journal_timer);
    do {
        assert_int_equal(gyre_loop_embed_prepare(loop), 0);
        timeout_ns = gyre_loop_timeout_ns(loop);
        assert_true(timeout_ns <= 20 * GYRE_MILLISECOND);
        host_sleep(timeout_ns);
    } while (gyre_loop_tick(loop) == 0);
    assert_journal("t");
    assert_true(clock_ns() >= before + 20 * GYRE_MILLISECOND);
    assert_int_equal(gyre_loop_timeout_ns(loop), UINT64_MAX);
}

/* ---- timeout_ns ---- */

static void never(gyre_timer *timer)
{
    (void)timer;
    fail();
}

static void the_timeout_is_that_of_the_nearest_timer(void **state)
{
    gyre_timer *near = timer_new("near");
    uint64_t timeout_ns;

    (void)state;
    gyre_timer_start(timer_new("far"), 3600 * GYRE_SECOND, 0, never);
    gyre_timer_start(near, 1000 * GYRE_SECOND, 0, never);
    timeout_ns = gyre_loop_timeout_ns(loop);
    assert_in_range(timeout_ns, 900 * GYRE_SECOND, 1000 * GYRE_SECOND);
    gyre_timer_stop(near);
    assert_in_range(gyre_loop_timeout_ns(loop), 3000 * GYRE_SECOND, 3600 * GYRE_SECOND);
}

static void the_timeout_is_0_while_there_is_work(void **state)
{
    gyre_deferred *work = deferred_new("d");
    gyre_hook *idle = hook_new("i", GYRE_HOOK_IDLE);

    (void)state;
    gyre_defer(loop, work, journal_deferred);
    assert_int_equal(gyre_loop_timeout_ns(loop), 0);
    gyre_defer_cancel(work);
    gyre_hook_start(idle, journal_hook);
    assert_int_equal(gyre_loop_timeout_ns(loop), 0);
    gyre_hook_stop(idle);
    assert_int_equal(gyre_loop_timeout_ns(loop), UINT64_MAX);
    gyre_close(&idle->handle, NULL);
    assert_int_equal(gyre_loop_timeout_ns(loop), 0);
}

static void the_timeout_is_endless_when_nothing_is_alive(void **state)
{
    gyre_timer *timer = timer_new("t");

    (void)state;
    gyre_timer_start(timer, 0, 0, journal_timer);
    gyre_unref(&timer->handle);
    assert_int_equal(gyre_loop_timeout_ns(loop), UINT64_MAX);
    gyre_ref(&timer->handle);
    assert_int_equal(gyre_loop_timeout_ns(loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOST_TEST(the_poll_backend_has_no_descriptor),
        HOST_TEST(the_descriptor_stays_the_same),
        HOST_TEST(the_descriptor_is_quiet_when_nothing_is_ready),
        HOST_TEST(a_post_from_a_thread_wakes_the_host),
        HOST_TEST(a_post_before_prepare_wakes_the_host_too),
        HOST_TEST(an_async_wakes_the_host),
        HOST_TEST(the_timeout_wakes_the_host_for_a_timer),
        HOST_TEST(the_timeout_is_that_of_the_nearest_timer),
        HOST_TEST(the_timeout_is_0_while_there_is_work),
        HOST_TEST(the_timeout_is_endless_when_nothing_is_alive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
