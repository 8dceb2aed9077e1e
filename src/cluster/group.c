/*
 * Groups: the life of the loops and their threads. Placing and posting: group_place.c.
 *
 *   SERVING --drain--> DRAINING --nothing alive, or stopped--> ENDING --> shut down: ENDED
 *      +-----------------stopped---------------------------------^
 *
 * Each loop is held while it serves; draining lets go, so that it ends by itself. The group has no
 * handle on its loops: a program that walks over its handles finds only its own. Invariants: the
 * group's counters are under its lock; a member's state, load and loop are atomic; all else of a
 * member is its thread's until that was joined. Knows the library by its public headers only.
 */
#include "cluster/group.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COUNT_MAX = 1024, SHUTDOWN_ROUNDS = 10, NAME_BYTES = 16 };

/* ---- memory ---- */

static void *take_memory(const gyre_allocator *allocator, size_t bytes)
{
    void *memory =
        allocator != NULL ? allocator->resize(allocator->ctx, NULL, 0, bytes) : malloc(bytes);

    if (memory != NULL)
        memset(memory, 0, bytes);
    return memory;
}

static void free_memory(const gyre_allocator *allocator, void *memory, size_t bytes)
{
    if (allocator == NULL)
        free(memory);
    else if (memory != NULL)
        (void)allocator->resize(allocator->ctx, memory, bytes, 0);
}

/* ---- a loop's thread ---- */

static void set_state(gyrei_member *member, uint32_t state)
{
    __atomic_store_n(&member->state, state, __ATOMIC_RELEASE);
}

/* Runs on the member's loop. */
static void on_drain(gyre_post_node *node, int status)
{
    gyrei_member *member = node->data;
    gyre_group *group = member->group;

    if (status != 0 || !member->held)
        return;
    member->held = false;
    set_state(member, GYREI_MEMBER_DRAINING);
    if (group->options.drain != NULL)
        group->options.drain(group, member->index, member->loop, group->options.ctx);
    gyre_loop_release(member->loop);
}

static void on_stop(gyre_post_node *node, int status)
{
    const gyrei_member *member = node->data;

    if (status == 0)
        gyre_loop_stop(member->loop);
}

/* The processor of the member: the allowed ones in turn. */
static size_t processor(const gyrei_member *member)
{
    const cpu_set_t *allowed = &member->group->allowed;
    uint32_t skip = member->index % (uint32_t)CPU_COUNT(allowed);
    size_t cpu = 0;

    while (!CPU_ISSET(cpu, allowed) || skip-- > 0) {
        cpu++;
        GYRE_ASSERT(cpu < CPU_SETSIZE);
    }
    return cpu;
}

static int pin(const gyrei_member *member)
{
    const size_t cpu = processor(member);
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return -pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
}

static void set_name(const gyrei_member *member)
{
    char name[NAME_BYTES];

    (void)snprintf(name, sizeof(name), "%.10s-%u", member->group->name, (unsigned)member->index);
    (void)pthread_setname_np(pthread_self(), name);
}

static int set_up(gyrei_member *member)
{
    gyre_group *group = member->group;
    const int error = group->options.pin != 0 ? pin(member) : 0;

    set_name(member);
    if (error != 0 || group->setup == NULL)
        return error;
    return group->setup(group, member->index, member->loop, group->options.ctx);
}

/* Waits for the others. True: all were set up. */
static bool all_are_set_up(gyre_group *group, uint32_t arrived, int error)
{
    bool good;

    pthread_mutex_lock(&group->lock);
    group->arrived += arrived;
    if (group->setup_error == 0)
        group->setup_error = error;
    pthread_cond_broadcast(&group->changed);
    while (group->setup_error == 0 && group->arrived < group->count)
        pthread_cond_wait(&group->changed, &group->lock);
    good = group->setup_error == 0;
    pthread_mutex_unlock(&group->lock);
    return good;
}

static int run(gyrei_member *member)
{
    int result;

    gyre_loop_hold(member->loop);
    member->held = true;
    result = gyre_loop_run(member->loop, GYRE_RUN_DEFAULT);
    if (member->held)
        gyre_loop_release(member->loop);
    member->held = false;
    return result < 0 ? result : 0;
}

static int shut_down(gyrei_member *member)
{
    int refused = 0;
    int error = GYRE_ETIMEDOUT;

    /* A wait that the kernel refused once is tried again: the loop would be lost. */
    for (int i = 0; error != 0 && i < SHUTDOWN_ROUNDS; i++) {
        error = gyre_loop_shutdown(member->loop, GYRE_SECOND);
        if (error != 0 && error != GYRE_ETIMEDOUT)
            refused = error;
    }
    __atomic_store_n(&member->loop, NULL, __ATOMIC_RELAXED);
    set_state(member, GYREI_MEMBER_ENDED);
    return error != 0 ? error : refused;
}

static void *thread_main(void *arg)
{
    gyrei_member *member = arg;
    gyre_group *group = member->group;
    const int setup_error = set_up(member);
    int error = 0;
    int end_error;

    if (all_are_set_up(group, 1, setup_error))
        error = run(member);
    set_state(member, GYREI_MEMBER_ENDING);
    if (setup_error == 0 && group->options.teardown != NULL)
        group->options.teardown(group, member->index, member->loop, group->options.ctx);
    end_error = shut_down(member);
    if (error == 0)
        error = end_error;
    if (setup_error == 0 && group->options.ended != NULL)
        group->options.ended(group, member->index, group->options.ctx);
    pthread_mutex_lock(&group->lock);
    group->ended++;
    if (group->run_error == 0)
        group->run_error = error;
    pthread_cond_broadcast(&group->changed);
    pthread_mutex_unlock(&group->lock);
    return NULL;
}

/* ---- making a group ---- */

static void free_group(gyre_group *group)
{
    const gyre_allocator allocator = group->allocator;

    pthread_cond_destroy(&group->changed);
    pthread_mutex_destroy(&group->lock);
    free_memory(group->has_allocator ? &allocator : NULL, group, group->bytes);
}

/* A condition that waits by the clock that nobody sets. */
static int init_sync(gyre_group *group)
{
    pthread_condattr_t attributes;
    int error = pthread_condattr_init(&attributes);

    if (error != 0)
        return GYRE_ENOMEM;
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    error = pthread_cond_init(&group->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    if (error == 0)
        error = pthread_mutex_init(&group->lock, NULL);
    return error == 0 ? 0 : GYRE_ENOMEM;
}

static int new_group(gyre_group **out, uint32_t count, const gyre_group_options *options,
                     const cpu_set_t *allowed)
{
    const gyre_allocator *allocator = options->loop != NULL ? options->loop->allocator : NULL;
    const size_t bytes = sizeof(gyre_group) + count * sizeof(gyrei_member);
    gyre_group *group = take_memory(allocator, bytes);

    if (group == NULL)
        return GYRE_ENOMEM;
    if (init_sync(group) != 0) {
        free_memory(allocator, group, bytes);
        return GYRE_ENOMEM;
    }
    group->options = *options;
    group->has_allocator = allocator != NULL;
    if (allocator != NULL)
        group->allocator = *allocator;
    group->bytes = bytes;
    group->count = count;
    group->allowed = *allowed;
    (void)snprintf(group->name, sizeof(group->name), "%s",
                   options->name != NULL ? options->name : "gyre");
    *out = group;
    return 0;
}

static int init_members(gyre_group *group)
{
    for (uint32_t i = 0; i < group->count; i++) {
        gyrei_member *member = &group->members[i];
        const int error = gyre_loop_init(&member->loop, group->options.loop);

        if (error != 0) {
            member->loop = NULL;
            return error;
        }
        member->remote = gyre_loop_remote(member->loop);
        member->group = group;
        member->index = i;
        member->drain.data = member;
        member->stop.data = member;
    }
    return 0;
}

/* Loops that no thread has taken, and the group. */
static void destroy(gyre_group *group)
{
    for (uint32_t i = 0; i < group->count; i++) {
        gyrei_member *member = &group->members[i];

        if (member->loop != NULL)
            (void)gyre_loop_close(member->loop); /* it never ran: there is nothing to wait for */
        gyre_remote_unref(member->remote);
    }
    free_group(group);
}

/* How many were started. Signals are blocked in them, but for faults and profiles. */
static uint32_t start_threads(gyre_group *group)
{
    static const int left[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGPROF};
    uint32_t count = 0;
    sigset_t blocked;
    sigset_t before;

    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++)
        sigdelset(&blocked, left[i]);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    while (count < group->count) {
        gyrei_member *member = &group->members[count];

        if (pthread_create(&member->thread, NULL, thread_main, member) != 0)
            break;
        count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return count;
}

static void join_threads(gyre_group *group, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        pthread_join(group->members[i].thread, NULL);
}

static int start(gyre_group *group)
{
    const uint32_t started = start_threads(group);
    const uint32_t missing = group->count - started;

    if (all_are_set_up(group, missing, missing > 0 ? GYRE_EAGAIN : 0))
        return 0;
    join_threads(group, started);
    return group->setup_error;
}

int gyre_group_open(gyre_group **out, uint32_t count, const gyre_group_options *options,
                    gyre_group_setup_cb setup)
{
    static const gyre_group_options defaults = {.size = sizeof(defaults)};
    gyre_group *group;
    cpu_set_t allowed;
    int error;

    GYRE_ASSERT(out != NULL);
    if (options == NULL)
        options = &defaults;
    if (options->size != sizeof(*options) || count > COUNT_MAX || options->pin > 1)
        return GYRE_EINVAL;
    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0 || CPU_COUNT(&allowed) == 0)
        CPU_SET(0, &allowed);
    if (count == 0)
        count = (uint32_t)CPU_COUNT(&allowed);
    error = new_group(&group, count, options, &allowed);
    if (error != 0)
        return error;
    group->setup = setup;
    *out = group;
    error = init_members(group);
    if (error == 0)
        error = start(group);
    if (error != 0) {
        *out = NULL;
        destroy(group);
    }
    return error;
}

/* ---- the end ---- */

static void tell(gyrei_member *member, uint32_t *told, gyre_post_node *node, gyre_post_cb cb)
{
    if (__atomic_exchange_n(told, 1, __ATOMIC_ACQ_REL) == 0)
        (void)gyre_post(member->remote, node, cb); /* a loop that is gone needs no telling */
}

void gyre_group_drain(gyre_group *group)
{
    for (uint32_t i = 0; i < group->count; i++) {
        gyrei_member *member = &group->members[i];

        tell(member, &member->drain_told, &member->drain, on_drain);
    }
}

void gyre_group_stop(gyre_group *group)
{
    for (uint32_t i = 0; i < group->count; i++) {
        gyrei_member *member = &group->members[i];

        tell(member, &member->stop_told, &member->stop, on_stop);
    }
}

static struct timespec deadline_after(uint64_t timeout_ns)
{
    struct timespec at;
    uint64_t ns;

    clock_gettime(CLOCK_MONOTONIC, &at);
    ns = (uint64_t)at.tv_nsec + timeout_ns % GYRE_SECOND;
    at.tv_sec += (time_t)(timeout_ns / GYRE_SECOND + ns / GYRE_SECOND);
    at.tv_nsec = (long)(ns % GYRE_SECOND);
    return at;
}

/* False: the time was up before all had ended. */
static bool wait_for_ends(gyre_group *group, uint64_t timeout_ns)
{
    const struct timespec deadline = deadline_after(timeout_ns != UINT64_MAX ? timeout_ns : 0);
    int error = 0;
    bool all;

    pthread_mutex_lock(&group->lock);
    while (group->ended < group->count && error == 0) {
        if (timeout_ns == UINT64_MAX)
            error = pthread_cond_wait(&group->changed, &group->lock);
        else
            error = pthread_cond_timedwait(&group->changed, &group->lock, &deadline);
    }
    all = group->ended == group->count;
    pthread_mutex_unlock(&group->lock);
    return all;
}

int gyre_group_close(gyre_group *group, uint64_t timeout_ns)
{
    int error = 0;

    for (uint32_t i = 0; i < group->count; i++) {
        if (pthread_equal(group->members[i].thread, pthread_self()))
            return GYRE_EDEADLK;
    }
    if (timeout_ns > 0) {
        gyre_group_drain(group);
        if (!wait_for_ends(group, timeout_ns))
            error = GYRE_ETIMEDOUT;
    }
    gyre_group_stop(group);
    join_threads(group, group->count);
    if (group->run_error != 0)
        error = group->run_error;
    destroy(group);
    return error;
}
