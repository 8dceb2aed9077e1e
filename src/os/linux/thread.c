/*
 * Threads of the system, and where they may run.
 */
#include "core/threads.h"
#include "os/os.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { NAME_BYTES = 16 };

typedef struct os_thread {
    gyrei_thread base;
    gyrei_thread_options options;
    pthread_t id;
    char name[NAME_BYTES];
} os_thread;

typedef struct os_monitor {
    gyrei_monitor base;
    pthread_mutex_t lock;
    pthread_cond_t changed;
} os_monitor;

/* ---- processors ---- */

static void get_allowed(cpu_set_t *allowed)
{
    CPU_ZERO(allowed);
    if (sched_getaffinity(0, sizeof(*allowed), allowed) != 0 || CPU_COUNT(allowed) == 0)
        CPU_SET(0, allowed);
}

static uint32_t processors(const gyrei_env *env)
{
    cpu_set_t allowed;

    (void)env;
    get_allowed(&allowed);
    return (uint32_t)CPU_COUNT(&allowed);
}

/* The number of one of those that the program may use. */
static void get_one(int processor, cpu_set_t *one)
{
    cpu_set_t allowed;
    size_t cpu = 0;

    get_allowed(&allowed);
    while (!CPU_ISSET(cpu, &allowed) || processor-- > 0) {
        cpu++;
        GYRE_ASSERT(cpu < CPU_SETSIZE);
    }
    CPU_ZERO(one);
    CPU_SET(cpu, one);
}

/* ---- threads ---- */

static void *thread_main(void *arg)
{
    const os_thread *self = arg;

    (void)pthread_setname_np(pthread_self(), self->name);
    self->options.main(self->options.arg);
    return NULL;
}

/* It must not run anywhere else, not even at first: so this is an attribute. */
static int create(os_thread *self)
{
    pthread_attr_t attributes;
    cpu_set_t one;
    int error = pthread_attr_init(&attributes);

    if (error != 0)
        return GYRE_ENOMEM;
    if (self->options.processor >= 0) {
        get_one(self->options.processor, &one);
        error = pthread_attr_setaffinity_np(&attributes, sizeof(one), &one);
    }
    if (error == 0)
        error = pthread_create(&self->id, &attributes, thread_main, self);
    pthread_attr_destroy(&attributes);
    return error == 0 ? 0 : gyrei_os_error(error);
}

static void block_signals(sigset_t *before)
{
    static const int left[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGPROF};
    sigset_t blocked;

    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++)
        sigdelset(&blocked, left[i]);
    pthread_sigmask(SIG_BLOCK, &blocked, before);
}

static int start(const gyrei_env *env, gyrei_thread **thread, const gyrei_thread_options *options)
{
    os_thread *self = malloc(sizeof(*self));
    sigset_t before;
    int error;

    if (self == NULL)
        return GYRE_ENOMEM;
    self->base.env = env;
    self->options = *options;
    (void)snprintf(self->name, sizeof(self->name), "%s", options->name);
    block_signals(&before);
    error = create(self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        free(self);
    else
        *thread = &self->base;
    return error;
}

static void join(gyrei_thread *thread)
{
    os_thread *self = GYRE_CONTAINER_OF(thread, os_thread, base);
    const int error = pthread_join(self->id, NULL);

    GYRE_ASSERT(error == 0);
    free(self);
}

/* ---- monitors ---- */

static os_monitor *monitor_of(gyrei_monitor *monitor)
{
    return GYRE_CONTAINER_OF(monitor, os_monitor, base);
}

/* A condition that waits by the clock that nobody sets. */
static int init_changed(pthread_cond_t *changed)
{
    pthread_condattr_t attributes;
    int error = pthread_condattr_init(&attributes);

    if (error != 0)
        return error;
    error = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (error == 0)
        error = pthread_cond_init(changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return error;
}

static int monitor_open(const gyrei_env *env, gyrei_monitor **monitor)
{
    os_monitor *self = malloc(sizeof(*self));

    if (self == NULL)
        return GYRE_ENOMEM;
    self->base.env = env;
    if (init_changed(&self->changed) != 0) {
        free(self);
        return GYRE_ENOMEM;
    }
    if (pthread_mutex_init(&self->lock, NULL) != 0) {
        pthread_cond_destroy(&self->changed);
        free(self);
        return GYRE_ENOMEM;
    }
    *monitor = &self->base;
    return 0;
}

static void monitor_close(gyrei_monitor *monitor)
{
    os_monitor *self = monitor_of(monitor);

    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

static void enter(gyrei_monitor *monitor)
{
    pthread_mutex_lock(&monitor_of(monitor)->lock);
}

static void leave(gyrei_monitor *monitor)
{
    pthread_mutex_unlock(&monitor_of(monitor)->lock);
}

static bool wait_for_notice(gyrei_monitor *monitor, uint64_t until_ns)
{
    const struct timespec until = {.tv_sec = (time_t)(until_ns / GYRE_SECOND),
                                   .tv_nsec = (long)(until_ns % GYRE_SECOND)};
    os_monitor *self = monitor_of(monitor);
    int error;

    if (until_ns == UINT64_MAX)
        error = pthread_cond_wait(&self->changed, &self->lock);
    else
        error = pthread_cond_timedwait(&self->changed, &self->lock, &until);
    return error == 0;
}

static void notify(gyrei_monitor *monitor)
{
    pthread_cond_broadcast(&monitor_of(monitor)->changed);
}

const gyrei_threads gyrei_os_threads = {
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
