/*
 * 1,000,000 timers between 0 and 1 s: none is early by CLOCK_MONOTONIC, all run once and in order;
 * so do as many that share a few deadlines. Under a sanitizer a tenth of them.
 */
#include "fixture.h"

#include <stdlib.h>

enum { TIMERS = 1000000, TIMERS_WHEN_SLOW = 100000 };

typedef struct entry {
    gyre_timer timer;
    uint64_t earliest; /* by the clock before it was started */
    uint64_t deadline; /* as the loop has it */
    uint64_t started;  /* the number of its start */
} entry;

static struct {
    uint64_t early;
    uint64_t unordered;
    uint64_t ran;
    uint64_t last_deadline;
    uint64_t last_turn;
    uint64_t last_started;
} seen;

/* A small generator, the same in each run. */
static uint64_t next_random(void)
{
    static uint64_t state = 88172645463325252U;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static size_t timer_count(void)
{
    return slowness() > 1 ? TIMERS_WHEN_SLOW : TIMERS;
}

static void look(gyre_timer *timer)
{
    const entry *self = GYRE_CONTAINER_OF(timer, entry, timer);
    const uint64_t turn = gyre_loop_now_ns(loop);

    seen.ran++;
    seen.early += clock_ns() < self->earliest || turn < self->deadline;
    /* Within one timers phase, whose loop time is one, in order of deadline. */
    seen.unordered += turn == seen.last_turn && self->deadline < seen.last_deadline;
    seen.last_deadline = self->deadline;
    seen.last_turn = turn;
}

static void none_of_many_timers_is_early(void **state)
{
    const size_t count = timer_count();
    entry *entries = lasting(count * sizeof(*entries));

    (void)state;
    for (size_t i = 0; i < count; i++) {
        const uint64_t timeout = next_random() % GYRE_SECOND;

        assert_int_equal(gyre_timer_init(loop, &entries[i].timer), 0);
        entries[i].earliest = clock_ns() + timeout;
        gyre_timer_start(&entries[i].timer, timeout, 0, look);
        entries[i].deadline = gyre_loop_now_ns(loop) + gyre_timer_due_in_ns(&entries[i].timer);
    }
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(seen.ran, count);
    assert_int_equal(seen.early, 0);
    assert_int_equal(seen.unordered, 0);
}

static void refuse(gyre_timer *timer)
{
    (void)timer;
    seen.ran++;
}

static void many_timers_are_stopped_in_any_order(void **state)
{
    const size_t count = timer_count();
    gyre_timer *timers = lasting(count * sizeof(*timers));

    (void)state;
    seen.ran = 0;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(gyre_timer_init(loop, &timers[i]), 0);
        gyre_timer_start_at(&timers[i], 1 + next_random() % 1000, 0, refuse);
    }
    for (size_t i = 0; i < count; i++)
        gyre_timer_stop(&timers[(i * 7919) % count]);
    for (size_t i = 0; i < count; i += 1000)
        gyre_timer_start_at(&timers[i], 1, 0, refuse);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(seen.ran, count / 1000);
}

static void look_at_equal(gyre_timer *timer)
{
    const entry *self = GYRE_CONTAINER_OF(timer, entry, timer);

    seen.ran++;
    seen.unordered += self->deadline < seen.last_deadline ||
                      (self->deadline == seen.last_deadline && self->started < seen.last_started);
    seen.last_deadline = self->deadline;
    seen.last_started = self->started;
}

/* A start, a start for an earlier or a later moment, or a stop. */
static void do_something(entry *self, uint64_t number)
{
    if (next_random() % 4 == 0) {
        gyre_timer_stop(&self->timer);
        return;
    }
    self->deadline = 1 + next_random() % 8;
    self->started = number;
    gyre_timer_start_at(&self->timer, self->deadline, 0, look_at_equal);
}

static void many_equals_run_in_order_of_start(void **state)
{
    const size_t count = timer_count();
    entry *entries = lasting(count * sizeof(*entries));
    uint64_t active = 0;

    (void)state;
    seen.ran = 0;
    seen.unordered = 0;
    seen.last_deadline = 0;
    for (size_t i = 0; i < count; i++)
        assert_int_equal(gyre_timer_init(loop, &entries[i].timer), 0);
    for (size_t i = 0; i < 3 * count; i++)
        do_something(&entries[next_random() % count], i);
    for (size_t i = 0; i < count; i++)
        active += (uint64_t)gyre_is_active(&entries[i].timer.handle);
    /* In as many turns as it takes, of which none begins among equals. */
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(seen.ran, active);
    assert_int_equal(seen.unordered, 0);
}

enum { CROWD = 10000, FAR_NS = 2000000000 };

static void count_run(gyre_timer *timer)
{
    (void)timer;
    seen.ran++;
}

/* One of a crowd of equals is still wanted: the others hold no turn up, nor it for long. */
static void equals_that_were_put_off_are_dealt_with_in_many_turns(void **state)
{
    gyre_timer *timers = lasting(CROWD * sizeof(*timers));
    uint64_t turns = 0;

    (void)state;
    seen.ran = 0;
    for (size_t i = 0; i < CROWD; i++) {
        assert_int_equal(gyre_timer_init(loop, &timers[i]), 0);
        gyre_timer_start_at(&timers[i], 1, 0, count_run);
    }
    for (size_t i = 1; i < CROWD; i++)
        gyre_timer_start(&timers[i], FAR_NS, 0, count_run);
    for (; seen.ran == 0; turns++)
        assert_true(gyre_loop_run(loop, GYRE_RUN_NOWAIT) >= 0);
    assert_in_range(turns, 2, CROWD / 32);
    for (size_t i = 0; i < CROWD; i++)
        gyre_timer_stop(&timers[i]);
    assert_int_equal(seen.ran, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(none_of_many_timers_is_early),
        LOOP_TEST(many_timers_are_stopped_in_any_order),
        LOOP_TEST(many_equals_run_in_order_of_start),
        LOOP_TEST(equals_that_were_put_off_are_dealt_with_in_many_turns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
