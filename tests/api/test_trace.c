/*
 * The trace sink: it sees every turn, phase, callback and handle, well nested and with their names.
 */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

enum { DEPTH_MAX = 16 };

/* What is open: turns and callbacks, the innermost last. */
static struct {
    gyre_trace_event open[DEPTH_MAX];
    int depth;
    int broken;
    int callbacks;
    int deepest;
} nest;

static void nest_leave(const gyre_trace_event *event, gyre_trace_type entered)
{
    const gyre_trace_event *last;

    if (nest.depth == 0) {
        nest.broken++;
        return;
    }
    last = &nest.open[--nest.depth];
    nest.broken += last->type != entered || last->object != event->object ||
                   last->kind != event->kind || last->name != event->name;
}

static void nest_enter(const gyre_trace_event *event)
{
    if (nest.depth == DEPTH_MAX) {
        nest.broken++;
        return;
    }
    nest.open[nest.depth++] = *event;
    if (nest.depth > nest.deepest)
        nest.deepest = nest.depth;
}

static void check_nest(void *ctx, const gyre_trace_event *event)
{
    assert_ptr_equal(ctx, &nest);
    nest.broken += event->now_ns == 0;
    switch (event->type) {
    case GYRE_TRACE_TURN_BEGIN: nest_enter(event); break;
    case GYRE_TRACE_TURN_END: nest_leave(event, GYRE_TRACE_TURN_BEGIN); break;
    case GYRE_TRACE_CALLBACK_ENTER:
        nest.callbacks++;
        nest_enter(event);
        break;
    case GYRE_TRACE_CALLBACK_LEAVE: nest_leave(event, GYRE_TRACE_CALLBACK_ENTER); break;
    case GYRE_TRACE_PHASE:
        nest.broken += event->phase != gyre_loop_phase(loop) || event->phase == GYRE_PHASE_NONE;
        break;
    case GYRE_TRACE_OP_STATE:
    case GYRE_TRACE_HANDLE_INIT:
    case GYRE_TRACE_HANDLE_CLOSED: break;
    }
}

static void start_nest(void)
{
    memset(&nest, 0, sizeof(nest));
    gyre_loop_set_trace(loop, check_nest, &nest);
}

/* One callback of each kind and in each phase. */
static void put_work_in(void)
{
    gyre_remote *remote = gyre_loop_remote(loop);
    gyre_async *async = async_new("async", journal_async);
    gyre_remote *door = gyre_async_remote(async);

    gyre_unref(&async->handle);
    gyre_timer_start(timer_new("timer"), 0, 0, journal_timer);
    gyre_hook_start(hook_new("idle", GYRE_HOOK_IDLE), gyre_hook_stop);
    gyre_hook_start(hook_new("prepare", GYRE_HOOK_PREPARE), gyre_hook_stop);
    gyre_hook_start(hook_new("check", GYRE_HOOK_CHECK), gyre_hook_stop);
    gyre_defer(loop, deferred_new("d"), journal_deferred);
    assert_int_equal(gyre_post(remote, post_new("p"), journal_post), 0);
    assert_int_equal(gyre_async_send(door), 0);
    gyre_close(&timer_new("closed")->handle, journal_close);
    gyre_remote_unref(remote);
    gyre_remote_unref(door);
}

static void turns_and_callbacks_are_well_nested(void **state)
{
    (void)state;
    start_nest();
    put_work_in();
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(nest.broken, 0);
    assert_int_equal(nest.depth, 0);
    assert_int_equal(nest.callbacks, 8);
    assert_int_equal(nest.deepest, 2);
}

static void run_inside(gyre_timer *timer)
{
    journal_timer(timer);
    put_work_in();
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
}

static void nested_turns_are_well_nested_too(void **state)
{
    (void)state;
    start_nest();
    gyre_timer_start(timer_new("outer"), 0, 0, run_inside);
    gyre_timer_start(timer_new("sibling"), 0, 0, run_inside);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 0);
    assert_int_equal(nest.broken, 0);
    assert_int_equal(nest.depth, 0);
    assert_int_equal(nest.callbacks, 18);
    assert_true(nest.deepest > 3);
}

static void steps_are_well_nested(void **state)
{
    (void)state;
    start_nest();
    put_work_in();
    while (gyre_loop_step(loop) == 1)
        ;
    assert_int_equal(nest.broken, 0);
    assert_int_equal(nest.depth, 0);
    assert_int_equal(nest.callbacks, 8);
}

/* ---- each event in words ---- */

static void journal_event(void *ctx, const gyre_trace_event *event)
{
    static const char *const types[] = {"", "turn", "end", "", "+", "-", "op", "init", "closed"};
    char word[64];

    (void)ctx;
    if (event->type == GYRE_TRACE_PHASE)
        snprintf(word, sizeof(word), "%s:", gyre_phase_name(event->phase));
    else if (event->type <= GYRE_TRACE_TURN_END)
        snprintf(word, sizeof(word), "%s", types[event->type]);
    else
        snprintf(word, sizeof(word), "%s%s/%s", types[event->type],
                 gyre_handle_kind_name(event->kind), event->name != NULL ? event->name : "");
    journal(word);
}

static void ignore_timer(gyre_timer *timer)
{
    (void)timer;
}

static void ignore_deferred(gyre_deferred *deferred)
{
    (void)deferred;
}

static void ignore_close(gyre_handle *handle)
{
    (void)handle;
}

static void every_step_of_a_turn_is_told_in_order(void **state)
{
    gyre_timer *timer;

    (void)state;
    gyre_loop_set_trace(loop, journal_event, NULL);
    timer = timer_new("t");
    assert_journal("inittimer/");
    gyre_timer_start(timer, 0, 0, ignore_timer);
    gyre_hook_start(hook_new("h", GYRE_HOOK_CHECK), gyre_hook_stop);
    gyre_defer(loop, deferred_new("d"), ignore_deferred);
    gyre_close(&timer_new("c")->handle, ignore_close);
    assert_journal("inithook/ inittimer/");
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 0);
    assert_journal("turn pending: +none/deferred -none/deferred idle: prepare: poll: "
                   "check: +hook/h -hook/h close: closedtimer/c +timer/c -timer/c "
                   "timers: +timer/t -timer/t end");
}

static void default_tells_its_first_timers_phase(void **state)
{
    (void)state;
    gyre_timer_start(timer_new("t"), 0, 0, ignore_timer);
    gyre_defer(loop, deferred_new("d"), ignore_deferred);
    gyre_loop_set_trace(loop, journal_event, NULL);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("timers: +timer/t -timer/t "
                   "turn pending: +none/deferred -none/deferred idle: prepare: poll: check: "
                   "close: timers: end");
}

static const void *seen_object;

static void see_object(void *ctx, const gyre_trace_event *event)
{
    (void)ctx;
    if (event->type == GYRE_TRACE_CALLBACK_ENTER)
        seen_object = event->object;
}

static void an_event_carries_the_identity_of_its_object(void **state)
{
    gyre_timer *timer = timer_new("t");
    gyre_deferred *deferred = deferred_new("d");

    (void)state;
    gyre_loop_set_trace(loop, see_object, NULL);
    gyre_timer_start(timer, 0, 0, ignore_timer);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_ptr_equal(seen_object, timer);
    gyre_defer(loop, deferred, ignore_deferred);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_ptr_equal(seen_object, deferred);
}

static void a_removed_sink_sees_nothing(void **state)
{
    (void)state;
    gyre_loop_set_trace(loop, journal_event, NULL);
    gyre_loop_set_trace(loop, NULL, NULL);
    gyre_timer_start(timer_new("t"), 0, 0, ignore_timer);
    gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    assert_journal("");
}

static void remove_sink(gyre_timer *timer)
{
    (void)timer;
    gyre_loop_set_trace(loop, NULL, NULL);
}

static void a_sink_may_be_removed_in_a_callback(void **state)
{
    (void)state;
    gyre_timer_start(timer_new("t"), 0, 0, remove_sink);
    gyre_loop_hold(loop);
    gyre_loop_set_trace(loop, journal_event, NULL);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("turn pending: idle: prepare: poll: check: close: timers: +timer/t");
    gyre_loop_release(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(turns_and_callbacks_are_well_nested),
        LOOP_TEST(nested_turns_are_well_nested_too),
        LOOP_TEST(steps_are_well_nested),
        LOOP_TEST(every_step_of_a_turn_is_told_in_order),
        LOOP_TEST(default_tells_its_first_timers_phase),
        LOOP_TEST(an_event_carries_the_identity_of_its_object),
        LOOP_TEST(a_removed_sink_sees_nothing),
        LOOP_TEST(a_sink_may_be_removed_in_a_callback),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
