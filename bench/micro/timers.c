/* Timers: insert, re-arm, cancel and expire with `count` of them started.
 *
 * All operations run inside a callback of the loop, where programs do them, so that a library which
 * caches the time is measured with its cache. Few timers are measured in several passes. */
#include "micro.h"
#include "subject.h"

#include "../common/util.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    OPERATIONS_MIN = 200000, /* of each kind, so that a figure is a mean over milliseconds */
    EXPIRE_PASSES_MAX = 3,
    SPREAD_MS = 60000, /* of the delays that never expire */
    EXPIRE_SPREAD_US = 100000
};

static subject *loop;
static uint32_t count;
static uint32_t *order; /* a random permutation */
static uint32_t fired;
static uint64_t random_state = 42;
static uint64_t insert_ns, rearm_ns, cancel_ns, expire_ns;

void micro_timer_fired(void)
{
    if (++fired == count) {
        subject_stop(loop);
    }
}

static uint64_t far_delay_ns(void)
{
    return (uint64_t)(micro_random(&random_state) % SPREAD_MS + 10000) * 1000000;
}

static void shuffle(void)
{
    for (uint32_t i = 0; i < count; i++) {
        order[i] = i;
    }
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t j = micro_random(&random_state) % (i + 1);
        uint32_t other = order[j];
        order[j] = order[i];
        order[i] = other;
    }
}

static void insert_rearm_cancel(void *arg)
{
    (void)arg;
    uint64_t begin = bench_now_ns();
    for (uint32_t i = 0; i < count; i++) {
        subject_timer_start(loop, i, far_delay_ns());
    }
    uint64_t inserted = bench_now_ns();
    for (uint32_t i = 0; i < count; i++) {
        subject_timer_start(loop, order[i], far_delay_ns());
    }
    uint64_t rearmed = bench_now_ns();
    for (uint32_t i = 0; i < count; i++) {
        subject_timer_stop(loop, order[i]);
    }
    insert_ns += inserted - begin;
    rearm_ns += rearmed - inserted;
    cancel_ns += bench_now_ns() - rearmed;
    subject_stop(loop);
}

static void start_near(void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < count; i++) {
        subject_timer_start(loop, i,
                            (micro_random(&random_state) % EXPIRE_SPREAD_US + 1000) * 1000ull);
    }
    subject_stop(loop);
}

static void run_inside(subject_cb work)
{
    subject_wake_open(loop, work, NULL);
    subject_wake_send(loop);
    subject_run(loop);
}

/* All are due when the loop is run, so the run is all work and no waiting. */
static void expire_pass(void)
{
    fired = 0;
    run_inside(start_near);
    uint64_t due = bench_now_ns() + (EXPIRE_SPREAD_US + 5000) * 1000ull;
    while (bench_now_ns() < due) {
    }
    uint64_t begin = bench_now_ns();
    subject_run(loop);
    expire_ns += bench_now_ns() - begin;
}

static void print_each(const char *what, uint64_t ns, uint32_t passes)
{
    char name[64];
    snprintf(name, sizeof name, "timer_%s_%u", what, count);
    micro_print(name, (double)ns / count / passes);
}

static void in_fresh_loop(void (*pass)(void))
{
    loop = subject_open(false);
    subject_timers_open(loop, count);
    pass();
    subject_timers_close(loop);
    subject_close(loop);
}

static void far_pass(void)
{
    run_inside(insert_rearm_cancel);
}

void micro_timers(uint32_t number)
{
    if ((subject_features & SUBJECT_TIMERS) == 0 || number < 2) {
        return;
    }
    count = number;
    order = bench_alloc(count * sizeof *order);
    shuffle();
    uint32_t passes = count >= OPERATIONS_MIN ? 1 : OPERATIONS_MIN / count;
    uint32_t expire_passes = passes < EXPIRE_PASSES_MAX ? passes : EXPIRE_PASSES_MAX;
    for (uint32_t i = 0; i < passes; i++) {
        in_fresh_loop(far_pass);
    }
    for (uint32_t i = 0; i < expire_passes; i++) {
        in_fresh_loop(expire_pass);
    }
    print_each("insert", insert_ns, passes);
    print_each("rearm", rearm_ns, passes);
    print_each("cancel", cancel_ns, passes);
    print_each("expire", expire_ns, expire_passes);
    free(order);
}
