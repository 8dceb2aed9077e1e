/*
 * What all handles share: names, kinds, the order of closing, and whose memory it is when.
 */
#include "fixture.h"

#include <stdlib.h>

static void init_leaves_data_alone(void **state)
{
    gyre_timer timer;
    gyre_hook hook;
    gyre_async async;
    int mine;

    (void)state;
    timer.data = &mine;
    hook.data = &mine;
    async.data = &mine;
    assert_int_equal(gyre_timer_init(loop, &timer), 0);
    assert_int_equal(gyre_hook_init(loop, &hook, GYRE_HOOK_IDLE), 0);
    assert_int_equal(gyre_async_init(loop, &async, journal_async), 0);
    assert_ptr_equal(timer.data, &mine);
    assert_ptr_equal(hook.data, &mine);
    assert_ptr_equal(async.data, &mine);
    assert_ptr_equal(timer.handle.data, &mine);
    assert_int_equal(gyre_loop_shutdown(loop, GYRE_SECOND), 0);
    loop = NULL;
}

static void a_handle_knows_its_loop_kind_and_name(void **state)
{
    gyre_timer *timer = timer_new(NULL);
    gyre_hook *hook = hook_new(NULL, GYRE_HOOK_CHECK);
    gyre_async *async = async_new(NULL, journal_async);

    (void)state;
    assert_ptr_equal(gyre_handle_loop(&timer->handle), loop);
    assert_int_equal(gyre_handle_kind_of(&timer->handle), GYRE_HANDLE_TIMER);
    assert_int_equal(gyre_handle_kind_of(&hook->handle), GYRE_HANDLE_HOOK);
    assert_int_equal(gyre_handle_kind_of(&async->handle), GYRE_HANDLE_ASYNC);
    assert_null(gyre_handle_name(&timer->handle));
    gyre_handle_set_name(&timer->handle, "name");
    assert_string_equal(gyre_handle_name(&timer->handle), "name");
    gyre_handle_set_name(&timer->handle, NULL);
    assert_null(gyre_handle_name(&timer->handle));
}

static void kinds_have_names(void **state)
{
    static const char *const names[] = {
        "none", "timer", "hook", "async", "poll", "signal", "tcp", "pipe", "mailbox", "other",
    };

    (void)state;
    for (int kind = 0; kind <= GYRE_HANDLE_OTHER; kind++)
        assert_string_equal(gyre_handle_kind_name((gyre_handle_kind)kind), names[kind]);
    assert_string_equal(gyre_handle_kind_name((gyre_handle_kind)1000), "none");
    assert_string_equal(gyre_handle_kind_name((gyre_handle_kind)-1), "none");
}

/* ---- close ---- */

static void close_callbacks_come_in_order_of_close(void **state)
{
    gyre_timer *a = timer_new("a");
    gyre_hook *b = hook_new("b", GYRE_HOOK_IDLE);
    gyre_async *c = async_new("c", journal_async);

    (void)state;
    gyre_timer_start(a, 0, 0, journal_timer);
    gyre_hook_start(b, journal_hook);
    gyre_close(&c->handle, journal_close);
    gyre_close(&a->handle, journal_close);
    gyre_close(&b->handle, journal_close);
    assert_journal("");
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("c a b");
}

static void check_phase(gyre_handle *handle)
{
    assert_int_equal(gyre_loop_phase(loop), GYRE_PHASE_CLOSE);
    assert_int_equal(gyre_is_closing(handle), 1);
    assert_ptr_equal(gyre_handle_loop(handle), loop);
    journal_close(handle);
}

static void close_in_check(gyre_hook *hook)
{
    journal_hook(hook);
    gyre_close(&hook->handle, check_phase);
}

static void a_close_before_the_close_phase_is_served_in_this_turn(void **state)
{
    (void)state;
    gyre_hook_start(hook_new("h", GYRE_HOOK_CHECK), close_in_check);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 0);
    assert_journal("h h");
}

static void close_next(gyre_handle *handle)
{
    journal_close(handle);
    gyre_close(handle->data, journal_close);
}

static void a_close_in_a_close_callback_waits_for_the_next_turn(void **state)
{
    gyre_timer *a = timer_new("a");
    gyre_timer *b = timer_new("b");
    gyre_hook *check = hook_new("check", GYRE_HOOK_CHECK);

    (void)state;
    gyre_hook_start(check, journal_hook);
    gyre_unref(&check->handle);
    a->data = &b->handle;
    gyre_close(&a->handle, close_next);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("check a check b");
}

static void a_close_without_callback_is_fine(void **state)
{
    (void)state;
    gyre_close(&timer_new("t")->handle, NULL);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(gyre_loop_handle_count(loop), 0);
}

static void free_timer(gyre_handle *handle)
{
    journal_close(handle);
    free(GYRE_CONTAINER_OF(handle, gyre_timer, handle));
}

static void the_memory_may_be_freed_in_the_callback(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        gyre_timer *timer = malloc(sizeof(*timer));

        assert_non_null(timer);
        assert_int_equal(gyre_timer_init(loop, timer), 0);
        gyre_handle_set_name(&timer->handle, "freed");
        gyre_timer_start(timer, 0, 1, journal_timer);
        gyre_close(&timer->handle, free_timer);
    }
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("freed freed freed");
}

static void init_anew(gyre_handle *handle)
{
    gyre_timer *timer = GYRE_CONTAINER_OF(handle, gyre_timer, handle);

    journal("closed");
    assert_int_equal(gyre_timer_init(loop, timer), 0);
    gyre_handle_set_name(&timer->handle, "again");
    gyre_timer_start(timer, 0, 0, journal_timer);
}

static void the_memory_may_be_used_anew_in_the_callback(void **state)
{
    (void)state;
    gyre_close(&timer_new("t")->handle, init_anew);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("closed again");
    assert_int_equal(gyre_loop_handle_count(loop), 1);
}

#ifdef GYRE_DEBUG
#define CLOSED "poisoned"
#else
#define CLOSED "plain"
#endif

/* The last byte of a handle of so many bytes, which is private whatever its kind. */
static void look_for_poison(const gyre_handle *handle, size_t bytes)
{
    const unsigned char *last = (const unsigned char *)handle + bytes - 1;

    assert_string_equal(handle->data, "mine");
    assert_string_equal(gyre_handle_name(handle), "name");
    journal(*last == 0xDB ? "poisoned" : "plain");
}

static void timer_closed(gyre_handle *handle)
{
    look_for_poison(handle, sizeof(gyre_timer));
}

static void hook_closed(gyre_handle *handle)
{
    look_for_poison(handle, offsetof(gyre_hook, phase) + 1);
}

static void async_closed(gyre_handle *handle)
{
    look_for_poison(handle, sizeof(gyre_async));
}

static void poll_closed(gyre_handle *handle)
{
    look_for_poison(handle, sizeof(gyre_poll));
}

static void signal_closed(gyre_handle *handle)
{
    look_for_poison(handle, sizeof(gyre_signal));
}

static void tcp_closed(gyre_handle *handle)
{
    look_for_poison(handle, offsetof(gyre_stream, queued_bytes) + 1);
}

static void a_closed_handle_is_poisoned_in_debug_builds(void **state)
{
    gyre_signal *watcher = lasting(sizeof(*watcher));
    int peer;
    const struct {
        gyre_handle *handle;
        gyre_close_cb closed;
    } handles[] = {
        {&timer_new("name")->handle, timer_closed},
        {&hook_new("name", GYRE_HOOK_IDLE)->handle, hook_closed},
        {&async_new("name", journal_async)->handle, async_closed},
        {&poll_new("name", &peer)->handle, poll_closed},
        {&tcp_new("name", &peer)->handle, tcp_closed},
        {&pipe_new("name", &peer)->handle, tcp_closed},
        {&watcher->handle, signal_closed},
    };
    char mine[] = "mine";

    (void)state;
    assert_int_equal(gyre_signal_init(loop, watcher), 0);
    gyre_handle_set_name(&watcher->handle, "name");
    for (size_t i = 0; i < sizeof(handles) / sizeof(handles[0]); i++) {
        handles[i].handle->data = mine;
        gyre_close(handles[i].handle, handles[i].closed);
    }
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal(CLOSED " " CLOSED " " CLOSED " " CLOSED " " CLOSED " " CLOSED " " CLOSED);
}

/* ---- misuse ---- */

static gyre_timer broken;

static bool make_broken(void)
{
    return gyre_loop_init(&loop, NULL) == 0 && gyre_timer_init(loop, &broken) == 0;
}

static void close_twice(void)
{
    if (!make_broken())
        return;
    gyre_close(&broken.handle, NULL);
    gyre_close(&broken.handle, NULL);
}

static void close_closed(void)
{
    if (!make_broken())
        return;
    gyre_close(&broken.handle, NULL);
    (void)gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    gyre_close(&broken.handle, NULL);
}

static void unref_closed(void)
{
    if (!make_broken())
        return;
    gyre_close(&broken.handle, NULL);
    (void)gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    gyre_unref(&broken.handle);
}

static void start_closed(void)
{
    if (!make_broken())
        return;
    gyre_close(&broken.handle, NULL);
    (void)gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    gyre_timer_start(&broken, 0, 0, journal_timer);
}

static void misuse_asserts(void **state)
{
    (void)state;
    assert_true(aborts(close_twice));
    assert_true(aborts(close_closed));
    assert_true(aborts(unref_closed));
    assert_true(aborts(start_closed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(init_leaves_data_alone),
        LOOP_TEST(a_handle_knows_its_loop_kind_and_name),
        LOOP_TEST(kinds_have_names),
        LOOP_TEST(close_callbacks_come_in_order_of_close),
        LOOP_TEST(a_close_before_the_close_phase_is_served_in_this_turn),
        LOOP_TEST(a_close_in_a_close_callback_waits_for_the_next_turn),
        LOOP_TEST(a_close_without_callback_is_fine),
        LOOP_TEST(the_memory_may_be_freed_in_the_callback),
        LOOP_TEST(the_memory_may_be_used_anew_in_the_callback),
        LOOP_TEST(a_closed_handle_is_poisoned_in_debug_builds),
        cmocka_unit_test(misuse_asserts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
