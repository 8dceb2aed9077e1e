/*
 * The master's state machine against a world of processes that start, fail, hang and die as a seed
 * says, with signals in any order: reloads to more and fewer workers, upgrades (another plan takes
 * over), stops. After the faults end it must heal: each slot has one worker of the newest
 * generation, and nothing else is left. At no moment do two generations serve for longer than the
 * new one may take to start, and none that was replaced, or given up, outlives its deadline.
 *
 *   unit_plan [FIRST [SEEDS]]   any_order_of_events_heals with these seeds
 */
#include "cluster/plan.h"

#include <gyre.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PROCESSES = 256, STEPS = 300 };

static const uint64_t second = GYRE_SECOND;
static const gyrei_plan_times times = {
    .start_ns = 3 * GYRE_SECOND, .retire_ns = 20 * GYRE_SECOND, .stop_ns = 10 * GYRE_SECOND};
/* From "go" to the kill, and what a tick may be late. */
static const uint64_t slack_ns = 7 * GYRE_SECOND;

typedef struct process {
    uint32_t id; /* 0: none */
    uint32_t slot;
    uint32_t generation;
    bool ready;
    bool next;
    bool doomed;           /* was told to go */
    uint64_t gone_by_ns;   /* at the latest */
    uint64_t old_since_ns; /* neither of the generation that serves, nor of the next one */
    uint64_t ready_at_ns;
    uint64_t dies_at_ns;
    gyrei_death how;
} process;

static gyrei_plan plan;
static process world[PROCESSES];
static uint64_t now;
static uint64_t seed;
static bool faults;
static bool broken; /* new generations refuse to start */
static int spawns;
static int starts;
static int good_reloads;
static int bad_reloads;
static int takeovers;
static uint64_t overlap_since_ns; /* two generations serve; UINT64_MAX: they do not */
static uint64_t first_seed = 0;
static uint64_t seed_count = 3000;

static uint32_t random_below(uint32_t bound)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 33) % bound;
}

static uint64_t random_ns(uint64_t max_ns)
{
    return max_ns / 1000 * random_below(1000);
}

static process *process_of(uint32_t id)
{
    for (int i = 0; i < PROCESSES; i++) {
        if (world[i].id == id)
            return &world[i];
    }
    fail();
    return NULL;
}

/* ---- what the plan asks for ---- */

static int on_spawn(void *ctx, const gyrei_planned *worker, bool next)
{
    process *fresh = process_of(0);

    assert_ptr_equal(ctx, &plan);
    spawns++;
    if (faults && random_below(20) == 0)
        return -1;
    *fresh = (process){.id = worker->id,
                       .slot = worker->slot,
                       .generation = worker->generation,
                       .next = next,
                       .ready_at_ns = now + random_ns(second / 2),
                       .gone_by_ns = UINT64_MAX,
                       .old_since_ns = UINT64_MAX,
                       .dies_at_ns = UINT64_MAX};
    if ((next && broken) || (faults && random_below(6) == 0)) {
        fresh->ready_at_ns = UINT64_MAX;
        fresh->dies_at_ns = random_below(3) == 0 ? UINT64_MAX : now + random_ns(second);
        /* A refusal ends a cluster that never served: that is another test's. */
        fresh->how = starts > 0 && random_below(2) == 0 ? GYREI_DEATH_REFUSED : GYREI_DEATH_CRASHED;
    } else if (faults && random_below(4) == 0) {
        fresh->dies_at_ns = now + random_ns(10 * second);
    }
    return 0;
}

static void doom(uint32_t id, uint64_t by_ns)
{
    process *it = process_of(id);

    it->doomed = true;
    if (by_ns < it->gone_by_ns)
        it->gone_by_ns = by_ns;
    /* Some finish, some hang until they are killed. */
    if (random_below(4) > 0 && it->dies_at_ns == UINT64_MAX)
        it->dies_at_ns = now + random_ns(2 * second);
}

static void on_drain(void *ctx, uint32_t id, uint64_t timeout_ns)
{
    (void)ctx;
    assert_true(process_of(id)->ready);
    doom(id, now + timeout_ns + slack_ns);
}

static void on_end(void *ctx, uint32_t id)
{
    (void)ctx;
    doom(id, now + slack_ns);
}

static void on_kill(void *ctx, uint32_t id)
{
    process *it = process_of(id);

    (void)ctx;
    assert_true(it->doomed);
    it->dies_at_ns = now;
}

static void on_started(void *ctx)
{
    (void)ctx;
    starts++;
}

static void on_reloaded(void *ctx, bool good)
{
    (void)ctx;
    if (good)
        good_reloads++;
    else
        bad_reloads++;
}

static void on_backing_off(void *ctx, uint32_t slot, uint64_t delay_ns)
{
    (void)ctx;
    assert_true(slot < GYREI_PLAN_SLOTS_MAX);
    assert_in_range(delay_ns, 50 * GYRE_MILLISECOND, 10 * second);
}

static const gyrei_plan_ops ops = {.spawn = on_spawn,
                                   .drain = on_drain,
                                   .end = on_end,
                                   .kill = on_kill,
                                   .started = on_started,
                                   .reloaded = on_reloaded,
                                   .backing_off = on_backing_off};

/* ---- the world ---- */

static void live(process *it)
{
    if (it->id == 0)
        return;
    assert_true(now <= it->gone_by_ns);
    if (it->dies_at_ns <= now) {
        const uint32_t id = it->id;

        it->id = 0;
        gyrei_plan_died(&plan, id, it->ready ? GYREI_DEATH_CRASHED : it->how, now);
    } else if (!it->ready && !it->doomed && it->ready_at_ns <= now) {
        it->ready = true;
        gyrei_plan_ready(&plan, it->id, now);
    }
}

/* No slot is served twice by one generation. */
static void check_slots(void)
{
    for (int i = 0; i < PROCESSES; i++) {
        for (int j = 0; world[i].id != 0 && j < i; j++) {
            if (world[j].id == 0 || world[i].doomed || world[j].doomed)
                continue;
            assert_false(world[i].slot == world[j].slot &&
                         world[i].generation == world[j].generation);
        }
    }
}

/* Who is of a generation that was replaced or given up goes within the time for that. */
static void check_old(process *it)
{
    if (it->id == 0 || it->generation == plan.generation ||
        (plan.next_generation != 0 && it->generation == plan.next_generation)) {
        it->old_since_ns = UINT64_MAX;
        return;
    }
    assert_true(it->doomed);
    if (it->old_since_ns == UINT64_MAX)
        it->old_since_ns = now;
    assert_true(now - it->old_since_ns <= times.retire_ns + slack_ns);
}

/* Two generations serve only while the new one starts: until then nobody is told to go. */
static void check_generations(void)
{
    uint32_t serving = 0;
    bool two = false;

    for (int i = 0; i < PROCESSES; i++) {
        check_old(&world[i]);
        if (world[i].id == 0 || !world[i].ready || world[i].doomed)
            continue;
        two = two || (serving != 0 && serving != world[i].generation);
        serving = world[i].generation;
    }
    if (!two)
        overlap_since_ns = UINT64_MAX;
    else if (overlap_since_ns == UINT64_MAX)
        overlap_since_ns = now;
    else
        assert_true(now - overlap_since_ns <= times.start_ns + second);
}

static void check(void)
{
    if (plan.phase != GYREI_PLAN_SERVING)
        return;
    check_slots();
    check_generations();
}

static void pass(uint64_t step_ns)
{
    now += step_ns;
    for (int i = 0; i < PROCESSES; i++)
        live(&world[i]);
    if (gyrei_plan_next_ns(&plan) <= now)
        gyrei_plan_tick(&plan, now);
}

static uint32_t alive(void)
{
    uint32_t count = 0;

    for (int i = 0; i < PROCESSES; i++)
        count += world[i].id != 0;
    return count;
}

static void begin(uint64_t number, uint32_t count)
{
    memset(world, 0, sizeof(world));
    seed = number * UINT64_C(0x9E3779B97F4A7C15) + 1;
    now = second;
    spawns = starts = good_reloads = bad_reloads = takeovers = 0;
    overlap_since_ns = UINT64_MAX;
    faults = broken = false;
    assert_true(gyrei_plan_init(&plan, &ops, &plan, &times));
    gyrei_plan_start(&plan, count, now);
}

static void settle_for(uint64_t time_ns)
{
    for (const uint64_t until = now + time_ns; now < until;)
        pass(second / 10);
}

/* Exactly `count` workers, each ready, all of the newest generation. */
static void assert_healed(uint32_t count)
{
    assert_int_equal(alive(), count);
    for (int i = 0; i < PROCESSES; i++) {
        if (world[i].id == 0)
            continue;
        assert_true(world[i].ready && !world[i].doomed);
        assert_int_equal(world[i].generation, plan.generation);
        assert_true(world[i].slot < count);
    }
    check();
}

static void serve(uint32_t count)
{
    begin(1, count);
    settle_for(2 * second);
    assert_int_equal(starts, 1);
    assert_healed(count);
}

/* ---- tests ---- */

/* As after an upgrade: another master knows only what this one wrote down. */
static void take_over(void)
{
    const gyrei_plan old = plan;

    if (old.phase != GYREI_PLAN_SERVING || old.next_generation != 0)
        return;
    assert_true(gyrei_plan_init(&plan, &ops, &plan, &times));
    gyrei_plan_resume(&plan, old.count, old.generation, old.last_id);
    plan.wanted_count = old.wanted_count;
    for (uint32_t i = 0; i < old.workers_room; i++) {
        if (old.workers[i].state != GYREI_WORKER_FREE)
            assert_true(gyrei_plan_adopt(&plan, &old.workers[i]));
    }
    takeovers++;
    free(old.slots);
    free(old.workers);
    gyrei_plan_tick(&plan, now);
}

static void any_event(void)
{
    const uint32_t what = random_below(60);

    if (what < 2)
        gyrei_plan_reload(&plan, 1 + random_below(5), now);
    else if (what == 2)
        broken = !broken;
    else if (what == 3)
        take_over();
}

static void stop_and_end(uint32_t signals)
{
    while (signals-- > 0)
        gyrei_plan_stop(&plan, now);
    settle_for(20 * second);
    assert_int_equal(plan.phase, GYREI_PLAN_ENDED);
    assert_int_equal(alive(), 0);
}

static void run_seed(uint64_t number)
{
    const int steps = number % 4 == 3 ? (int)random_below(STEPS) : STEPS;

    begin(number, 1 + random_below(5));
    faults = true;
    for (int i = 0; i < steps; i++) {
        any_event();
        pass(random_ns(second / 5));
        check();
    }
    if (number % 4 == 3) { /* a stop in the midst of it all, and events behind it */
        gyrei_plan_stop(&plan, now);
        any_event();
        stop_and_end(random_below(3));
        return;
    }
    faults = broken = false;
    settle_for(60 * second);
    assert_int_equal(starts, 1);
    assert_healed(plan.count);
    if (number % 2 == 0)
        gyrei_plan_reload(&plan, plan.count, now);
    stop_and_end(1 + (number % 3 == 0));
}

static void any_order_of_events_heals(void **state)
{
    int good = 0;
    int bad = 0;
    int taken = 0;

    (void)state;
    for (uint64_t number = first_seed; number < first_seed + seed_count; number++) {
        run_seed(number);
        gyrei_plan_free(&plan);
        good += good_reloads;
        bad += bad_reloads;
        taken += takeovers;
    }
    print_message("%llu seeds: %d reloads went well, %d failed; %d upgrades\n",
                  (unsigned long long)seed_count, good, bad, taken);
    assert_true(good > 0 && bad > 0 && taken > 0);
}

static void fifty_reloads_leave_the_newest_only(void **state)
{
    (void)state;
    serve(4);
    for (int i = 0; i < 50; i++) {
        gyrei_plan_reload(&plan, 4, now);
        pass(second / 50);
    }
    settle_for(40 * second);
    assert_healed(4);
    assert_true(plan.generation > 2);
    assert_int_equal(bad_reloads, 0);
    gyrei_plan_free(&plan);
}

static void a_broken_generation_leaves_the_old_one(void **state)
{
    (void)state;
    serve(3);
    broken = true;
    for (int i = 0; i < 20; i++) {
        gyrei_plan_reload(&plan, 3, now);
        settle_for(10 * second);
        assert_int_equal(bad_reloads, i + 1);
        assert_healed(3);
        assert_int_equal(plan.generation, 1);
    }
    gyrei_plan_free(&plan);
}

static void a_death_is_replaced_at_once(void **state)
{
    (void)state;
    serve(2);
    for (int i = 0; i < 10; i++) {
        const int before = spawns;

        for (int j = 0; j < PROCESSES; j++) {
            if (world[j].id != 0 && world[j].slot == 1)
                world[j].dies_at_ns = now;
        }
        pass(0);
        assert_int_equal(spawns, before + 1);
        settle_for(2 * second);
        assert_healed(2);
    }
    gyrei_plan_free(&plan);
}

static void who_dies_at_once_is_started_ever_less_often(void **state)
{
    (void)state;
    serve(1);
    for (int i = 0; i < 600; i++) {
        for (int j = 0; j < PROCESSES; j++)
            world[j].dies_at_ns = now;
        pass(second / 10);
    }
    assert_in_range(spawns, 8, 25);
    gyrei_plan_free(&plan);
}

static void a_refusal_at_the_start_ends_it(void **state)
{
    (void)state;
    begin(1, 2);
    gyrei_plan_died(&plan, 1, GYREI_DEATH_REFUSED, now);
    world[0].id = 0;
    settle_for(5 * second);
    assert_int_equal(plan.phase, GYREI_PLAN_ENDED);
    assert_true(plan.refused);
    assert_int_equal(alive(), 0);
    gyrei_plan_free(&plan);
}

static void another_number_of_workers(void **state)
{
    static const uint32_t counts[] = {1, 4, 2, 5};

    (void)state;
    serve(4);
    for (size_t i = 0; i < 4; i++) {
        gyrei_plan_reload(&plan, counts[i], now);
        settle_for(40 * second);
        assert_healed(counts[i]);
    }
    gyrei_plan_free(&plan);
}

/* Another master takes over: what is missing is started, what retires is still watched. */
static void a_plan_is_taken_over(void **state)
{
    gyrei_planned old[2] = {{.id = 7, .slot = 0, .generation = 3, .state = GYREI_WORKER_READY},
                            {.id = 5, .slot = 1, .generation = 2, .state = GYREI_WORKER_RETIRING}};

    (void)state;
    begin(1, 1);
    memset(world, 0, sizeof(world));
    gyrei_plan_free(&plan);
    assert_true(gyrei_plan_init(&plan, &ops, &plan, &times));
    gyrei_plan_resume(&plan, 2, 3, 7);
    old[0].deadline_ns = UINT64_MAX;
    old[1].deadline_ns = now + 3 * second;
    world[0] = (process){.id = 7,
                         .generation = 3,
                         .ready = true,
                         .gone_by_ns = UINT64_MAX,
                         .dies_at_ns = UINT64_MAX};
    world[1] = (process){.id = 5,
                         .slot = 1,
                         .generation = 2,
                         .ready = true,
                         .doomed = true,
                         .gone_by_ns = now + 4 * second,
                         .dies_at_ns = UINT64_MAX};
    assert_true(gyrei_plan_adopt(&plan, &old[0]));
    assert_true(gyrei_plan_adopt(&plan, &old[1]));
    settle_for(10 * second);
    assert_healed(2);
    assert_int_equal(plan.generation, 3);
    assert_int_equal(starts, 0);
    gyrei_plan_free(&plan);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest seeds[] = {cmocka_unit_test(any_order_of_events_heals)};

    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_of_events_heals),
        cmocka_unit_test(fifty_reloads_leave_the_newest_only),
        cmocka_unit_test(a_broken_generation_leaves_the_old_one),
        cmocka_unit_test(a_death_is_replaced_at_once),
        cmocka_unit_test(who_dies_at_once_is_started_ever_less_often),
        cmocka_unit_test(a_refusal_at_the_start_ends_it),
        cmocka_unit_test(another_number_of_workers),
        cmocka_unit_test(a_plan_is_taken_over),
    };

    if (argc > 1) {
        first_seed = strtoull(argv[1], NULL, 10);
        seed_count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
        return cmocka_run_group_tests(seeds, NULL, NULL);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
