/*
 * Threads of a host: each has a stack of its own and runs when the world picks it, until it waits.
 * So the order in which they run is the seed's, and what they share needs no lock.
 *
 *   ready --turn--> runs --wish--> waits --granted, or its moment--> ready
 *                     \--a turn is over, or preempted at a system call--> ready
 *
 * A crash ends them where they stand: their memory goes with the host's.
 */
#include "sim/posix/relay.h"
#include "sim/sim.h"

#include <stdlib.h>

/* What the programs of a host may use, on any machine. */
enum { PROCESSORS = 2 };

typedef struct sim_monitor {
    gyrei_monitor base;
    gyre_link link; /* in host->monitors */
    uint64_t notices;
    uint32_t inside; /* who holds it; nobody may be preempted there */
} sim_monitor;

static gyre_sim *sim_of(const gyrei_env *env)
{
    return gyrei_sim_host_of(env)->sim;
}

/* ---- whose turn it is ---- */

static bool is_granted(const gyrei_sim_thread *thread)
{
    const gyrei_sim_wish *wish = thread->wish;

    return wish == NULL || wish->until_ns <= thread->host->sim->now_ns || wish->granted(wish->ctx);
}

bool gyrei_sim_thread_runnable(const gyrei_sim_thread *thread)
{
    const gyre_sim_host *host = thread->host;

    return host->sim->now_ns >= host->paused_until_ns && is_granted(thread);
}

uint64_t gyrei_sim_thread_wake_ns(const gyrei_sim_thread *thread)
{
    const gyre_sim_host *host = thread->host;

    if (host->paused_until_ns > host->sim->now_ns)
        return host->paused_until_ns;
    return thread->wish != NULL ? thread->wish->until_ns : 0;
}

void gyrei_sim_thread_turn(gyrei_sim_thread *thread)
{
    gyre_sim_host *host = thread->host;
    gyre_sim *sim = host->sim;
    gyrei_sim_thread *before = sim->current;

    sim->current = thread;
    gyrei_relay_resume(thread->stack);
    sim->current = before;
    if (thread->ended)
        gyrei_list_remove(&thread->link);
    if (host->crash_due)
        gyre_sim_host_crash(host, host->crash_silent);
}

bool gyrei_sim_thread_runs(const gyre_sim_host *host)
{
    return host->sim->current != NULL && host->sim->current->host == host;
}

/* ---- on a thread ---- */

bool gyrei_sim_thread_wait(gyrei_sim_thread *thread, const gyrei_sim_wish *wish)
{
    thread->wish = wish;
    gyrei_relay_suspend(thread->stack);
    thread->wish = NULL;
    return true;
}

void gyrei_sim_thread_yield(const gyre_sim *sim)
{
    if (sim->current != NULL)
        gyrei_relay_suspend(sim->current->stack);
}

static bool holds_monitor(const gyre_sim_host *host)
{
    for (gyre_link *link = host->monitors.next; link != &host->monitors; link = link->next) {
        if (GYRE_CONTAINER_OF(link, sim_monitor, link)->inside > 0)
            return true;
    }
    return false;
}

void gyrei_sim_thread_preempt(gyre_sim *sim)
{
    gyrei_sim_thread *thread = sim->current;

    if (thread == NULL || !gyrei_sim_strikes(sim, GYRE_SIM_PREEMPTED) ||
        holds_monitor(thread->host))
        return;
    gyrei_relay_suspend(thread->stack);
}

static void run(void *arg)
{
    gyrei_sim_thread *self = arg;

    self->options.main(self->options.arg);
    self->ended = true;
}

/* ---- the environment's threads ---- */

static uint32_t processors(const gyrei_env *env)
{
    (void)env;
    return PROCESSORS;
}

static int start(const gyrei_env *env, gyrei_thread **thread, const gyrei_thread_options *options)
{
    gyre_sim_host *host = gyrei_sim_host_of(env);
    gyre_sim *sim = host->sim;
    gyrei_sim_thread *self;

    if (gyrei_sim_strikes(sim, GYRE_SIM_ENOMEM))
        return GYRE_EAGAIN;
    self = gyrei_sim_new(sizeof(*self));
    self->base.env = env;
    self->host = host;
    self->options = *options;
    self->stack = gyrei_relay_new(run, self);
    if (self->stack == NULL) {
        free(self);
        return GYRE_EAGAIN;
    }
    gyrei_list_append(&sim->threads, &self->link);
    gyrei_list_append(&host->threads, &self->of_host);
    gyrei_sim_note(sim, host, "thread", 0, 0);
    *thread = &self->base;
    return 0;
}

static void free_thread(gyrei_sim_thread *self)
{
    if (!self->ended)
        gyrei_list_remove(&self->link);
    gyrei_relay_free(self->stack);
    free(self);
}

static bool has_ended(const void *ctx)
{
    return ((const gyrei_sim_thread *)ctx)->ended;
}

static void join(gyrei_thread *thread)
{
    gyrei_sim_thread *self = GYRE_CONTAINER_OF(thread, gyrei_sim_thread, base);
    const gyrei_sim_wish wish = {.granted = has_ended, .ctx = self, .until_ns = UINT64_MAX};
    const bool ended = gyrei_sim_wait(self->host->sim, &wish);

    GYRE_ASSERT(ended); /* else the world has stopped, and the thread can never end */
    gyrei_list_remove(&self->of_host);
    free_thread(self);
}

/* ---- monitors ---- */

static sim_monitor *monitor_of(gyrei_monitor *monitor)
{
    return GYRE_CONTAINER_OF(monitor, sim_monitor, base);
}

static int monitor_open(const gyrei_env *env, gyrei_monitor **monitor)
{
    gyre_sim_host *host = gyrei_sim_host_of(env);
    sim_monitor *self;

    if (gyrei_sim_strikes(host->sim, GYRE_SIM_ENOMEM))
        return GYRE_ENOMEM;
    self = gyrei_sim_new(sizeof(*self));
    self->base.env = env;
    gyrei_list_append(&host->monitors, &self->link);
    *monitor = &self->base;
    return 0;
}

static void monitor_close(gyrei_monitor *monitor)
{
    sim_monitor *self = monitor_of(monitor);

    GYRE_ASSERT(self->inside == 0);
    gyrei_list_remove(&self->link);
    free(self);
}

static void enter(gyrei_monitor *monitor)
{
    sim_monitor *self = monitor_of(monitor);

    GYRE_ASSERT(self->inside == 0);
    self->inside = 1;
}

static void leave(gyrei_monitor *monitor)
{
    monitor_of(monitor)->inside = 0;
}

typedef struct notice {
    const sim_monitor *monitor;
    uint64_t seen;
} notice;

static bool is_notified(const void *ctx)
{
    const notice *self = ctx;

    return self->monitor->notices != self->seen && self->monitor->inside == 0;
}

static bool wait_for_notice(gyrei_monitor *monitor, uint64_t until_ns)
{
    sim_monitor *self = monitor_of(monitor);
    const notice next = {.monitor = self, .seen = self->notices};
    const gyrei_sim_wish wish = {.granted = is_notified, .ctx = &next, .until_ns = until_ns};
    gyre_sim *sim = sim_of(monitor->env);

    leave(monitor);
    /* It may also return for no reason. */
    if (!gyrei_sim_strikes(sim, GYRE_SIM_INTERRUPTED)) {
        const bool granted = gyrei_sim_wait(sim, &wish);

        GYRE_ASSERT(granted);
    }
    enter(monitor);
    return self->notices != next.seen || sim->now_ns < until_ns;
}

static void notify(gyrei_monitor *monitor)
{
    monitor_of(monitor)->notices++;
}

const gyrei_threads gyrei_sim_threads = {
    .processors = processors,
    .start = start,
    .join = join,
    .monitor_open = monitor_open,
    .monitor_close = monitor_close,
    .enter = enter,
    .leave = leave,
    .wait = wait_for_notice,
    .notify = notify,
};

/* ---- the end ---- */

void gyrei_sim_threads_drop(gyre_sim_host *host)
{
    gyre_link *link = host->threads.next;

    while (link != &host->threads) {
        gyrei_sim_thread *one = GYRE_CONTAINER_OF(link, gyrei_sim_thread, of_host);

        link = link->next;
        free_thread(one);
    }
    gyrei_list_init(&host->threads);
    link = host->monitors.next;
    while (link != &host->monitors) {
        sim_monitor *one = GYRE_CONTAINER_OF(link, sim_monitor, link);

        link = link->next;
        free(one);
    }
    gyrei_list_init(&host->monitors);
}
