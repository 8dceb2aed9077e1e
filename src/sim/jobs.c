/*
 * What a process has of its kernel beside descriptors: jobs that other threads would do, each an
 * event some time later, and signals.
 */
#include "sim/sim.h"

#include <stdlib.h>

static const uint64_t slow_job_max_ns = 2 * GYRE_SECOND;

/* ---- jobs ---- */

typedef struct sim_job {
    gyre_link link; /* in host->jobs */
    gyrei_sim_event event;
    gyre_sim_host *host;
    void *job;
    void (*run)(void *job);
} sim_job;

static sim_job *job_at(gyre_link *link)
{
    return GYRE_CONTAINER_OF(link, sim_job, link);
}

static void free_job(sim_job *one)
{
    gyrei_sim_unschedule(one->host->sim, &one->event);
    gyrei_list_remove(&one->link);
    free(one);
}

static void run_job(gyre_sim *sim, gyrei_sim_event *event)
{
    sim_job *one = GYRE_CONTAINER_OF(event, sim_job, event);
    gyre_sim_host *host = one->host;
    void *job = one->job;
    void (*run)(void *job) = one->run;

    gyrei_sim_note(sim, host, "job", 0, 0);
    free_job(one);
    run(job);
}

void gyrei_sim_job_start(const gyrei_env *env, void *job, void (*run)(void *job))
{
    gyre_sim_host *host = gyrei_sim_host_of(env);
    gyre_sim *sim = host->sim;
    const bool slow = gyrei_sim_strikes(sim, GYRE_SIM_SLOW_JOB);
    const uint64_t span_ns = slow ? slow_job_max_ns : host->job_max_ns - host->job_min_ns;
    const uint64_t least_ns = slow ? 0 : host->job_min_ns;
    sim_job *one = gyrei_sim_new(sizeof(*one));

    one->host = host;
    one->job = job;
    one->run = run;
    gyrei_list_append(&host->jobs, &one->link);
    gyrei_sim_schedule(sim, &one->event,
                       least_ns + (span_ns > 0 ? gyrei_sim_below(&sim->random, span_ns) : 0),
                       run_job);
}

void gyre_sim_host_job_time(gyre_sim_host *host, uint64_t min_ns, uint64_t max_ns)
{
    GYRE_ASSERT(min_ns <= max_ns);
    host->job_min_ns = min_ns;
    host->job_max_ns = max_ns;
}

bool gyrei_sim_job_cancel(const gyrei_env *env, void *job)
{
    gyre_sim_host *host = gyrei_sim_host_of(env);

    for (gyre_link *link = host->jobs.next; link != &host->jobs; link = link->next) {
        if (job_at(link)->job == job) {
            free_job(job_at(link));
            return true;
        }
    }
    return false;
}

/* ---- signals ---- */

typedef struct sim_signal {
    gyre_link link; /* in host->signals */
    void (*deliver)(void *ctx, int signum);
    void *ctx;
    int signum;
} sim_signal;

static sim_signal *signal_at(gyre_link *link)
{
    return GYRE_CONTAINER_OF(link, sim_signal, link);
}

void gyrei_sim_signal_watch(const gyrei_env *env, int signum,
                            void (*deliver)(void *ctx, int signum), void *ctx)
{
    sim_signal *watch = gyrei_sim_new(sizeof(*watch));

    watch->deliver = deliver;
    watch->ctx = ctx;
    watch->signum = signum;
    gyrei_list_append(&gyrei_sim_host_of(env)->signals, &watch->link);
}

void gyrei_sim_signal_unwatch(const gyrei_env *env, int signum, void *ctx)
{
    gyre_sim_host *host = gyrei_sim_host_of(env);

    for (gyre_link *link = host->signals.next; link != &host->signals; link = link->next) {
        sim_signal *watch = signal_at(link);

        if (watch->signum == signum && watch->ctx == ctx) {
            gyrei_list_remove(link);
            free(watch);
            return;
        }
    }
}

void gyre_sim_host_signal(gyre_sim_host *host, int signum)
{
    GYRE_ASSERT(signum >= 1 && signum <= 64);
    gyrei_sim_note(host->sim, host, "signal", signum, 0);
    for (gyre_link *link = host->signals.next; link != &host->signals; link = link->next) {
        if (signal_at(link)->signum == signum)
            signal_at(link)->deliver(signal_at(link)->ctx, signum);
    }
}

/* ---- the end ---- */

void gyrei_sim_jobs_drop(gyre_sim_host *host)
{
    gyre_link *link = host->jobs.next;

    while (link != &host->jobs) {
        sim_job *one = job_at(link);

        link = link->next;
        free_job(one);
    }
    link = host->signals.next;
    while (link != &host->signals) {
        sim_signal *watch = signal_at(link);

        link = link->next;
        free(watch);
    }
    gyrei_list_init(&host->signals);
}
