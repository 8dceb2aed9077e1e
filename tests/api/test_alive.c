/*
 * What keeps a loop alive: each kind of handle in each of its states, requests, and what is
 * neither.
 */
#include "fixture.h"

#include <signal.h>

/* A kind of handle: how one is made, started and stopped. */
typedef struct kind {
    gyre_handle *(*make)(void);
    void (*start)(gyre_handle *handle);
    void (*stop)(gyre_handle *handle);
} kind;

static gyre_handle *timer_make(void)
{
    return &timer_new("timer")->handle;
}

static void never(gyre_timer *timer)
{
    (void)timer;
    fail();
}

static void timer_start(gyre_handle *handle)
{
    gyre_timer_start(GYRE_CONTAINER_OF(handle, gyre_timer, handle), 3600 * GYRE_SECOND, 0, never);
}

static void timer_stop(gyre_handle *handle)
{
    gyre_timer_stop(GYRE_CONTAINER_OF(handle, gyre_timer, handle));
}

static gyre_handle *idle_make(void)
{
    return &hook_new("idle", GYRE_HOOK_IDLE)->handle;
}

static gyre_handle *prepare_make(void)
{
    return &hook_new("prepare", GYRE_HOOK_PREPARE)->handle;
}

static gyre_handle *check_make(void)
{
    return &hook_new("check", GYRE_HOOK_CHECK)->handle;
}

static void hook_start(gyre_handle *handle)
{
    gyre_hook_start(GYRE_CONTAINER_OF(handle, gyre_hook, handle), journal_hook);
}

static void hook_stop(gyre_handle *handle)
{
    gyre_hook_stop(GYRE_CONTAINER_OF(handle, gyre_hook, handle));
}

static gyre_handle *poll_make(void)
{
    int peer;

    return &poll_new("poll", &peer)->handle;
}

static void poll_never(gyre_poll *watcher, int status, uint32_t events)
{
    (void)watcher;
    (void)status;
    (void)events;
    fail();
}

static void poll_start(gyre_handle *handle)
{
    gyre_poll *watcher = GYRE_CONTAINER_OF(handle, gyre_poll, handle);

    assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_IN, poll_never), 0);
}

static void poll_stop(gyre_handle *handle)
{
    gyre_poll_stop(GYRE_CONTAINER_OF(handle, gyre_poll, handle));
}

static gyre_handle *signal_make(void)
{
    gyre_signal *watcher = lasting(sizeof(*watcher));

    assert_int_equal(gyre_signal_init(loop, watcher), 0);
    gyre_handle_set_name(&watcher->handle, "signal");
    return &watcher->handle;
}

static void signal_never(gyre_signal *watcher, int signum)
{
    (void)watcher;
    (void)signum;
    fail();
}

static void signal_start(gyre_handle *handle)
{
    gyre_signal *watcher = GYRE_CONTAINER_OF(handle, gyre_signal, handle);

    assert_int_equal(gyre_signal_start(watcher, SIGUSR2, signal_never), 0);
}

static void signal_stop(gyre_handle *handle)
{
    gyre_signal_stop(GYRE_CONTAINER_OF(handle, gyre_signal, handle));
}

static gyre_handle *tcp_make(void)
{
    int peer;

    return &tcp_new("tcp", &peer)->handle;
}

static gyre_handle *pipe_make(void)
{
    int peer;

    return &pipe_new("pipe", &peer)->handle;
}

static gyre_stream *stream_of(gyre_handle *handle)
{
    return GYRE_CONTAINER_OF(handle, gyre_stream, handle);
}

static void read_never(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)stream;
    (void)nread;
    (void)buf;
    fail();
}

static void stream_start(gyre_handle *handle)
{
    assert_int_equal(gyre_read_start(stream_of(handle), read_never), 0);
}

static void stream_stop(gyre_handle *handle)
{
    gyre_read_stop(stream_of(handle));
}

static const kind kinds[] = {
    {timer_make, timer_start, timer_stop}, {idle_make, hook_start, hook_stop},
    {prepare_make, hook_start, hook_stop}, {check_make, hook_start, hook_stop},
    {poll_make, poll_start, poll_stop},    {signal_make, signal_start, signal_stop},
    {tcp_make, stream_start, stream_stop}, {pipe_make, stream_start, stream_stop},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* What the loop and the handle say. */
static void assert_state(const gyre_handle *handle, int active, int ref, int alive)
{
    assert_int_equal(gyre_is_active(handle), active);
    assert_int_equal(gyre_has_ref(handle), ref);
    assert_int_equal(gyre_loop_alive(loop), alive);
}

static void an_initialised_handle_does_not(void **state)
{
    (void)state;
    for (int i = 0; i < KINDS; i++)
        assert_state(kinds[i].make(), 0, 1, 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
}

static void a_started_handle_does_until_stopped(void **state)
{
    (void)state;
    for (int i = 0; i < KINDS; i++) {
        gyre_handle *handle = kinds[i].make();

        kinds[i].start(handle);
        assert_state(handle, 1, 1, 1);
        kinds[i].start(handle);
        assert_state(handle, 1, 1, 1);
        assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 1);
        kinds[i].stop(handle);
        assert_state(handle, 0, 1, 0);
        kinds[i].stop(handle);
        assert_state(handle, 0, 1, 0);
    }
}

static void an_unrefd_handle_does_not(void **state)
{
    (void)state;
    for (int i = 0; i < KINDS; i++) {
        gyre_handle *handle = kinds[i].make();

        kinds[i].start(handle);
        gyre_unref(handle);
        gyre_unref(handle);
        assert_state(handle, 1, 0, 0);
        assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
        gyre_ref(handle);
        gyre_ref(handle);
        assert_state(handle, 1, 1, 1);
        kinds[i].stop(handle);
    }
}

static void unref_before_start_holds(void **state)
{
    (void)state;
    for (int i = 0; i < KINDS; i++) {
        gyre_handle *handle = kinds[i].make();

        gyre_unref(handle);
        assert_state(handle, 0, 0, 0);
        kinds[i].start(handle);
        assert_state(handle, 1, 0, 0);
        kinds[i].stop(handle);
    }
}

static void leave_it(const kind *one, gyre_handle *handle)
{
    (void)one;
    (void)handle;
}

static void check_closing(void (*prepare)(const kind *one, gyre_handle *handle))
{
    for (int i = 0; i < KINDS; i++) {
        gyre_handle *handle = kinds[i].make();

        prepare(&kinds[i], handle);
        gyre_close(handle, journal_close);
        assert_int_equal(gyre_is_closing(handle), 1);
        assert_int_equal(gyre_is_active(handle), 0);
        assert_int_equal(gyre_loop_alive(loop), 1);
        assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    }
    assert_journal("timer idle prepare check poll signal tcp pipe");
}

static void a_closing_handle_does_until_its_callback(void **state)
{
    (void)state;
    check_closing(leave_it);
}

static void start_it(const kind *one, gyre_handle *handle)
{
    one->start(handle);
}

static void a_started_handle_does_while_closing(void **state)
{
    (void)state;
    check_closing(start_it);
}

static void start_and_unref(const kind *one, gyre_handle *handle)
{
    one->start(handle);
    gyre_unref(handle);
}

static void an_unrefd_handle_does_while_closing(void **state)
{
    (void)state;
    check_closing(start_and_unref);
}

/* ---- async: active from init on ---- */

static void an_async_does_until_unrefd_or_closed(void **state)
{
    gyre_async *async = async_new("async", journal_async);

    (void)state;
    assert_state(&async->handle, 1, 1, 1);
    gyre_unref(&async->handle);
    assert_state(&async->handle, 1, 0, 0);
    gyre_ref(&async->handle);
    gyre_close(&async->handle, journal_close);
    assert_state(&async->handle, 0, 1, 1);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("async");
}

static void a_sent_async_does_though_unrefd(void **state)
{
    gyre_async *async = async_new("async", journal_async);
    gyre_remote *remote = gyre_async_remote(async);

    (void)state;
    gyre_unref(&async->handle);
    assert_int_equal(gyre_async_send(remote), 0);
    assert_int_equal(gyre_loop_alive(loop), 1);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("async");
    gyre_remote_unref(remote);
}

/* ---- listeners and requests ---- */

static void listen_never(gyre_stream *listener, int status)
{
    (void)listener;
    (void)status;
    fail();
}

static gyre_tcp *listener_new(void)
{
    gyre_tcp *listener = lasting(sizeof(*listener));
    gyre_address address;

    assert_int_equal(gyre_address_ip(&address, NULL, 0), 0);
    assert_int_equal(gyre_tcp_init(loop, listener), 0);
    assert_int_equal(gyre_tcp_bind(listener, &address, 0), 0);
    return listener;
}

static void a_listener_does_until_unrefd_or_closed(void **state)
{
    gyre_tcp *listener = listener_new();

    (void)state;
    assert_state(&listener->handle, 0, 1, 0);
    assert_int_equal(gyre_listen(&listener->stream, 0, listen_never), 0);
    assert_state(&listener->handle, 1, 1, 1);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 1);
    gyre_unref(&listener->handle);
    assert_state(&listener->handle, 1, 0, 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    gyre_close(&listener->handle, NULL);
    assert_state(&listener->handle, 0, 0, 1);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
}

static void journal_write(gyre_write_req *req, int status)
{
    (void)req;
    journal(gyre_errname(status));
}

static void a_write_does_though_its_stream_is_unrefd(void **state)
{
    gyre_write_req *req = lasting(sizeof(*req));
    const gyre_buf buf = gyre_buf_init("x", 1);
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    gyre_unref(&tcp->handle);
    assert_int_equal(gyre_write(&tcp->stream, req, &buf, 1, journal_write), 0);
    assert_int_equal(gyre_loop_alive(loop), 1);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("OK");
}

static void journal_connect(gyre_connect_req *req, int status)
{
    (void)req;
    journal(gyre_errname(status));
}

static void a_connect_does_though_its_stream_is_unrefd(void **state)
{
    gyre_connect_req *req = lasting(sizeof(*req));
    gyre_tcp *listener = listener_new();
    gyre_tcp *tcp = lasting(sizeof(*tcp));
    gyre_address address;

    (void)state;
    assert_int_equal(gyre_listen(&listener->stream, 0, listen_never), 0);
    gyre_unref(&listener->handle);
    assert_int_equal(gyre_stream_local_address(&listener->stream, &address), 0);
    gyre_close(&listener->handle, NULL);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(gyre_tcp_init(loop, tcp), 0);
    gyre_unref(&tcp->handle);
    assert_int_equal(gyre_tcp_connect(tcp, req, &address, 0, journal_connect), 0);
    assert_int_equal(gyre_loop_alive(loop), 1);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("ECONNREFUSED");
}

/* ---- what is no handle ---- */

static void deferred_work_does(void **state)
{
    gyre_deferred *deferred = deferred_new("d");

    (void)state;
    gyre_defer(loop, deferred, journal_deferred);
    assert_int_equal(gyre_loop_alive(loop), 1);
    assert_int_equal(gyre_defer_cancel(deferred), 0);
    assert_int_equal(gyre_loop_alive(loop), 0);
    gyre_defer(loop, deferred, journal_deferred);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("d");
}

static void a_posted_node_does(void **state)
{
    gyre_remote *remote = gyre_loop_remote(loop);

    (void)state;
    assert_int_equal(gyre_loop_alive(loop), 0);
    assert_int_equal(gyre_post(remote, post_new("p"), journal_post), 0);
    assert_int_equal(gyre_loop_alive(loop), 1);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("p");
    gyre_remote_unref(remote);
}

static void a_hold_does(void **state)
{
    (void)state;
    gyre_loop_hold(loop);
    assert_int_equal(gyre_loop_alive(loop), 1);
    gyre_loop_release(loop);
    assert_int_equal(gyre_loop_alive(loop), 0);
}

static void a_remote_does_not(void **state)
{
    gyre_remote *remote = gyre_loop_remote(loop);

    (void)state;
    assert_int_equal(gyre_loop_alive(loop), 0);
    gyre_remote_unref(remote);
}

/* ---- when aliveness is looked at ---- */

static void stop_timer(gyre_timer *timer)
{
    gyre_timer_stop(timer->data);
    journal_timer(timer);
}

static void a_timer_that_ends_is_not_alive_in_its_callback(gyre_timer *timer)
{
    assert_int_equal(gyre_is_active(&timer->handle), 0);
    assert_int_equal(gyre_loop_alive(loop), 0);
    journal_timer(timer);
}

static void a_one_shot_timer_ends_before_its_callback(void **state)
{
    (void)state;
    gyre_timer_start(timer_new("t"), 0, 0, a_timer_that_ends_is_not_alive_in_its_callback);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("t");
}

static void a_repeating_timer_does_until_stopped(void **state)
{
    gyre_timer *timer = timer_new("t");

    (void)state;
    timer->data = timer;
    gyre_timer_start(timer, 0, GYRE_MILLISECOND, journal_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 1);
    gyre_timer_start(timer, 0, GYRE_MILLISECOND, stop_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("t t");
}

static void unref_last(gyre_hook *hook)
{
    journal_hook(hook);
    gyre_unref(&hook->handle);
}

static void default_ends_when_the_last_one_is_unrefd_in_a_callback(void **state)
{
    (void)state;
    gyre_hook_start(hook_new("idle", GYRE_HOOK_IDLE), unref_last);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("idle");
}

static void default_does_not_sleep_when_the_last_one_ends_before_poll(void **state)
{
    gyre_timer *far = timer_new("far");

    (void)state;
    gyre_timer_start(far, 3600 * GYRE_SECOND, 0, never);
    gyre_unref(&far->handle);
    gyre_hook_start(hook_new("prepare", GYRE_HOOK_PREPARE), unref_last);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("prepare");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(an_initialised_handle_does_not),
        LOOP_TEST(a_started_handle_does_until_stopped),
        LOOP_TEST(an_unrefd_handle_does_not),
        LOOP_TEST(unref_before_start_holds),
        LOOP_TEST(a_closing_handle_does_until_its_callback),
        LOOP_TEST(a_started_handle_does_while_closing),
        LOOP_TEST(an_unrefd_handle_does_while_closing),
        LOOP_TEST(an_async_does_until_unrefd_or_closed),
        LOOP_TEST(a_sent_async_does_though_unrefd),
        LOOP_TEST(a_listener_does_until_unrefd_or_closed),
        LOOP_TEST(a_write_does_though_its_stream_is_unrefd),
        LOOP_TEST(a_connect_does_though_its_stream_is_unrefd),
        LOOP_TEST(deferred_work_does),
        LOOP_TEST(a_posted_node_does),
        LOOP_TEST(a_hold_does),
        LOOP_TEST(a_remote_does_not),
        LOOP_TEST(a_one_shot_timer_ends_before_its_callback),
        LOOP_TEST(a_repeating_timer_does_until_stopped),
        LOOP_TEST(default_ends_when_the_last_one_is_unrefd_in_a_callback),
        LOOP_TEST(default_does_not_sleep_when_the_last_one_ends_before_poll),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
