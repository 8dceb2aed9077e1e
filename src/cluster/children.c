/*
 * The workers' processes: started as the plan wants them, listened to, told to go, waited for.
 *
 * Only processes of this list are ever waited for or killed, by their numbers: those that the
 * program started otherwise are none of ours. A number stays ours until it was waited for.
 */
#include "cluster/master.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

gyrei_child *gyrei_child_find(const gyrei_master *master, uint32_t id)
{
    gyrei_child *child = master->children;

    while (child != NULL && child->id != id)
        child = child->next;
    return child;
}

/* ---- what it says ---- */

static void take_message(gyrei_child *child, const gyrei_message *message)
{
    gyrei_master *master = child->master;

    if (message->type == GYREI_MESSAGE_READY) {
        child->ready = true;
        gyrei_plan_ready(&master->plan, child->id, gyrei_master_now(master));
    } else if (message->type == GYREI_MESSAGE_FAILED) {
        child->failed = true;
        child->error = message->value;
    } else if (message->type == GYREI_MESSAGE_NOT_BEGUN) {
        gyrei_master_log(master, "%s cannot be executed: %s", master->program.path,
                         strerror(message->value));
        child->wanted = false; /* all is said */
        if (master->error == 0)
            master->error = GYRE_ECANCELED;
    }
}

static void reap_later(gyre_timer *timer)
{
    gyrei_children_reap(timer->data);
}

/* A socket that has ended is a process that ends: it can be waited for in a moment. */
static void on_control(gyre_poll *poll, int status, uint32_t events)
{
    gyrei_child *child = poll->data;
    gyrei_master *master = child->master;
    gyrei_message message;
    int got = 0;

    (void)events;
    while (status == 0 && (got = gyrei_message_receive(child->control, &message)) == 1)
        take_message(child, &message);
    if (got != GYRE_EAGAIN) {
        gyre_poll_stop(poll);
        gyre_timer_start(&master->reap, GYRE_MILLISECOND, 20 * GYRE_MILLISECOND, reap_later);
    }
    gyrei_master_settle(master);
}

int gyrei_child_add(gyrei_master *master, uint32_t id, uint32_t slot, const gyrei_spawned *spawned)
{
    gyrei_child *child = calloc(1, sizeof(*child));
    int error;

    if (child == NULL)
        return GYRE_ENOMEM;
    error = gyre_poll_init(master->loop, &child->poll, spawned->control);
    if (error != 0) {
        free(child);
        return error;
    }
    child->master = master;
    child->id = id;
    child->slot = slot;
    child->pid = spawned->pid;
    child->control = spawned->control;
    child->wanted = true;
    child->poll.data = child;
    child->next = master->children;
    master->children = child;
    gyre_handle_set_name(&child->poll.handle, "worker");
    return gyre_poll_start(&child->poll, GYRE_POLL_IN, on_control);
}

/* ---- its end ---- */

static void on_poll_closed(gyre_handle *handle)
{
    free(handle->data);
}

static void say_how(const gyrei_child *child, int status)
{
    const gyrei_master *master = child->master;
    const char *when = child->ready ? "" : " before it was ready";

    if (child->failed)
        gyrei_master_log(master, "worker %u (process %ld) could not start: %s", child->slot,
                         (long)child->pid, gyre_strerror(child->error));
    else if (WIFSIGNALED(status))
        gyrei_master_log(master, "worker %u (process %ld) died of signal %d (%s)%s", child->slot,
                         (long)child->pid, WTERMSIG(status), strsignal(WTERMSIG(status)), when);
    else
        gyrei_master_log(master, "worker %u (process %ld) ended with exit code %d%s", child->slot,
                         (long)child->pid, WEXITSTATUS(status), when);
}

static void lose(gyrei_master *master, gyrei_child *child, int status)
{
    const uint32_t id = child->id;
    const bool refused =
        !child->ready && (child->failed || (WIFEXITED(status) && WEXITSTATUS(status) != 0));

    if (child->wanted)
        say_how(child, status);
    if (refused && child->wanted && master->error == 0)
        master->error = child->failed ? child->error : GYRE_ECANCELED;
    gyre_poll_stop(&child->poll);
    close(child->control);
    gyre_close(&child->poll.handle, on_poll_closed);
    gyrei_plan_died(&master->plan, id, refused ? GYREI_DEATH_REFUSED : GYREI_DEATH_CRASHED,
                    gyrei_master_now(master));
}

/* What a dying worker has sent is read before its death is told. */
static void read_rest(gyrei_child *child)
{
    gyrei_message message;

    while (gyrei_message_receive(child->control, &message) == 1)
        take_message(child, &message);
}

void gyrei_children_reap(gyrei_master *master)
{
    gyrei_child **link = &master->children;
    bool waiting = false;

    while (*link != NULL) {
        gyrei_child *child = *link;
        int status = 0;
        const pid_t got = waitpid(child->pid, &status, WNOHANG);

        if (got == child->pid || (got < 0 && errno == ECHILD)) {
            read_rest(child);
            link = &master->children; /* the plan may have changed the list */
            while (*link != child)
                link = &(*link)->next;
            *link = child->next;
            lose(master, child, status);
            link = &master->children;
        } else {
            waiting = waiting || !gyre_is_active(&child->poll.handle);
            link = &child->next;
        }
    }
    if (!waiting)
        gyre_timer_stop(&master->reap);
    gyrei_master_settle(master);
}

void gyrei_children_tell(const gyrei_master *master, const gyrei_message *message)
{
    for (const gyrei_child *child = master->children; child != NULL; child = child->next)
        (void)gyrei_message_send(child->control, message);
}

/* ---- what the plan wants ---- */

static int on_spawn(void *ctx, const gyrei_planned *worker, bool next)
{
    gyrei_master *master = ctx;
    gyrei_spawn_options options = {.program = &master->program,
                                   .sockets = &master->sockets,
                                   .id = worker->id,
                                   .slot = worker->slot,
                                   .count = next ? master->plan.next_count : master->plan.count,
                                   .generation = worker->generation};
    gyrei_spawned spawned;
    int error = 0;

    if (next && worker->slot == 0) { /* a generation begins */
        master->next_by_path = master->by_path || master->upgrade_wanted;
        master->upgrade_due = master->upgrade_wanted;
        master->upgrade_wanted = false;
        error = gyrei_sockets_grow(&master->sockets, master->plan.next_count);
    }
    options.by_path = next ? master->next_by_path : master->by_path;
    if (error == 0)
        error = gyrei_spawn(&options, &spawned);
    if (error == 0) {
        error = gyrei_child_add(master, worker->id, worker->slot, &spawned);
        if (error != 0) { /* without its master's ear it ends by itself */
            close(spawned.control);
        }
    }
    if (error != 0)
        gyrei_master_log(master, "worker %u cannot be started: %s", worker->slot,
                         gyre_strerror(error));
    return error;
}

static void tell(const gyrei_master *master, uint32_t id, const gyrei_message *message)
{
    gyrei_child *child = gyrei_child_find(master, id);

    if (child == NULL)
        return;
    child->wanted = false;
    (void)gyrei_message_send(child->control, message); /* one that does not read is killed later */
}

static void on_drain(void *ctx, uint32_t id, uint64_t timeout_ns)
{
    const gyrei_master *master = ctx;
    const gyrei_message message = {.type = GYREI_MESSAGE_DRAIN,
                                   .value = master->plan.phase == GYREI_PLAN_STOPPING
                                                ? GYRE_WORKER_STOPS
                                                : GYRE_WORKER_RETIRES,
                                   .time_ns = timeout_ns};

    tell(master, id, &message);
}

static void on_end(void *ctx, uint32_t id)
{
    const gyrei_message message = {.type = GYREI_MESSAGE_END};

    tell(ctx, id, &message);
}

static void on_kill(void *ctx, uint32_t id)
{
    const gyrei_master *master = ctx;
    const gyrei_child *child = gyrei_child_find(master, id);

    if (child == NULL)
        return;
    gyrei_master_log(master, "worker %u (process %ld) does not end: it is killed", child->slot,
                     (long)child->pid);
    (void)kill(child->pid, SIGKILL);
}

static void on_started(void *ctx)
{
    const gyrei_master *master = ctx;
    const gyre_cluster_options *options = master->options;

    gyrei_notify("READY=1");
    if (options->started != NULL)
        options->started(master->loop, master->sockets.addresses, master->sockets.address_count,
                         options->ctx);
}

static void on_reloaded(void *ctx, bool good)
{
    gyrei_master *master = ctx;

    gyrei_notify("READY=1");
    if (good) {
        master->by_path = master->next_by_path;
        return;
    }
    gyrei_master_log(master, "the reload failed: the workers from before go on serving");
    master->upgrade_due = false;
    master->wanted = master->plan.count;
}

static void on_backing_off(void *ctx, uint32_t slot, uint64_t delay_ns)
{
    if (delay_ns >= GYRE_SECOND)
        gyrei_master_log(ctx, "worker %u keeps dying: the next one is started in %llu ms", slot,
                         (unsigned long long)(delay_ns / GYRE_MILLISECOND));
}

const gyrei_plan_ops gyrei_master_ops = {.spawn = on_spawn,
                                         .drain = on_drain,
                                         .end = on_end,
                                         .kill = on_kill,
                                         .started = on_started,
                                         .reloaded = on_reloaded,
                                         .backing_off = on_backing_off};
