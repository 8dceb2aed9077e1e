/*
 * Threads that run a loop each: how they begin, wait for each other and end. A part of the
 * environment, so that the simulator can run them too: one at a time, in the order of its seed.
 *
 * What else threads do with each other is lock-free (core/async.h), and needs nothing of this. The
 * pool's threads are not of this kind: elsewhere its work is the environment's jobs.
 */
#ifndef GYREI_CORE_THREADS_H
#define GYREI_CORE_THREADS_H

#include "core/env.h"

/* The environment's; each begins one of its own. */
typedef struct gyrei_thread {
    const gyrei_env *env;
} gyrei_thread;

/* A lock, and what is waited for under it. */
typedef struct gyrei_monitor {
    const gyrei_env *env;
} gyrei_monitor;

typedef struct gyrei_thread_options {
    void (*main)(void *arg);
    void *arg;
    const char *name; /* the system shows the first 15 characters */
    int processor;    /* kept on this one, below processors(); -1: on any */
} gyrei_thread_options;

typedef struct gyrei_threads {
    /* How many processors the program may use; at least 1. */
    uint32_t (*processors)(const gyrei_env *env);
    /* Signals are blocked in it, but for faults and profiles. GYRE_EAGAIN, GYRE_ENOMEM, or that it
     * may not be kept on its processor. */
    int (*start)(const gyrei_env *env, gyrei_thread **thread, const gyrei_thread_options *options);
    /* Waits for its end, and gives it back. */
    void (*join)(gyrei_thread *thread);

    int (*monitor_open)(const gyrei_env *env, gyrei_monitor **monitor);
    void (*monitor_close)(gyrei_monitor *monitor);
    void (*enter)(gyrei_monitor *monitor);
    void (*leave)(gyrei_monitor *monitor);
    /* Inside: leaves until somebody notifies, or the moment comes, by the environment's clock
     * (false); may return for no reason. UINT64_MAX: no such moment. */
    bool (*wait)(gyrei_monitor *monitor, uint64_t until_ns);
    /* Inside: all that wait go on. */
    void (*notify)(gyrei_monitor *monitor);
} gyrei_threads;

#endif
