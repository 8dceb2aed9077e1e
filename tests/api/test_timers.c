/*
 * Timers: order, never early, repeats on their grid, slack, and what a timer may do to another.
 */
#include "fixture.h"

#include <sys/resource.h>

static void never(gyre_timer *timer)
{
    (void)timer;
    fail();
}

/* The moment at which a started timer is due. */
static uint64_t deadline_of(const gyre_timer *timer)
{
    return gyre_loop_now_ns(loop) + gyre_timer_due_in_ns(timer);
}

/* Starts one that is due at `at`. */
static gyre_timer *start_at(const char *name, uint64_t at, gyre_timer_cb cb)
{
    gyre_timer *timer = timer_new(name);

    gyre_timer_start_at(timer, at, 0, cb);
    return timer;
}

static gyre_timer *start_now(const char *name, gyre_timer_cb cb)
{
    gyre_timer *timer = timer_new(name);

    gyre_timer_start(timer, 0, 0, cb);
    return timer;
}

enum { PUT_OFF = 300 }; /* more than the loop moves in one go */

static uint64_t not_before;
static gyre_timer *put_off[PUT_OFF];
static int put_off_left;

static void check_moment(gyre_timer *timer)
{
    assert_true(gyre_loop_now_ns(loop) >= not_before);
    journal_timer(timer);
}

static void check_order(gyre_timer *timer)
{
    assert_ptr_equal(timer, put_off[--put_off_left]);
}

/* ---- order ---- */

static void due_timers_run_in_order_of_deadline(void **state)
{
    const uint64_t now = gyre_loop_now_ns(loop);

    (void)state;
    start_at("c", now - 1, journal_timer);
    start_at("a", now - 3, journal_timer);
    start_at("d", now, journal_timer);
    start_at("b", now - 2, journal_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("a b c d");
}

static void equal_deadlines_run_in_order_of_start(void **state)
{
    const uint64_t now = gyre_loop_now_ns(loop);
    gyre_timer *first = timer_new("a");

    (void)state;
    start_at("b", now, journal_timer);
    start_at("c", now, journal_timer);
    gyre_timer_start_at(first, now, 0, journal_timer);
    start_at("d", now, journal_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("b c a d");
}

static void a_timer_started_anew_goes_behind_its_equals(void **state)
{
    const uint64_t now = gyre_loop_now_ns(loop);
    gyre_timer *first = start_at("a", now, journal_timer);

    (void)state;
    start_at("b", now, journal_timer);
    gyre_timer_start_at(first, now, 0, journal_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("b a");
}

/* ---- put off and stopped ---- */

static void a_timer_put_off_runs_once_and_not_before(void **state)
{
    gyre_timer *timer = timer_new("late");
    uint64_t at = gyre_loop_now_ns(loop);

    (void)state;
    for (int i = 0; i < 5; i++)
        gyre_timer_start_at(timer, at += GYRE_MILLISECOND, 0, check_moment);
    not_before = at;
    start_at("early", at - 2 * GYRE_MILLISECOND, journal_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("early late");
}

/* Each is put off to before the one that was before it. */
static void timers_put_off_run_in_their_new_order(void **state)
{
    const uint64_t now = gyre_loop_now_ns(loop);

    (void)state;
    for (uint64_t i = 0; i < PUT_OFF; i++) {
        put_off[i] = start_at("t", now - 2 * (uint64_t)PUT_OFF + i, never);
        gyre_timer_start_at(put_off[i], now - i, 0, check_order);
    }
    put_off_left = PUT_OFF;
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(put_off_left, 0);
}

static void a_timer_put_off_to_an_equal_goes_behind_it(void **state)
{
    const uint64_t now = gyre_loop_now_ns(loop);
    gyre_timer *first = start_at("a", now - 2, journal_timer);

    (void)state;
    start_at("b", now, journal_timer);
    gyre_timer_start_at(first, now, 0, journal_timer);
    start_at("c", now, journal_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("b a c");
}

static void a_stopped_timer_may_be_started_for_sooner_or_later(void **state)
{
    const uint64_t now = gyre_loop_now_ns(loop);
    gyre_timer *sooner = start_at("a", now + GYRE_SECOND, never);
    gyre_timer *later = start_at("c", now - 2, never);

    (void)state;
    gyre_timer_stop(sooner);
    gyre_timer_stop(later);
    start_at("b", now - 1, journal_timer);
    gyre_timer_start_at(sooner, now - 3, 0, journal_timer);
    gyre_timer_start_at(later, now, 0, journal_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("a b c");
}

static void a_stopped_timer_wakes_nobody(void **state)
{
    gyre_timer *stopped = start_at("stopped", gyre_loop_now_ns(loop) + GYRE_SECOND, never);
    gyre_timer *far = timer_new("far");

    (void)state;
    gyre_timer_start(far, 3600 * GYRE_SECOND, 0, never);
    gyre_timer_stop(stopped);
    assert_true(gyre_loop_timeout_ns(loop) > 3000 * GYRE_SECOND);
    gyre_timer_stop(far);
}

/* ---- what a callback may do ---- */

static void start_another(gyre_timer *timer)
{
    journal_timer(timer);
    start_now("child", journal_timer);
}

static void a_timer_started_by_a_timer_waits_for_the_next_turn(void **state)
{
    gyre_hook *check = hook_new("check", GYRE_HOOK_CHECK);

    (void)state;
    gyre_hook_start(check, journal_hook);
    gyre_unref(&check->handle);
    start_now("parent", start_another);
    start_now("sibling", journal_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("parent sibling check child");
}

static void start_in_the_past(gyre_timer *timer)
{
    journal_timer(timer);
    start_at("child", 1, journal_timer);
}

static void one_started_in_the_past_waits_for_the_next_turn_too(void **state)
{
    (void)state;
    start_now("parent", start_in_the_past);
    start_now("sibling", journal_timer);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("parent sibling");
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("child");
}

static void restart_self(gyre_timer *timer)
{
    journal_timer(timer);
    gyre_timer_start(timer, 0, 0, restart_self);
}

static void a_timer_that_starts_itself_runs_once_a_turn(void **state)
{
    (void)state;
    start_now("t", restart_self);
    for (int i = 0; i < 3; i++) {
        gyre_loop_run(loop, GYRE_RUN_NOWAIT);
        assert_journal("t");
    }
}

static void stop_other(gyre_timer *timer)
{
    journal_timer(timer);
    gyre_timer_stop(timer->data);
}

static void a_due_timer_stopped_by_its_sibling_does_not_run(void **state)
{
    gyre_timer *first = start_now("first", stop_other);

    (void)state;
    first->data = start_now("second", never);
    start_now("third", journal_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("first third");
}

static void close_other(gyre_timer *timer)
{
    gyre_timer *other = timer->data;

    journal_timer(timer);
    gyre_close(&other->handle, journal_close);
}

static void a_due_timer_closed_by_its_sibling_does_not_run(void **state)
{
    gyre_timer *first = start_now("first", close_other);

    (void)state;
    first->data = start_now("second", never);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("first second");
}

static void restart_other(gyre_timer *timer)
{
    journal_timer(timer);
    gyre_timer_start(timer->data, 0, 0, journal_timer);
}

static void a_due_timer_started_anew_by_its_sibling_waits_for_the_next_turn(void **state)
{
    gyre_timer *first = start_now("first", restart_other);

    (void)state;
    first->data = start_now("second", never);
    start_now("third", journal_timer);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("first third");
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("second");
}

static void close_self(gyre_timer *timer)
{
    journal_timer(timer);
    gyre_close(&timer->handle, journal_close);
}

static void a_repeating_timer_may_close_itself(void **state)
{
    gyre_timer *timer = timer_new("t");

    (void)state;
    gyre_timer_start(timer, 0, 1, close_self);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("t t");
}

static void stop_self(gyre_timer *timer)
{
    journal_timer(timer);
    gyre_timer_stop(timer);
}

static void a_repeating_timer_may_stop_itself(void **state)
{
    gyre_timer *timer = timer_new("t");

    (void)state;
    gyre_timer_start(timer, 0, 1, stop_self);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("t");
}

/* ---- never early ---- */

static void check_clock(gyre_timer *timer)
{
    const uint64_t *deadline = timer->data;

    assert_true(clock_ns() >= *deadline);
    assert_true(gyre_loop_now_ns(loop) >= *deadline);
    journal_timer(timer);
}

static void a_timer_is_never_early(void **state)
{
    /* Fractions of milliseconds and microseconds: a backend that rounds down is caught. */
    static const uint64_t timeouts[] = {1, 999, 1001, 100100, 999999, 1000001, 1900000, 2500001};
    uint64_t deadlines[8];

    (void)state;
    for (int i = 0; i < 8; i++) {
        gyre_timer *timer = timer_new("t");

        timer->data = &deadlines[i];
        deadlines[i] = clock_ns() + timeouts[i];
        gyre_timer_start(timer, timeouts[i], 0, check_clock);
    }
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("t t t t t t t t");
}

static void a_timeout_counts_from_the_call(void **state)
{
    gyre_timer *timer = timer_new("t");
    uint64_t called;

    (void)state;
    burn_ns(3 * GYRE_MILLISECOND);
    called = clock_ns();
    gyre_timer_start(timer, GYRE_MILLISECOND, 0, journal_timer);
    assert_true(deadline_of(timer) >= called + GYRE_MILLISECOND);
}

static void a_timer_that_is_due_when_run_begins_runs_at_once(void **state)
{
    gyre_timer *timer = timer_new("t");

    (void)state;
    gyre_timer_start(timer, GYRE_MILLISECOND, 0, journal_timer);
    burn_ns(2 * GYRE_MILLISECOND);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 0);
    assert_journal("t");
}

static void burn_in_check(gyre_hook *hook)
{
    burn_ns(5 * GYRE_MILLISECOND);
    gyre_hook_stop(hook);
}

static void one_that_falls_due_during_a_callback_runs_in_this_turn(void **state)
{
    (void)state;
    gyre_hook_start(hook_new("h", GYRE_HOOK_CHECK), burn_in_check);
    gyre_timer_start(timer_new("t"), 4 * GYRE_MILLISECOND, 0, journal_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 0);
    assert_journal("t");
}

/* ---- absolute ---- */

static void start_at_takes_a_moment_of_the_clock(void **state)
{
    const uint64_t at = gyre_loop_now_ns(loop) + 123456789;
    gyre_timer *timer = start_at("t", at, never);

    (void)state;
    assert_int_equal(gyre_timer_due_in_ns(timer), 123456789);
    assert_int_equal(deadline_of(timer), at);
}

static void start_at_in_the_past_is_due_at_once(void **state)
{
    (void)state;
    start_at("t", 1, journal_timer);
    assert_int_equal(gyre_loop_timeout_ns(loop), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 0);
    assert_journal("t");
}

static void a_moment_beyond_the_clock_never_comes(void **state)
{
    gyre_timer *never_due = timer_new("never");
    gyre_timer *nearly = timer_new("nearly");

    (void)state;
    gyre_timer_start(never_due, UINT64_MAX, 0, never);
    gyre_timer_start(nearly, UINT64_MAX - 1, 5, never);
    assert_int_equal(gyre_loop_timeout_ns(loop), UINT64_MAX);
    assert_int_equal(gyre_is_active(&never_due->handle), 1);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 1);
    start_now("t", journal_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 1);
    assert_journal("t");
}

/* ---- repeats ---- */

typedef struct grid {
    uint64_t first;
    uint64_t repeat;
    uint64_t body; /* how long the callback takes */
    uint64_t last; /* the grid's point that the last call stood for */
    int calls;
    int calls_max;
} grid;

/* Checks that the next deadline is the first point of the grid after the loop's time. */
static void on_grid(gyre_timer *timer)
{
    grid *self = timer->data;
    const uint64_t now = gyre_loop_now_ns(loop);
    const uint64_t next = deadline_of(timer);

    assert_int_equal((next - self->first) % self->repeat, 0);
    assert_true(next > now && next - now <= self->repeat);
    self->calls++;
    self->last = next - self->repeat;
    assert_int_equal((self->last - self->first) / self->repeat + 1,
                     (uint64_t)self->calls + gyre_timer_missed(timer));
    burn_ns(self->body);
    if (self->calls == self->calls_max)
        gyre_timer_stop(timer);
}

static gyre_timer *grid_start(grid *self)
{
    gyre_timer *timer = timer_new("grid");

    self->calls = 0;
    timer->data = self;
    gyre_timer_start_at(timer, self->first, self->repeat, on_grid);
    return timer;
}

static void a_10_ms_repeat_with_a_7_ms_body_keeps_10_ms(void **state)
{
    grid self = {.repeat = 10 * GYRE_MILLISECOND, .body = 7 * GYRE_MILLISECOND, .calls_max = 20};

    (void)state;
    self.first = gyre_loop_now_ns(loop) + GYRE_MILLISECOND;
    grid_start(&self);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(self.calls, 20);
}

static void a_body_longer_than_the_repeat_misses_periods(void **state)
{
    grid self = {.repeat = GYRE_MILLISECOND, .body = 2500 * GYRE_MICROSECOND, .calls_max = 5};
    gyre_timer *timer;

    (void)state;
    self.first = gyre_loop_now_ns(loop) + GYRE_MILLISECOND;
    timer = grid_start(&self);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(self.calls, 5);
    assert_true(gyre_timer_missed(timer) >= 4);
}

static void after_a_stall_it_runs_once_and_counts_the_missed(void **state)
{
    grid self = {.repeat = 10 * GYRE_SECOND, .body = 0, .calls_max = 10};
    gyre_timer *timer;

    (void)state;
    self.first = gyre_loop_now_ns(loop) - 95 * GYRE_SECOND;
    timer = grid_start(&self);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_int_equal(self.calls, 1);
    assert_int_equal(gyre_timer_missed(timer), 9);
}

static void a_repeat_without_delay_misses_nothing(void **state)
{
    gyre_timer *timer = timer_new("t");

    (void)state;
    gyre_timer_start(timer, 0, 3600 * GYRE_SECOND, journal_timer);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("t");
    assert_int_equal(gyre_timer_missed(timer), 0);
    assert_true(gyre_timer_due_in_ns(timer) > 3000 * GYRE_SECOND);
}

static void a_huge_repeat_does_not_overflow(void **state)
{
    gyre_timer *timer = timer_new("t");

    (void)state;
    gyre_timer_start(timer, 0, UINT64_MAX, journal_timer);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("t");
    assert_int_equal(gyre_loop_timeout_ns(loop), UINT64_MAX);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 1);
    assert_journal("");
}

static void again_is_refused_without_a_start_or_repeat(void **state)
{
    gyre_timer *timer = timer_new("t");

    (void)state;
    assert_int_equal(gyre_timer_again(timer), GYRE_EINVAL);
    gyre_timer_start(timer, 0, 0, journal_timer);
    assert_int_equal(gyre_timer_again(timer), GYRE_EINVAL);
    gyre_timer_set_repeat(timer, GYRE_SECOND);
    assert_int_equal(gyre_timer_again(timer), 0);
    gyre_close(&timer->handle, NULL);
    assert_int_equal(gyre_timer_again(timer), GYRE_EINVAL);
}

static void again_is_due_one_repeat_from_now(void **state)
{
    gyre_timer *timer = timer_new("t");
    uint64_t called;

    (void)state;
    gyre_timer_start(timer, GYRE_SECOND, 3600 * GYRE_SECOND, never);
    gyre_timer_stop(timer);
    called = clock_ns();
    assert_int_equal(gyre_timer_again(timer), 0);
    assert_in_range(deadline_of(timer), called + 3600 * GYRE_SECOND,
                    clock_ns() + 3600 * GYRE_SECOND);
    assert_int_equal(gyre_is_active(&timer->handle), 1);
}

static void change_repeat(gyre_timer *timer)
{
    const uint64_t due_in = gyre_timer_due_in_ns(timer);

    journal_timer(timer);
    gyre_timer_set_repeat(timer, 0);
    assert_int_equal(gyre_timer_repeat_ns(timer), 0);
    assert_int_equal(gyre_timer_due_in_ns(timer), due_in);
}

static void set_repeat_takes_effect_when_the_timer_next_runs(void **state)
{
    gyre_timer *timer = timer_new("t");

    (void)state;
    gyre_timer_start(timer, 0, GYRE_MILLISECOND, change_repeat);
    assert_int_equal(gyre_timer_repeat_ns(timer), GYRE_MILLISECOND);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("t t");
}

/* ---- start, stop, due_in ---- */

static void starting_a_started_timer_starts_it_anew(void **state)
{
    gyre_timer *timer = timer_new("t");

    (void)state;
    gyre_timer_start(timer, 0, 1, never);
    gyre_timer_start(timer, GYRE_MILLISECOND, 0, journal_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("t");
}

static void a_stopped_timer_does_not_run(void **state)
{
    gyre_timer *timer = start_now("t", never);

    (void)state;
    gyre_timer_stop(timer);
    gyre_timer_stop(timer);
    gyre_loop_hold(loop);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    gyre_loop_release(loop);
    gyre_timer_start(timer, 0, 0, journal_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("t");
}

static void due_in_is_0_when_due_or_stopped(void **state)
{
    gyre_timer *timer = timer_new("t");

    (void)state;
    assert_int_equal(gyre_timer_due_in_ns(timer), 0);
    gyre_timer_start(timer, 0, 0, journal_timer);
    assert_int_equal(gyre_timer_due_in_ns(timer), 0);
    gyre_timer_start(timer, 10 * GYRE_SECOND, 0, never);
    assert_true(gyre_timer_due_in_ns(timer) >= 10 * GYRE_SECOND);
    gyre_timer_stop(timer);
    assert_int_equal(gyre_timer_due_in_ns(timer), 0);
}

static void start_without_callback(void)
{
    gyre_timer timer;

    if (gyre_loop_init(&loop, NULL) == 0 && gyre_timer_init(loop, &timer) == 0)
        gyre_timer_start(&timer, 0, 0, NULL);
}

static void start_closing(void)
{
    gyre_timer timer;

    if (gyre_loop_init(&loop, NULL) != 0 || gyre_timer_init(loop, &timer) != 0)
        return;
    gyre_close(&timer.handle, NULL);
    gyre_timer_start(&timer, 0, 0, journal_timer);
}

static void misuse_of_start_asserts(void **state)
{
    (void)state;
    assert_true(aborts(start_without_callback));
    assert_true(aborts(start_closing));
}

/* ---- wake-ups ---- */

static int turns;

static void count_turn(gyre_hook *hook)
{
    (void)hook;
    turns++;
}

static void count_turns(void)
{
    gyre_hook *hook = hook_new("turns", GYRE_HOOK_PREPARE);

    turns = 0;
    gyre_hook_start(hook, count_turn);
    gyre_unref(&hook->handle);
}

static void one_far_timer_costs_no_wake_ups(void **state)
{
    gyre_timer *timer = timer_new("t");
    struct rusage before;
    struct rusage after;

    (void)state;
    count_turns();
    gyre_timer_start(timer, 400 * GYRE_MILLISECOND, 0, journal_timer);
    getrusage(RUSAGE_THREAD, &before);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    getrusage(RUSAGE_THREAD, &after);
    assert_journal("t");
    assert_int_equal(turns, 1);
    /* Times that the thread slept: one, and a few for page faults and locks of a sanitizer. */
    assert_true(after.ru_nvcsw - before.ru_nvcsw < 20);
}

static void count_due(gyre_timer *timer)
{
    int *in_turn = timer->data;

    in_turn[turns]++;
}

static void slack_joins_wake_ups(void **state)
{
    enum { TIMERS = 100 };
    const uint64_t base = gyre_loop_now_ns(loop) + 100 * GYRE_MILLISECOND;
    int in_turn[TIMERS + 2] = {0};

    (void)state;
    count_turns();
    for (uint64_t i = 0; i < TIMERS; i++) {
        gyre_timer *timer = timer_new("t");

        timer->data = in_turn;
        gyre_timer_set_slack(timer, 100 * GYRE_MILLISECOND);
        gyre_timer_start_at(timer, base + i * 100 * GYRE_MICROSECOND, 0, count_due);
    }
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(in_turn[turns], TIMERS);
    assert_int_equal(turns, 1);
}

static void slack_is_never_early(void **state)
{
    const uint64_t deadline = clock_ns() + 3 * GYRE_MILLISECOND;
    gyre_timer *timer = timer_new("t");
    uint64_t expected = deadline;

    (void)state;
    timer->data = &expected;
    gyre_timer_set_slack(timer, GYRE_MILLISECOND);
    gyre_timer_start_at(timer, deadline, 0, check_clock);
    assert_in_range(gyre_loop_timeout_ns(loop), 0, 4 * GYRE_MILLISECOND);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("t");
}

static void endless_slack_waits_for_another_timer(void **state)
{
    gyre_timer *lazy = timer_new("lazy");

    (void)state;
    gyre_timer_set_slack(lazy, UINT64_MAX);
    gyre_timer_start(lazy, 0, 0, journal_timer);
    assert_int_equal(gyre_loop_timeout_ns(loop), UINT64_MAX);
    gyre_timer_start(timer_new("t"), GYRE_MILLISECOND, 0, journal_timer);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("t lazy");
}

static void slack_counts_from_the_next_start(void **state)
{
    const uint64_t at = gyre_loop_now_ns(loop) + 10 * GYRE_SECOND;
    gyre_timer *timer = start_at("t", at, never);

    (void)state;
    gyre_timer_set_slack(timer, 10 * GYRE_SECOND);
    assert_true(gyre_loop_timeout_ns(loop) <= 10 * GYRE_SECOND);
    gyre_timer_start_at(timer, at, 0, never);
    assert_true(gyre_loop_timeout_ns(loop) > 10 * GYRE_SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(due_timers_run_in_order_of_deadline),
        LOOP_TEST(equal_deadlines_run_in_order_of_start),
        LOOP_TEST(a_timer_started_anew_goes_behind_its_equals),
        LOOP_TEST(a_timer_put_off_runs_once_and_not_before),
        LOOP_TEST(timers_put_off_run_in_their_new_order),
        LOOP_TEST(a_timer_put_off_to_an_equal_goes_behind_it),
        LOOP_TEST(a_stopped_timer_may_be_started_for_sooner_or_later),
        LOOP_TEST(a_stopped_timer_wakes_nobody),
        LOOP_TEST(a_timer_started_by_a_timer_waits_for_the_next_turn),
        LOOP_TEST(one_started_in_the_past_waits_for_the_next_turn_too),
        LOOP_TEST(a_timer_that_starts_itself_runs_once_a_turn),
        LOOP_TEST(a_due_timer_stopped_by_its_sibling_does_not_run),
        LOOP_TEST(a_due_timer_closed_by_its_sibling_does_not_run),
        LOOP_TEST(a_due_timer_started_anew_by_its_sibling_waits_for_the_next_turn),
        LOOP_TEST(a_repeating_timer_may_close_itself),
        LOOP_TEST(a_repeating_timer_may_stop_itself),
        LOOP_TEST(a_timer_is_never_early),
        LOOP_TEST(a_timeout_counts_from_the_call),
        LOOP_TEST(a_timer_that_is_due_when_run_begins_runs_at_once),
        LOOP_TEST(one_that_falls_due_during_a_callback_runs_in_this_turn),
        LOOP_TEST(start_at_takes_a_moment_of_the_clock),
        LOOP_TEST(start_at_in_the_past_is_due_at_once),
        LOOP_TEST(a_moment_beyond_the_clock_never_comes),
        LOOP_TEST(a_10_ms_repeat_with_a_7_ms_body_keeps_10_ms),
        LOOP_TEST(a_body_longer_than_the_repeat_misses_periods),
        LOOP_TEST(after_a_stall_it_runs_once_and_counts_the_missed),
        LOOP_TEST(a_repeat_without_delay_misses_nothing),
        LOOP_TEST(a_huge_repeat_does_not_overflow),
        LOOP_TEST(again_is_refused_without_a_start_or_repeat),
        LOOP_TEST(again_is_due_one_repeat_from_now),
        LOOP_TEST(set_repeat_takes_effect_when_the_timer_next_runs),
        LOOP_TEST(starting_a_started_timer_starts_it_anew),
        LOOP_TEST(a_stopped_timer_does_not_run),
        LOOP_TEST(due_in_is_0_when_due_or_stopped),
        cmocka_unit_test(misuse_of_start_asserts),
        LOOP_TEST(one_far_timer_costs_no_wake_ups),
        LOOP_TEST(slack_joins_wake_ups),
        LOOP_TEST(slack_is_never_early),
        LOOP_TEST(endless_slack_waits_for_another_timer),
        LOOP_TEST(slack_counts_from_the_next_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
