/*
 * Groups: the life of the loops and their threads. Placing and posting: group_place.c.
 *
 *   SERVING --drain--> DRAINING --nothing alive, or stopped--> ENDING --> shut down: ENDED
 *      +-----------------stopped---------------------------------^
 *
 * Each loop is held while it serves; draining lets go, so that it ends by itself. The group has no
 * handle on its loops: a program that walks over its handles finds only its own. Invariants: the
 * group's counters are under its monitor; a member's state, load, loop and name of its thread are
 * atomic; all else of a member is its thread's until that was joined. Threads are the
 * environment's: nothing here waits otherwise, so that all of it runs in the simulator too.
 */
#include "work/group.h"

#include "base/memory.h"
#include "core/loop.h"
#include "core/timer.h"

#include <stdio.h>

enum { COUNT_MAX = 1024, SHUTDOWN_ROUNDS = 10, NAME_BYTES = 16 };

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

static int set_up(gyrei_member *member)
{
    gyre_group *group = member->group;

    if (group->setup == NULL)
        return 0;
    return group->setup(group, member->index, member->loop, group->options.ctx);
}

/* Waits for the others. True: all were set up. */
static bool all_are_set_up(gyre_group *group, uint32_t arrived, int error)
{
    const gyrei_threads *threads = group->env->threads;
    bool good;

    threads->enter(group->monitor);
    group->arrived += arrived;
    if (group->setup_error == 0)
        group->setup_error = error;
    threads->notify(group->monitor);
    while (group->setup_error == 0 && group->arrived < group->count)
        (void)threads->wait(group->monitor, UINT64_MAX);
    good = group->setup_error == 0;
    threads->leave(group->monitor);
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

static void count_end(gyre_group *group, int error)
{
    const gyrei_threads *threads = group->env->threads;

    threads->enter(group->monitor);
    group->ended++;
    if (group->run_error == 0)
        group->run_error = error;
    threads->notify(group->monitor);
    threads->leave(group->monitor);
}

static void thread_main(void *arg)
{
    gyrei_member *member = arg;
    gyre_group *group = member->group;
    int setup_error;
    int error = 0;
    int end_error;

    __atomic_store_n(&member->self, gyrei_thread_self(), __ATOMIC_RELAXED);
    setup_error = set_up(member);
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
    /* The next thread may go by the same name. */
    __atomic_store_n(&member->self, 0, __ATOMIC_RELAXED);
    count_end(group, error);
}

/* ---- making a group ---- */

static void free_group(gyre_group *group)
{
    const gyre_allocator allocator = group->allocator;

    group->env->threads->monitor_close(group->monitor);
    gyrei_free(&allocator, group, group->bytes);
}

static int new_group(gyre_group **out, uint32_t count, const gyre_group_options *options,
                     const gyrei_env *env)
{
    const gyre_loop_options *loop = options->loop;
    const gyre_allocator allocator =
        loop != NULL && loop->allocator != NULL ? *loop->allocator : gyrei_allocator_default;
    const size_t bytes = sizeof(gyre_group) + count * sizeof(gyrei_member);
    gyre_group *group = gyrei_alloc(&allocator, bytes);
    int error;

    if (group == NULL)
        return GYRE_ENOMEM;
    error = env->threads->monitor_open(env, &group->monitor);
    if (error != 0) {
        gyrei_free(&allocator, group, bytes);
        return error;
    }
    group->options = *options;
    group->allocator = allocator;
    group->bytes = bytes;
    group->count = count;
    group->env = env;
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

static int start_thread(gyrei_member *member)
{
    const gyre_group *group = member->group;
    const gyrei_threads *threads = group->env->threads;
    char name[NAME_BYTES];
    const gyrei_thread_options options = {
        .main = thread_main,
        .arg = member,
        .name = name,
        .processor =
            group->options.pin != 0 ? (int)(member->index % threads->processors(group->env)) : -1,
    };

    (void)snprintf(name, sizeof(name), "%.10s-%u", group->name, (unsigned)member->index);
    return threads->start(group->env, &member->thread, &options);
}

/* How many were started, and what was in the way of the next one. */
static uint32_t start_threads(gyre_group *group, int *error)
{
    uint32_t count = 0;

    *error = 0;
    while (count < group->count && (*error = start_thread(&group->members[count])) == 0)
        count++;
    return count;
}

static void join_threads(gyre_group *group, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        group->env->threads->join(group->members[i].thread);
}

static int start(gyre_group *group)
{
    int error;
    const uint32_t started = start_threads(group, &error);

    if (all_are_set_up(group, group->count - started, error))
        return 0;
    join_threads(group, started);
    return group->setup_error;
}

int gyre_group_open(gyre_group **out, uint32_t count, const gyre_group_options *options,
                    gyre_group_setup_cb setup)
{
    static const gyre_group_options defaults = {.size = sizeof(defaults)};
    const gyrei_env *env;
    gyre_group *group;
    int error;

    GYRE_ASSERT(out != NULL);
    if (options == NULL)
        options = &defaults;
    if (options->size != sizeof(*options) || count > COUNT_MAX || options->pin > 1)
        return GYRE_EINVAL;
    env = options->loop != NULL && options->loop->env != NULL ? options->loop->env : &gyrei_env_os;
    if (count == 0)
        count = env->threads->processors(env);
    error = new_group(&group, count < COUNT_MAX ? count : COUNT_MAX, options, env);
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

/* False: the time was up before all had ended. */
static bool wait_for_ends(gyre_group *group, uint64_t timeout_ns)
{
    const gyrei_threads *threads = group->env->threads;
    const uint64_t until_ns = gyrei_time_add(group->env->now_ns(group->env), timeout_ns);
    bool in_time = true;
    bool all;

    threads->enter(group->monitor);
    while (group->ended < group->count && in_time)
        in_time = threads->wait(group->monitor, until_ns);
    all = group->ended == group->count;
    threads->leave(group->monitor);
    return all;
}

int gyre_group_close(gyre_group *group, uint64_t timeout_ns)
{
    int error = 0;

    for (uint32_t i = 0; i < group->count; i++) {
        if (__atomic_load_n(&group->members[i].self, __ATOMIC_RELAXED) == gyrei_thread_self())
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
