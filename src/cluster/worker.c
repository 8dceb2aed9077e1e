/*
 * A worker: a loop that serves the sockets it was given, until its master says otherwise.
 *
 *   setup --ready--> serving --drain--> draining --nothing alive--> teardown, gone
 *                       \------end, or time over: the loop is stopped------/
 *
 * The end of the control socket is the master's death: the worker drains in a hurry. Should it hang
 * in a callback then, SIGALRM ends it: the kernel sends one when the parent dies, and the handler
 * asks for a second one that nothing catches.
 */
#include "cluster/process.h"

#include <gyre/poll.h>
#include <gyre/signal.h>
#include <gyre/timer.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <unistd.h>

enum { LISTENERS_MAX = GYREI_ADDRESSES_MAX * GYREI_SLOTS_MAX, SHUTDOWN_ROUNDS = 3 };

static const uint64_t late_ns = 3 * GYRE_SECOND; /* from the end of its time to the stop */
static const uint64_t orphan_ns = 400 * GYRE_MILLISECOND;
static const uint64_t orphan_late_ns = 200 * GYRE_MILLISECOND;
static const suseconds_t hung_us = 900000;

typedef struct listener {
    int fd; /* -1: taken */
    uint32_t address;
} listener;

struct gyre_worker {
    const gyre_cluster_options *options;
    gyre_loop *loop;
    int control;
    uint32_t slot;
    uint32_t generation;
    listener *listeners;
    uint32_t listener_count;
    gyre_poll poll;
    gyre_timer timer;
    gyre_signal terminate;
    bool held;
};

/* ---- what the program asks ---- */

int gyre_cluster_is_worker(void)
{
    return getenv(GYREI_WORKER_VARIABLE) != NULL;
}

uint32_t gyre_worker_listener_count(const gyre_worker *worker)
{
    return worker->listener_count;
}

int gyre_worker_listener(gyre_worker *worker, uint32_t index, uint32_t *address_index)
{
    int fd;

    GYRE_ASSERT(index < worker->listener_count);
    fd = worker->listeners[index].fd;
    if (fd < 0)
        return GYRE_EBADF;
    if (address_index != NULL)
        *address_index = worker->listeners[index].address;
    worker->listeners[index].fd = -1;
    return fd;
}

uint32_t gyre_worker_slot(const gyre_worker *worker)
{
    return worker->slot;
}

uint32_t gyre_worker_generation(const gyre_worker *worker)
{
    return worker->generation;
}

/* ---- how it learns what it is ---- */

static bool take_listener(gyre_worker *worker, int fd, uint32_t address)
{
    listener *larger;

    if (worker->listener_count == LISTENERS_MAX || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return false;
    larger = realloc(worker->listeners, (worker->listener_count + 1) * sizeof(*larger));
    if (larger == NULL)
        return false;
    worker->listeners = larger;
    larger[worker->listener_count++] = (listener){.fd = fd, .address = address};
    return true;
}

/* NOLINTBEGIN(cert-err34-c): the numbers were written by the master, a moment before. */
static int read_description(gyre_worker *worker)
{
    const char *text = getenv(GYREI_WORKER_VARIABLE);
    int used = 0;
    int fd;
    unsigned address;

    if (text == NULL || sscanf(text, "%d %u %u%n", &worker->control, &worker->slot,
                               &worker->generation, &used) != 3)
        return GYRE_EINVAL;
    if (fcntl(worker->control, F_SETFD, FD_CLOEXEC) != 0)
        return GYRE_EINVAL;
    for (text += used; sscanf(text, " %d:%u%n", &fd, &address, &used) == 2; text += used) {
        if (!take_listener(worker, fd, address))
            return GYRE_EINVAL;
    }
    (void)unsetenv(GYREI_WORKER_VARIABLE);
    return 0;
}
/* NOLINTEND(cert-err34-c) */

int gyrei_worker_pin(uint32_t slot)
{
    cpu_set_t allowed;
    cpu_set_t one;
    uint32_t skip;
    size_t cpu = 0;

    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
        return -errno;
    skip = slot % (uint32_t)CPU_COUNT(&allowed);
    while (cpu < CPU_SETSIZE - 1 && (!CPU_ISSET(cpu, &allowed) || skip-- > 0))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return sched_setaffinity(0, sizeof(one), &one) == 0 ? 0 : -errno;
}

/* ---- draining ---- */

static void on_time_over(gyre_timer *timer)
{
    const gyre_worker *worker = timer->data;

    gyre_loop_stop(worker->loop);
}

static void drain(gyre_worker *worker, gyre_worker_reason reason, uint64_t timeout_ns,
                  uint64_t late)
{
    const uint64_t left_ns = UINT64_MAX - timeout_ns;

    gyre_timer_start(&worker->timer, timeout_ns + (left_ns < late ? left_ns : late), 0,
                     on_time_over);
    if (worker->options->drain != NULL)
        worker->options->drain(worker, reason, timeout_ns, worker->options->ctx);
    else
        gyre_loop_stop(worker->loop);
    if (worker->held)
        gyre_loop_release(worker->loop);
    worker->held = false;
}

static void on_terminate(gyre_signal *watcher, int signum)
{
    gyre_worker *worker = watcher->data;

    (void)signum;
    drain(worker, GYRE_WORKER_STOPS, worker->options->stop_ns, late_ns);
}

static void take_message(gyre_worker *worker, const gyrei_message *message)
{
    const gyre_cluster_options *options = worker->options;

    switch ((gyrei_message_type)message->type) {
    case GYREI_MESSAGE_DRAIN:
        drain(worker, (gyre_worker_reason)message->value, message->time_ns, late_ns);
        break;
    case GYREI_MESSAGE_END: gyre_loop_stop(worker->loop); break;
    case GYREI_MESSAGE_REOPEN:
        if (options->reopen != NULL)
            options->reopen(worker, options->ctx);
        break;
    case GYREI_MESSAGE_READY:
    case GYREI_MESSAGE_FAILED:
    case GYREI_MESSAGE_NOT_BEGUN:
    default: break;
    }
}

static void on_control(gyre_poll *poll, int status, uint32_t events)
{
    gyre_worker *worker = poll->data;
    gyrei_message message;
    int got = 0;

    (void)events;
    while (status == 0 && (got = gyrei_message_receive(worker->control, &message)) == 1)
        take_message(worker, &message);
    if (got == GYRE_EAGAIN)
        return;
    gyre_poll_stop(poll);
    drain(worker, GYRE_WORKER_STOPS, orphan_ns, orphan_late_ns);
}

/* ---- signals ---- */

static void on_parent_died(int signum)
{
    const struct itimerval soon = {.it_value = {.tv_usec = hung_us}};

    (void)signal(signum, SIG_DFL);
    (void)setitimer(ITIMER_REAL, &soon, NULL);
}

/* What a terminal or an operator sends to all processes is the master's business. */
static int watch_signals(gyre_worker *worker)
{
    static const int ignored[] = {SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU};
    sigset_t set;
    int error;

    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        (void)signal(ignored[i], SIG_IGN);
    (void)signal(SIGALRM, on_parent_died);
    (void)prctl(PR_SET_PDEATHSIG, SIGALRM); /* a change of user has cleared it */
    error = gyre_signal_init(worker->loop, &worker->terminate);
    if (error != 0)
        return error;
    worker->terminate.data = worker;
    gyre_unref(&worker->terminate.handle);
    error = gyre_signal_start(&worker->terminate, SIGTERM, on_terminate);
    gyrei_master_signals(&set);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    return error;
}

/* ---- its life ---- */

static int watch_control(gyre_worker *worker)
{
    int error = gyre_timer_init(worker->loop, &worker->timer);

    if (error != 0)
        return error;
    worker->timer.data = worker;
    gyre_unref(&worker->timer.handle);
    gyre_handle_set_name(&worker->timer.handle, "worker");
    error = gyre_poll_init(worker->loop, &worker->poll, worker->control);
    if (error != 0)
        return error;
    worker->poll.data = worker;
    gyre_unref(&worker->poll.handle);
    gyre_handle_set_name(&worker->poll.handle, "worker");
    return gyre_poll_start(&worker->poll, GYRE_POLL_IN, on_control);
}

static int prepare(gyre_worker *worker)
{
    const gyre_cluster_options *options = worker->options;
    int error = options->pin != 0 ? gyrei_worker_pin(worker->slot) : 0;

    if (error == 0)
        error = gyrei_privileges_drop(options->user, options->group);
    if (error == 0)
        error = gyre_loop_init(&worker->loop, options->loop);
    if (error == 0)
        error = watch_control(worker);
    if (error == 0)
        error = watch_signals(worker);
    if (error == 0)
        error = options->setup(worker, worker->loop, options->ctx);
    return error;
}

static int serve(gyre_worker *worker)
{
    const gyrei_message ready = {.type = GYREI_MESSAGE_READY};
    int error;

    gyre_loop_hold(worker->loop);
    worker->held = true;
    (void)gyrei_message_send(worker->control, &ready); /* a master that is gone is noticed soon */
    error = gyre_loop_run(worker->loop, GYRE_RUN_DEFAULT);
    if (worker->held)
        gyre_loop_release(worker->loop);
    worker->held = false;
    return error < 0 ? error : 0;
}

static void give_back(gyre_worker *worker)
{
    int error = GYRE_ETIMEDOUT;

    for (int i = 0; worker->loop != NULL && error == GYRE_ETIMEDOUT && i < SHUTDOWN_ROUNDS; i++)
        error = gyre_loop_shutdown(worker->loop, GYRE_SECOND / 5);
    for (uint32_t i = 0; i < worker->listener_count; i++) {
        if (worker->listeners[i].fd >= 0)
            close(worker->listeners[i].fd);
    }
    free(worker->listeners);
    close(worker->control);
}

int gyrei_worker_run(const gyre_cluster_options *options)
{
    gyre_worker worker = {.options = options, .control = -1};
    gyrei_message failed = {.type = GYREI_MESSAGE_FAILED};
    int error = read_description(&worker);

    if (error != 0) {
        free(worker.listeners);
        return error;
    }
    (void)prctl(PR_SET_NAME,
                program_invocation_short_name); /* else it is that of the link: "exe" */
    error = prepare(&worker);
    if (error == 0) {
        error = serve(&worker);
        if (options->teardown != NULL)
            options->teardown(&worker, worker.loop, options->ctx);
    } else {
        failed.value = error;
        (void)gyrei_message_send(worker.control, &failed);
    }
    give_back(&worker);
    return error;
}
