/*
 * What a process has of its kernel beside descriptors: jobs that other threads would do, each an
 * event some time later, and signals.
 */
#include "sim/sim.h"

#include <stdlib.h>

static const uint64_t job_max_ns = 5 * GYRE_MILLISECOND;
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

int gyrei_sim_job_start(const gyrei_env *env, void *job, void (*run)(void *job))
{
    gyre_sim_host *host = gyrei_sim_host_of(env);
    gyre_sim *sim = host->sim;
    const bool slow = gyrei_sim_strikes(sim, GYRE_SIM_SLOW_JOB);
    sim_job *one = gyrei_sim_new(sizeof(*one));

    one->host = host;
    one->job = job;
    one->run = run;
    gyrei_list_append(&host->jobs, &one->link);
    gyrei_sim_schedule(sim, &one->event,
                       gyrei_sim_below(&sim->random, slow ? slow_job_max_ns : job_max_ns), run_job);
    return 0;
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

void gyrei_sim_jobs_drop(gyre_sim_host *host)
{
    gyre_link *link;

    while ((link = gyrei_list_pop(&host->jobs)) != NULL)
        free_job(job_at(link));
}
