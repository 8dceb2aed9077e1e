/*
 * A host: a process with a loop, on a kernel of its own.
 *
 *   DOWN --boot--> UP --crash: process gone, memory and descriptors dropped--> DOWN --restart-->
 *
 * The world drives the host's main loop as a host loop drives an embedded one: a turn that does not
 * sleep, then gyre_loop_embed_prepare, then sleep until the kernel has something, the loop is woken
 * through its eventfd, or the time that the loop named has passed. So wake-ups that get lost show.
 */
#include "sim/sim.h"

#include <stdlib.h>

static const uint64_t boot_again_ns = 100 * GYRE_MILLISECOND;
static const uint64_t frozen_sleep_ns = GYRE_MILLISECOND;

static gyrei_sim_loop *loop_at(gyre_link *link)
{
    return GYRE_CONTAINER_OF(link, gyrei_sim_loop, link);
}

/* ---- loops ---- */

void gyrei_sim_loop_open(gyrei_sim_loop *self, gyre_loop *loop, int wake_fd,
                         const gyrei_sim_kernel_ops *ops)
{
    gyre_sim_host *host = gyrei_sim_host_of(gyrei_loop_env(loop));

    self->host = host;
    self->loop = loop;
    self->ops = ops;
    self->wake = gyrei_sim_fd_find(host, wake_fd);
    GYRE_ASSERT(self->wake != NULL && self->wake->kind == GYREI_SIM_EVENTFD);
    self->wake->wake = self;
    gyrei_list_append(&host->loops, &self->link);
}

void gyrei_sim_loop_close(gyrei_sim_loop *self)
{
    self->wake->wake = NULL;
    if (self->host->main == self)
        self->host->main = NULL;
    gyrei_list_remove(&self->link);
}

bool gyrei_sim_host_runnable(const gyre_sim_host *host)
{
    const gyrei_sim_loop *self = host->main;
    const gyre_sim *sim = host->sim;

    if (self == NULL || self->running || sim->now_ns < host->paused_until_ns)
        return false;
    if (self->woken || self->wake_ns <= sim->now_ns)
        return true;
    return !self->ended && self->ops->ready(self);
}

uint64_t gyrei_sim_host_wake_ns(const gyre_sim_host *host)
{
    const gyrei_sim_loop *self = host->main;

    if (self == NULL || self->running)
        return UINT64_MAX;
    if (host->paused_until_ns > host->sim->now_ns)
        return host->paused_until_ns;
    return self->wake_ns;
}

static void sleep_after(gyre_sim_host *host, uint64_t timeout_ns)
{
    gyre_sim *sim = host->sim;
    gyrei_sim_loop *self = host->main;

    self->ended = !gyre_loop_alive(host->loop);
    if (self->ended || timeout_ns == UINT64_MAX)
        self->wake_ns = UINT64_MAX;
    else
        self->wake_ns = gyrei_sim_after(sim, timeout_ns);
    /* By a clock that stands still the loop would be woken over and over. */
    if (timeout_ns > 0 && sim->now_ns < host->frozen_until_ns &&
        self->wake_ns < sim->now_ns + frozen_sleep_ns)
        self->wake_ns = sim->now_ns + frozen_sleep_ns;
    /* A sleep that was interrupted ends early, with nothing. */
    if (self->wake_ns > sim->now_ns && !self->ended && gyrei_sim_strikes(sim, GYRE_SIM_INTERRUPTED))
        self->wake_ns = sim->now_ns;
}

void gyrei_sim_host_turn(gyre_sim_host *host)
{
    gyrei_sim_loop *self = host->main;
    gyre_loop *loop = host->loop;
    int error;

    self->running = true;
    self->driven = true;
    error = gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    if (error >= 0)
        error = gyre_loop_embed_prepare(loop);
    if (error < 0 && host->sim->failure == NULL)
        host->sim->failure = "a turn failed";
    if (host->main != NULL) {
        self->running = false;
        self->driven = false;
        gyrei_sim_audit(self);
        sleep_after(host, gyre_loop_timeout_ns(loop));
    }
    if (host->crash_due)
        gyre_sim_host_crash(host, host->crash_silent);
}

/* ---- boot ---- */

static void ignore_line(void *ctx, const char *line)
{
    gyre_sim_host *host = ctx;

    (void)line;
    gyrei_sim_note(host->sim, host, "log", 0, 0);
}

void gyre_sim_host_loop_options(gyre_sim_host *host, gyre_loop_options *options)
{
    options->env = &host->env;
    options->allocator = &host->allocator;
    if (options->log == NULL) {
        options->log = ignore_line;
        options->log_ctx = host;
    }
}

int gyre_sim_loop_init(gyre_sim_host *host, gyre_loop **loop, const gyre_loop_options *options)
{
    gyre_loop_options mine = {.size = sizeof(mine)};

    if (options != NULL)
        mine = *options;
    gyre_sim_host_loop_options(host, &mine);
    return gyre_loop_init(loop, &mine);
}

static void boot(gyre_sim *sim, gyrei_sim_event *event)
{
    gyre_sim_host *host = GYRE_CONTAINER_OF(event, gyre_sim_host, restart);
    int error;

    if (host->state == GYREI_SIM_UP)
        return;
    host->powered = true;
    error = gyre_sim_loop_init(host, &host->loop, NULL);
    if (error != 0) {
        host->loop = NULL;
        gyrei_sim_schedule(sim, event, boot_again_ns, boot);
        return;
    }
    host->state = GYREI_SIM_UP;
    host->boots++;
    host->main = loop_at(host->loops.prev);
    host->main->wake_ns = 0;
    gyrei_sim_note(sim, host, "boot", host->boots, 0);
    host->main->running = true; /* the program may wait, for threads of its own */
    error = host->boot(host, host->loop, host->ctx);
    if (host->main != NULL)
        host->main->running = false;
    if (host->crash_due)
        gyre_sim_host_crash(host, host->crash_silent);
    else if (error < 0)
        gyre_sim_host_crash(host, 0);
}

void gyre_sim_host_restart(gyre_sim_host *host, uint64_t after_ns)
{
    gyrei_sim_schedule(host->sim, &host->restart, after_ns, boot);
}

/* ---- the end ---- */

/* Its code stands on a stack: it cannot go now. */
static bool any_running(const gyre_sim_host *host)
{
    if (gyrei_sim_thread_runs(host))
        return true;
    for (gyre_link *link = host->loops.next; link != &host->loops; link = link->next) {
        if (loop_at(link)->running)
            return true;
    }
    return false;
}

static void drop(gyre_sim_host *host, bool silent)
{
    gyre_link *link;

    host->state = GYREI_SIM_DOWN;
    host->loop = NULL;
    host->main = NULL;
    host->crash_due = false;
    gyrei_sim_threads_drop(host);
    gyrei_sim_jobs_drop(host);
    while ((link = gyrei_list_pop(&host->loops)) != NULL)
        loop_at(link)->ops->drop(loop_at(link));
    gyrei_sim_files_drop(host, silent);
    gyrei_sim_memory_drop(host);
}

void gyre_sim_host_crash(gyre_sim_host *host, int power_loss)
{
    if (host->state == GYREI_SIM_DOWN)
        return;
    if (any_running(host)) {
        host->crash_due = true;
        host->crash_silent = power_loss != 0;
        return;
    }
    gyrei_sim_note(host->sim, host, "crash", power_loss, 0);
    if (power_loss != 0)
        host->powered = false;
    if (host->crashed != NULL)
        host->crashed(host, host->ctx);
    drop(host, power_loss != 0);
}

int gyre_sim_host_shutdown(gyre_sim_host *host, uint64_t timeout_ns)
{
    int error;

    if (host->loop == NULL)
        return 0;
    GYRE_ASSERT(!any_running(host));
    gyrei_sim_note(host->sim, host, "shutdown", 0, 0);
    host->main->running = true;
    error = gyre_loop_shutdown(host->loop, timeout_ns);
    if (error != 0) {
        host->main->running = false;
        return error;
    }
    host->loop = NULL;
    host->state = GYREI_SIM_DOWN;
    return 0;
}

void gyre_sim_host_pause(gyre_sim_host *host, uint64_t for_ns)
{
    const uint64_t until_ns = gyrei_sim_after(host->sim, for_ns);

    gyrei_sim_note(host->sim, host, "pause", (int64_t)for_ns, 0);
    if (until_ns > host->paused_until_ns)
        host->paused_until_ns = until_ns;
}

/* ---- life ---- */

gyre_loop *gyre_sim_host_loop(const gyre_sim_host *host)
{
    return host->loop;
}

void gyre_sim_host_usage(const gyre_sim_host *host, gyre_sim_usage *usage)
{
    *usage = (gyre_sim_usage){
        .descriptors = (uint32_t)host->fd_count,
        .blocks = host->block_count,
        .bytes = host->block_bytes,
        .boots = host->boots,
        .allocations = host->alloc_count,
    };
}

void gyrei_sim_host_open(gyre_sim_host *host)
{
    gyrei_list_init(&host->loops);
    gyrei_list_init(&host->bound);
    gyrei_list_init(&host->stale);
    gyrei_list_init(&host->jobs);
    host->job_max_ns = 5 * GYRE_MILLISECOND;
    gyrei_list_init(&host->signals);
    gyrei_list_init(&host->threads);
    gyrei_list_init(&host->monitors);
    gyrei_sim_memory_init(host);
    gyrei_sim_env_init(host);
    gyrei_sim_schedule(host->sim, &host->restart, 0, boot);
}

void gyrei_sim_host_free(gyre_sim_host *host)
{
    gyrei_sim_unschedule(host->sim, &host->restart);
    if (host->state == GYREI_SIM_UP)
        gyre_sim_host_crash(host, 1);
    drop(host, true);
    gyrei_sim_names_drop(host);
    free(host->fds);
    free(host);
}
