/*
 * What befalls whole hosts: each tenth of a second of virtual time, chance says whether two hosts
 * lose each other, one crashes, loses power, stops for a while, or has its clock stand still. And
 * healing, which ends all of it.
 */
#include "sim/sim.h"

static const uint64_t tick_ns = 100 * GYRE_MILLISECOND;
static const uint64_t away_max_ns = 10 * GYRE_SECOND;
static const uint64_t pause_max_ns = 3 * GYRE_SECOND;
static const uint64_t stall_max_ns = 50 * GYRE_MILLISECOND;

/* One cut in so many ends with each tick. */
enum { JOIN_CHANCE = 20 };

static gyre_sim_host *any_host(gyre_sim *sim)
{
    return sim->host_of[gyrei_sim_below(&sim->random, sim->host_count)];
}

/* ---- partitions ---- */

void gyre_sim_partition(gyre_sim_host *a, gyre_sim_host *b, int cut)
{
    gyre_sim *sim = a->sim;

    GYRE_ASSERT(a != b && b->sim == sim);
    gyrei_sim_note(sim, a, cut ? "cut" : "joined", b->id, 0);
    if (cut) {
        sim->cut[a->id] |= UINT64_C(1) << b->id;
        sim->cut[b->id] |= UINT64_C(1) << a->id;
    } else {
        sim->cut[a->id] &= ~(UINT64_C(1) << b->id);
        sim->cut[b->id] &= ~(UINT64_C(1) << a->id);
    }
}

static void cut_some(gyre_sim *sim)
{
    gyre_sim_host *a;
    gyre_sim_host *b;

    if (sim->host_count < 2 || !gyrei_sim_strikes(sim, GYRE_SIM_PARTITION))
        return;
    a = any_host(sim);
    b = sim->host_of[(a->id + 1 + gyrei_sim_below(&sim->random, sim->host_count - 1)) %
                     sim->host_count];
    if ((sim->cut[a->id] >> b->id & 1) != 0)
        return;
    gyre_sim_partition(a, b, 1);
    sim->cut_by_chance[a->id < b->id ? a->id : b->id] |= UINT64_C(1)
                                                         << (a->id < b->id ? b->id : a->id);
}

/* Joins what chance has cut. `all`: or only some of it. */
static void join_some(gyre_sim *sim, bool all)
{
    for (uint32_t a = 0; a < sim->host_count; a++) {
        for (uint32_t b = 0; sim->cut_by_chance[a] != 0 && b < sim->host_count; b++) {
            if ((sim->cut_by_chance[a] >> b & 1) == 0)
                continue;
            if (!all && gyrei_sim_below(&sim->random, JOIN_CHANCE) != 0)
                continue;
            sim->cut_by_chance[a] &= ~(UINT64_C(1) << b);
            gyre_sim_partition(sim->host_of[a], sim->host_of[b], 0);
        }
    }
}

/* ---- hosts ---- */

static void crash_some(gyre_sim *sim, gyre_sim_fault fault, int power_loss)
{
    gyre_sim_host *host;

    if (!gyrei_sim_strikes(sim, fault))
        return;
    host = any_host(sim);
    /* A program that waits inside gyre_loop_run stands on our stack: it cannot go. */
    if (host->state != GYREI_SIM_UP || host->main == NULL || host->main->running)
        return;
    gyre_sim_host_crash(host, power_loss);
    gyre_sim_host_restart(host, gyrei_sim_below(&sim->random, away_max_ns));
}

static void pause_some(gyre_sim *sim)
{
    gyre_sim_host *host;

    if (!gyrei_sim_strikes(sim, GYRE_SIM_PAUSE))
        return;
    host = any_host(sim);
    gyre_sim_host_pause(host, gyrei_sim_below(&sim->random, pause_max_ns));
}

static void stall_some(gyre_sim *sim)
{
    gyre_sim_host *host;

    if (!gyrei_sim_strikes(sim, GYRE_SIM_CLOCK_STALL))
        return;
    host = any_host(sim);
    if (sim->now_ns < host->frozen_until_ns)
        return;
    host->frozen_ns = sim->now_ns;
    host->frozen_until_ns = sim->now_ns + gyrei_sim_below(&sim->random, stall_max_ns);
}

static bool is_wanted(const gyre_sim *sim)
{
    for (uint32_t i = GYRE_SIM_PARTITION; i < GYRE_SIM_FAULTS; i++) {
        if (sim->rates[i] != 0)
            return true;
    }
    for (uint32_t i = 0; i < sim->host_count; i++) {
        if (sim->cut_by_chance[i] != 0)
            return true;
    }
    return false;
}

static void tick(gyre_sim *sim, gyrei_sim_event *event)
{
    if (sim->host_count > 0) {
        join_some(sim, false);
        cut_some(sim);
        crash_some(sim, GYRE_SIM_CRASH, 0);
        crash_some(sim, GYRE_SIM_POWER_LOSS, 1);
        pause_some(sim);
        stall_some(sim);
    }
    if (is_wanted(sim))
        gyrei_sim_schedule(sim, event, tick_ns, tick);
}

void gyrei_sim_chaos_want(gyre_sim *sim)
{
    if (!gyrei_sim_scheduled(&sim->chaos) && is_wanted(sim))
        gyrei_sim_schedule(sim, &sim->chaos, tick_ns, tick);
}

void gyre_sim_heal(gyre_sim *sim)
{
    gyrei_sim_note(sim, NULL, "heal", 0, 0);
    for (int fault = 0; fault < GYRE_SIM_FAULTS; fault++)
        sim->rates[fault] = 0;
    join_some(sim, true);
    for (uint32_t a = 0; a < sim->host_count; a++) {
        gyre_sim_host *host = sim->host_of[a];

        sim->cut[a] = 0;
        host->paused_until_ns = 0;
        host->frozen_until_ns = 0;
        if (host->state == GYREI_SIM_DOWN && gyrei_sim_scheduled(&host->restart))
            gyre_sim_host_restart(host, 0);
    }
}
