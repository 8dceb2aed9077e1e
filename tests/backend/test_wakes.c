/*
 * How often a loop's eventfd is written to: once a burst while the loop sleeps, and not at all
 * while it is awake. A loop that its host polls for counts as asleep from embed_prepare on, so that
 * no thread has to be caught sleeping.
 */
#include "core/env.h"

#include "fixture.h"

#include <string.h>

enum { BURST = 1000 };

static int writes;
static int posts_run;
static int asyncs_run;

static int counted_write(const gyrei_env *env, int fd)
{
    writes++;
    return gyrei_env_os.sys->event_write(env, fd);
}

static gyrei_sys counting_sys;
static gyrei_env counting_env;

static void open_counted_loop(void)
{
    gyre_loop_options options = {.size = sizeof(options), .env = &counting_env};

    counting_sys = *gyrei_env_os.sys;
    counting_sys.event_write = counted_write;
    counting_env = gyrei_env_os;
    counting_env.sys = &counting_sys;
    assert_int_equal(gyre_loop_init(&loop, &options), 0);
    gyre_loop_hold(loop);
    assert_int_equal(gyre_loop_tick(loop), 0);
    writes = 0;
    posts_run = 0;
    asyncs_run = 0;
}

static void close_counted_loop(void)
{
    gyre_loop_release(loop);
    assert_int_equal(gyre_loop_shutdown(loop, GYRE_SECOND), 0);
    loop = NULL;
}

/* The poll backend cannot be embedded, but its loop sleeps and wakes by the same means. */
static void let_it_sleep(void)
{
    (void)gyre_loop_embed_prepare(loop);
}

static void on_post(gyre_post_node *node, int status)
{
    (void)node;
    assert_int_equal(status, 0);
    posts_run++;
}

static void post_burst(void)
{
    static gyre_post_node nodes[BURST];
    gyre_remote *remote = gyre_loop_remote(loop);

    memset(nodes, 0, sizeof(nodes));
    for (int i = 0; i < BURST; i++)
        assert_int_equal(gyre_post(remote, &nodes[i], on_post), 0);
    gyre_remote_unref(remote);
}

static void on_async(gyre_async *async)
{
    (void)async;
    asyncs_run++;
}

static void a_burst_of_posts_is_one_write(void **state)
{
    (void)state;
    open_counted_loop();
    for (int burst = 1; burst <= 3; burst++) {
        let_it_sleep();
        post_burst();
        assert_int_equal(writes, burst);
        while (posts_run < burst * BURST)
            assert_true(gyre_loop_tick(loop) > 0);
    }
    close_counted_loop();
}

static void a_loop_that_is_awake_is_not_woken(void **state)
{
    (void)state;
    open_counted_loop();
    post_burst();
    while (posts_run < BURST)
        assert_true(gyre_loop_tick(loop) > 0);
    assert_int_equal(writes, 0);
    close_counted_loop();
}

static void a_burst_of_sends_is_one_write_and_one_callback(void **state)
{
    gyre_async async;
    gyre_remote *remote;

    (void)state;
    open_counted_loop();
    assert_int_equal(gyre_async_init(loop, &async, on_async), 0);
    remote = gyre_async_remote(&async);
    let_it_sleep();
    for (int i = 0; i < BURST; i++)
        assert_int_equal(gyre_async_send(remote), 0);
    gyre_remote_unref(remote);
    assert_int_equal(writes, 1);
    assert_int_equal(gyre_loop_tick(loop), 1);
    assert_int_equal(asyncs_run, 1);
    gyre_close(&async.handle, NULL);
    close_counted_loop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_of_posts_is_one_write),
        cmocka_unit_test(a_loop_that_is_awake_is_not_woken),
        cmocka_unit_test(a_burst_of_sends_is_one_write_and_one_callback),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
