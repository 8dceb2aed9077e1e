/*
 * The master's decisions; see plan.h.
 *
 * Invariants: a slot of the serving generation has one worker, or a moment when it gets one; the
 * generation that starts replaces the serving one only as a whole; a worker that is to go has a
 * deadline, after which it is killed. Events that an operation causes while it is called (a spawn
 * that fails, say) are told by its return value only: operations do not call back into the plan.
 */
#include "cluster/plan.h"

#include <gyre/base.h>

#include <stdlib.h>
#include <string.h>

enum { WORKERS_FIRST = 16, DOUBLINGS_MAX = 7 };

static const uint64_t never = UINT64_MAX;
static const uint64_t grace_ns = GYRE_SECOND;              /* from "go" to SIGKILL */
static const uint64_t late_ns = 5 * GYRE_SECOND;           /* from a retirement's end to SIGKILL */
static const uint64_t healthy_ns = 500 * GYRE_MILLISECOND; /* who served so long may die */
static const uint64_t back_off_first_ns = 50 * GYRE_MILLISECOND;

bool gyrei_plan_init(gyrei_plan *plan, const gyrei_plan_ops *ops, void *ctx,
                     const gyrei_plan_times *times)
{
    *plan = (gyrei_plan){.ops = ops, .ctx = ctx, .times = *times};
    plan->slots = calloc(GYREI_PLAN_SLOTS_MAX, sizeof(*plan->slots));
    plan->workers = calloc(WORKERS_FIRST, sizeof(*plan->workers));
    if (plan->slots == NULL || plan->workers == NULL) {
        gyrei_plan_free(plan);
        return false;
    }
    plan->workers_room = WORKERS_FIRST;
    for (uint32_t i = 0; i < GYREI_PLAN_SLOTS_MAX; i++)
        plan->slots[i].respawn_ns = never;
    return true;
}

void gyrei_plan_free(gyrei_plan *plan)
{
    free(plan->slots);
    free(plan->workers);
    plan->slots = NULL;
    plan->workers = NULL;
    plan->workers_room = 0;
}

static uint64_t add(uint64_t moment_ns, uint64_t after_ns)
{
    return after_ns < never - moment_ns ? moment_ns + after_ns : never;
}

/* ---- workers ---- */

static gyrei_planned *find(const gyrei_plan *plan, uint32_t id)
{
    for (uint32_t i = 0; i < plan->workers_room; i++) {
        if (plan->workers[i].state != GYREI_WORKER_FREE && plan->workers[i].id == id)
            return &plan->workers[i];
    }
    return NULL;
}

const gyrei_planned *gyrei_plan_find(const gyrei_plan *plan, uint32_t id)
{
    return find(plan, id);
}

static bool any_left(const gyrei_plan *plan)
{
    for (uint32_t i = 0; i < plan->workers_room; i++) {
        if (plan->workers[i].state != GYREI_WORKER_FREE)
            return true;
    }
    return false;
}

/* How many of a generation are ready. */
static uint32_t ready_count(const gyrei_plan *plan, uint32_t generation)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < plan->workers_room; i++) {
        if (plan->workers[i].state == GYREI_WORKER_READY &&
            plan->workers[i].generation == generation)
            count++;
    }
    return count;
}

static gyrei_planned *free_entry(gyrei_plan *plan)
{
    gyrei_planned *larger;
    const uint32_t room = plan->workers_room;

    for (uint32_t i = 0; i < room; i++) {
        if (plan->workers[i].state == GYREI_WORKER_FREE)
            return &plan->workers[i];
    }
    GYRE_ASSERT(room > 0);
    larger = realloc(plan->workers, (size_t)room * 2 * sizeof(*larger));
    if (larger == NULL)
        return NULL;
    memset(larger + room, 0, room * sizeof(*larger));
    plan->workers = larger;
    plan->workers_room = 2 * room;
    return &larger[room];
}

static bool spawn(gyrei_plan *plan, uint32_t slot, uint32_t generation, uint64_t now_ns)
{
    gyrei_planned *worker = free_entry(plan);

    if (worker == NULL)
        return false;
    *worker = (gyrei_planned){.id = ++plan->last_id,
                              .slot = slot,
                              .generation = generation,
                              .state = GYREI_WORKER_STARTING,
                              .began_ns = now_ns,
                              .deadline_ns = add(now_ns, plan->times.start_ns)};
    if (plan->ops->spawn(plan->ctx, worker, generation == plan->next_generation) == 0)
        return true;
    worker->state = GYREI_WORKER_FREE;
    return false;
}

/* To go at once. */
static void end(gyrei_plan *plan, gyrei_planned *worker, uint64_t now_ns)
{
    if (worker->state >= GYREI_WORKER_ENDING)
        return;
    worker->state = GYREI_WORKER_ENDING;
    worker->deadline_ns = add(now_ns, grace_ns);
    plan->ops->end(plan->ctx, worker->id);
}

static void retire(gyrei_plan *plan, gyrei_planned *worker, uint64_t timeout_ns, uint64_t now_ns)
{
    const uint64_t deadline_ns = add(add(now_ns, timeout_ns), late_ns);

    if (worker->state == GYREI_WORKER_STARTING) {
        end(plan, worker, now_ns);
        return;
    }
    if (worker->state != GYREI_WORKER_READY && worker->state != GYREI_WORKER_RETIRING)
        return;
    if (worker->state == GYREI_WORKER_RETIRING && worker->deadline_ns <= deadline_ns)
        return;
    worker->state = GYREI_WORKER_RETIRING;
    worker->deadline_ns = deadline_ns;
    plan->ops->drain(plan->ctx, worker->id, timeout_ns);
}

/* ---- slots ---- */

static void fill_slot(gyrei_plan *plan, uint32_t slot, uint64_t now_ns);

/* The slot's worker died, or could not be started. */
static void back_off(gyrei_plan *plan, uint32_t slot, uint64_t now_ns)
{
    gyrei_plan_slot *at = &plan->slots[slot];
    const uint32_t doublings = at->failures < DOUBLINGS_MAX ? at->failures : DOUBLINGS_MAX;
    const uint64_t delay_ns = back_off_first_ns << doublings;

    at->failures++;
    at->respawn_ns = add(now_ns, delay_ns);
    plan->ops->backing_off(plan->ctx, slot, delay_ns);
}

static void fill_slot(gyrei_plan *plan, uint32_t slot, uint64_t now_ns)
{
    plan->slots[slot].respawn_ns = never;
    if (!spawn(plan, slot, plan->generation, now_ns))
        back_off(plan, slot, now_ns);
}

static void forget_slots(gyrei_plan *plan)
{
    for (uint32_t i = 0; i < GYREI_PLAN_SLOTS_MAX; i++)
        plan->slots[i] = (gyrei_plan_slot){.respawn_ns = never};
}

/* ---- generations ---- */

static void fail_reload(gyrei_plan *plan, uint64_t now_ns)
{
    const uint32_t generation = plan->next_generation;

    plan->next_generation = 0;
    for (uint32_t i = 0; i < plan->workers_room; i++) {
        gyrei_planned *worker = &plan->workers[i];

        if (worker->state != GYREI_WORKER_FREE && worker->generation == generation)
            end(plan, worker, now_ns);
    }
    plan->ops->reloaded(plan->ctx, false);
}

static void begin_reload(gyrei_plan *plan, uint64_t now_ns)
{
    plan->next_count = plan->wanted_count;
    plan->wanted_count = 0;
    plan->next_generation = ++plan->last_generation;
    for (uint32_t slot = 0; slot < plan->next_count; slot++) {
        if (!spawn(plan, slot, plan->next_generation, now_ns)) {
            fail_reload(plan, now_ns);
            return;
        }
    }
}

static void finish_reload(gyrei_plan *plan, uint64_t now_ns)
{
    const uint32_t old = plan->generation;

    plan->generation = plan->next_generation;
    plan->count = plan->next_count;
    plan->next_generation = 0;
    forget_slots(plan);
    for (uint32_t i = 0; i < plan->workers_room; i++) {
        gyrei_planned *worker = &plan->workers[i];

        if (worker->state != GYREI_WORKER_FREE && worker->generation == old)
            retire(plan, worker, plan->times.retire_ns, now_ns);
    }
    plan->ops->reloaded(plan->ctx, true);
}

/* What follows from the state that an event left. */
static void settle(gyrei_plan *plan, uint64_t now_ns)
{
    if (plan->phase == GYREI_PLAN_STOPPING && !any_left(plan))
        plan->phase = GYREI_PLAN_ENDED;
    if (plan->phase == GYREI_PLAN_STARTING && ready_count(plan, plan->generation) == plan->count) {
        plan->phase = GYREI_PLAN_SERVING;
        plan->ops->started(plan->ctx);
    }
    if (plan->phase != GYREI_PLAN_SERVING)
        return;
    if (plan->next_generation != 0 && ready_count(plan, plan->next_generation) == plan->next_count)
        finish_reload(plan, now_ns);
    while (plan->next_generation == 0 && plan->wanted_count != 0)
        begin_reload(plan, now_ns);
}

void gyrei_plan_start(gyrei_plan *plan, uint32_t count, uint64_t now_ns)
{
    GYRE_ASSERT(count > 0 && count <= GYREI_PLAN_SLOTS_MAX && plan->generation == 0);
    plan->count = count;
    plan->generation = ++plan->last_generation;
    for (uint32_t slot = 0; slot < count; slot++)
        fill_slot(plan, slot, now_ns);
}

void gyrei_plan_resume(gyrei_plan *plan, uint32_t count, uint32_t generation, uint32_t last_id)
{
    GYRE_ASSERT(count > 0 && count <= GYREI_PLAN_SLOTS_MAX && plan->generation == 0);
    plan->count = count;
    plan->generation = generation;
    plan->last_generation = generation;
    plan->last_id = last_id;
    plan->phase = GYREI_PLAN_SERVING;
    for (uint32_t slot = 0; slot < count; slot++)
        plan->slots[slot].respawn_ns = 0;
}

bool gyrei_plan_adopt(gyrei_plan *plan, const gyrei_planned *worker)
{
    gyrei_planned *entry = free_entry(plan);

    if (entry == NULL)
        return false;
    *entry = *worker;
    /* Its slot's in any state: one that was too slow to start is replaced when it is gone. */
    if (worker->generation == plan->generation && worker->slot < plan->count)
        plan->slots[worker->slot].respawn_ns = never;
    if (worker->generation > plan->last_generation)
        plan->last_generation = worker->generation;
    return true;
}

/* ---- events ---- */

void gyrei_plan_reload(gyrei_plan *plan, uint32_t count, uint64_t now_ns)
{
    GYRE_ASSERT(count > 0 && count <= GYREI_PLAN_SLOTS_MAX);
    if (plan->phase >= GYREI_PLAN_STOPPING)
        return;
    plan->wanted_count = count;
    settle(plan, now_ns);
}

static void stop_all(gyrei_plan *plan, uint64_t now_ns)
{
    for (uint32_t i = 0; i < plan->workers_room; i++) {
        gyrei_planned *worker = &plan->workers[i];

        if (worker->state == GYREI_WORKER_FREE)
            continue;
        if (plan->hurried)
            end(plan, worker, now_ns);
        else
            retire(plan, worker, plan->times.stop_ns, now_ns);
    }
}

void gyrei_plan_stop(gyrei_plan *plan, uint64_t now_ns)
{
    if (plan->phase == GYREI_PLAN_ENDED)
        return;
    plan->hurried = plan->phase == GYREI_PLAN_STOPPING;
    plan->phase = GYREI_PLAN_STOPPING;
    plan->next_generation = 0;
    plan->wanted_count = 0;
    forget_slots(plan);
    stop_all(plan, now_ns);
    settle(plan, now_ns);
}

void gyrei_plan_ready(gyrei_plan *plan, uint32_t id, uint64_t now_ns)
{
    gyrei_planned *worker = find(plan, id);

    if (worker == NULL || worker->state != GYREI_WORKER_STARTING)
        return;
    worker->state = GYREI_WORKER_READY;
    worker->ready_ns = now_ns;
    worker->deadline_ns = never;
    settle(plan, now_ns);
}

static void lose_serving(gyrei_plan *plan, const gyrei_planned *dead, gyrei_death how,
                         uint64_t now_ns)
{
    const bool was_healthy =
        dead->state == GYREI_WORKER_READY && now_ns - dead->ready_ns >= healthy_ns;

    if (plan->phase == GYREI_PLAN_STARTING && how == GYREI_DEATH_REFUSED) {
        plan->refused = true;
        gyrei_plan_stop(plan, now_ns);
        gyrei_plan_stop(plan, now_ns);
    } else if (was_healthy) {
        plan->slots[dead->slot].failures = 0;
        if (plan->times.replace_ns == 0)
            fill_slot(plan, dead->slot, now_ns);
        else
            plan->slots[dead->slot].respawn_ns = add(now_ns, plan->times.replace_ns);
    } else {
        back_off(plan, dead->slot, now_ns);
    }
}

void gyrei_plan_died(gyrei_plan *plan, uint32_t id, gyrei_death how, uint64_t now_ns)
{
    gyrei_planned *worker = find(plan, id);
    gyrei_planned dead;

    if (worker == NULL)
        return;
    dead = *worker;
    worker->state = GYREI_WORKER_FREE;
    /* One that is ending because it was too slow to start is still its slot's. */
    if (plan->phase < GYREI_PLAN_STOPPING && dead.generation == plan->next_generation)
        fail_reload(plan, now_ns);
    else if (plan->phase < GYREI_PLAN_STOPPING && dead.generation == plan->generation)
        lose_serving(plan, &dead, how, now_ns);
    settle(plan, now_ns);
}

/* ---- time ---- */

static void expire(gyrei_plan *plan, gyrei_planned *worker, uint64_t now_ns)
{
    const bool reloads = plan->next_generation != 0 && worker->generation == plan->next_generation;

    switch ((gyrei_worker_state)worker->state) {
    case GYREI_WORKER_STARTING:
        if (reloads)
            fail_reload(plan, now_ns);
        else
            end(plan, worker, now_ns);
        break;
    case GYREI_WORKER_RETIRING:
    case GYREI_WORKER_ENDING:
        worker->state = GYREI_WORKER_KILLED;
        worker->deadline_ns = never;
        plan->ops->kill(plan->ctx, worker->id);
        break;
    case GYREI_WORKER_FREE:
    case GYREI_WORKER_READY:
    case GYREI_WORKER_KILLED:
    default: worker->deadline_ns = never; break;
    }
}

void gyrei_plan_tick(gyrei_plan *plan, uint64_t now_ns)
{
    for (uint32_t i = 0; i < plan->workers_room; i++) {
        gyrei_planned *worker = &plan->workers[i];

        if (worker->state != GYREI_WORKER_FREE && worker->deadline_ns <= now_ns)
            expire(plan, worker, now_ns);
    }
    for (uint32_t slot = 0; slot < plan->count; slot++) {
        if (plan->phase < GYREI_PLAN_STOPPING && plan->slots[slot].respawn_ns <= now_ns)
            fill_slot(plan, slot, now_ns);
    }
    settle(plan, now_ns);
}

uint64_t gyrei_plan_next_ns(const gyrei_plan *plan)
{
    uint64_t next_ns = never;

    for (uint32_t i = 0; i < plan->workers_room; i++) {
        const gyrei_planned *worker = &plan->workers[i];

        if (worker->state != GYREI_WORKER_FREE && worker->deadline_ns < next_ns)
            next_ns = worker->deadline_ns;
    }
    for (uint32_t slot = 0; slot < plan->count && plan->phase < GYREI_PLAN_STOPPING; slot++) {
        if (plan->slots[slot].respawn_ns < next_ns)
            next_ns = plan->slots[slot].respawn_ns;
    }
    return next_ns;
}
