/*
 * Groups: several loops, each on a thread of its own, so that a program uses more than one core.
 *
 * The loops share nothing. What one wants of another it posts (gyre_post); a connection goes from
 * one to another by gyre_stream_detach and gyre_stream_attach. Threads of a group take no signals:
 * they go to the program's own threads.
 */
#ifndef GYRE_GROUP_H
#define GYRE_GROUP_H

#include "gyre/async.h"
#include "gyre/loop.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gyre_group gyre_group;

/*
 * Prepares the loop number `index`, on its thread and before it runs. No loop of the group runs
 * before all were set up; posts between them wait until then. A GYRE_E* ends the whole group, and
 * is what gyre_group_open returns.
 */
typedef int (*gyre_group_setup_cb)(gyre_group *group, uint32_t index, gyre_loop *loop, void *ctx);

/*
 * The loop is to end: stop to accept, finish what is under way. It ends when nothing keeps it alive
 * any more. Runs on the loop's thread, in a callback of the loop.
 */
typedef void (*gyre_group_drain_cb)(gyre_group *group, uint32_t index, gyre_loop *loop, void *ctx);

/*
 * The loop will run no more, because it drained, was stopped, or the setup of another one failed:
 * give back what is more than handles. Handles that are left are closed next. Runs on the loop's
 * thread, outside its callbacks; not called for a loop whose setup failed.
 */
typedef void (*gyre_group_teardown_cb)(gyre_group *group, uint32_t index, gyre_loop *loop,
                                       void *ctx);

/*
 * The loop is gone, all its callbacks were called; the last call on its thread. Not called for a
 * loop whose setup failed.
 */
typedef void (*gyre_group_ended_cb)(gyre_group *group, uint32_t index, void *ctx);

/*
 * Where something is placed: on the loop with this number, or on one that the group picks.
 */
enum gyre_group_where {
    GYRE_GROUP_NEXT = -1, /* one after the other */
    GYRE_GROUP_LEAST = -2 /* the one with the least load */
};

/* All members may be zero, which means the default. Set `size` to sizeof(gyre_group_options). */
typedef struct gyre_group_options {
    size_t size;
    /* of each loop; its allocator and its log are used by all threads at a time */
    const gyre_loop_options *loop;
    /* of the threads, "NAME-0" and so on; the system shows the first 15 characters; "gyre" */
    const char *name;
    /* 1: each thread is pinned to one of the processors that the program may use, in turn */
    uint32_t pin;
    gyre_group_drain_cb drain;
    gyre_group_teardown_cb teardown;
    gyre_group_ended_cb ended;
    void *ctx; /* given to all callbacks of the group */
} gyre_group_options;

/*
 * Makes `count` loops, starts a thread for each, and waits until `setup` was called on all of them.
 *
 * Params: group: set before the first call of `setup`. count: 1..1024, 0 for one loop a processor
 *         that the program may use. options: may be NULL for all defaults; only used during the
 *         call. setup: may be NULL.
 * Owns:   the group is the library's object; give it back with gyre_group_close.
 * Thread: any.
 * Phase:  `setup` runs before its loop's first turn.
 * Errors: GYRE_EINVAL (an option or count out of range), GYRE_EAGAIN (no more threads),
 *         GYRE_ENOMEM, those of gyre_loop_init and of `setup`; then all that had begun has ended.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_group_open(gyre_group **group, uint32_t count,
                                const gyre_group_options *options, gyre_group_setup_cb setup);

/*
 * Ends the group: drains it, stops after `timeout_ns` the loops that still run, waits until all
 * threads have ended, and frees it. A loop that is stopped has its handles closed, each with its
 * callback, and nothing can end a callback that does not return.
 *
 * Params: timeout_ns: for draining; 0 stops at once without draining, UINT64_MAX waits for ever.
 * Owns:   the group is gone, unless GYRE_EDEADLK is returned.
 * Thread: any but the group's own.
 * Phase:  callbacks run in their phases.
 * Errors: GYRE_ETIMEDOUT when a loop had to be stopped at the end of the time; what gyre_loop_run
 *         or gyre_loop_shutdown said on one of the loops; GYRE_EDEADLK on a thread of the group.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_group_close(gyre_group *group, uint64_t timeout_ns);

/*
 * Asks all loops to end as soon as nothing keeps them alive. Their drain callbacks are called; the
 * group places nothing on them any more. Does not wait.
 *
 * Params: group: open.
 * Owns:   nothing.
 * Thread: any.
 * Phase:  the drain callback runs in the pending phase, or right after poll; once a loop.
 * Errors: none; asking again does nothing.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_group_drain(gyre_group *group);

/*
 * Asks all loops to stop, whatever keeps them alive. Does not wait.
 *
 * Params: group: open.
 * Owns:   nothing.
 * Thread: any.
 * Phase:  as gyre_loop_stop. A loop of the group that calls gyre_loop_stop itself leaves the group.
 * Errors: none; asking again does nothing.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_group_stop(gyre_group *group);

/*
 * How many loops the group was opened with.
 *
 * Params: group: open.
 * Owns:   nothing.
 * Thread: any.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT uint32_t gyre_group_count(const gyre_group *group);

/*
 * The number of a loop.
 *
 * Params: loop: of a handle of the caller's, say.
 * Owns:   nothing.
 * Thread: any.
 * Phase:  any.
 * Errors: GYRE_ENOENT when it is none of the group's, or has ended.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_group_index(const gyre_group *group, const gyre_loop *loop);

/*
 * Places one unit of load, a connection say, on a loop, and counts it there.
 *
 * Params: where: a loop's number, GYRE_GROUP_NEXT or GYRE_GROUP_LEAST.
 * Owns:   one unit of load, until gyre_group_leave.
 * Thread: any.
 * Phase:  any.
 * Errors: GYRE_EINVAL (no such loop), GYRE_EGONE when that loop, or each, ends or has ended;
 *         otherwise the loop's number.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_group_enter(gyre_group *group, int where);

/*
 * Takes one unit of load back.
 *
 * Params: index: as gyre_group_enter returned it.
 * Owns:   the caller's unit of load ends.
 * Thread: any.
 * Phase:  any.
 * Errors: none; leaving more often than entering is a programmer's error.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_group_leave(gyre_group *group, uint32_t index);

/*
 * The load of one loop.
 *
 * Params: index: below gyre_group_count.
 * Owns:   nothing.
 * Thread: any; a snapshot.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT uint32_t gyre_group_load(const gyre_group *group, uint32_t index);

/*
 * Posts to one loop of the group, as gyre_post does.
 *
 * Params: index: below gyre_group_count; gyre_group_enter picks one.
 * Owns:   the node is the library's until `cb`.
 * Thread: any; also from a signal handler.
 * Phase:  as gyre_post.
 * Errors: GYRE_EGONE when the loop has ended: then `cb` is not called.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_group_post(gyre_group *group, uint32_t index, gyre_post_node *node,
                                gyre_post_cb cb);

/*
 * Posts to all loops of the group, one node each.
 *
 * Params: nodes: gyre_group_count of them; the loop number i gets nodes[i].
 * Owns:   each node is the library's until its `cb`.
 * Thread: any.
 * Phase:  as gyre_post.
 * Errors: none; the number of loops that had not ended, each of which calls `cb`.
 * Since:  0.1.
 */
GYRE_EXPORT uint32_t gyre_group_post_all(gyre_group *group, gyre_post_node *nodes, gyre_post_cb cb);

/*
 * The door to one loop of the group, which may be used after the group's end; with one more
 * reference.
 *
 * Params: index: below gyre_group_count.
 * Owns:   the caller holds one reference: drop it with gyre_remote_unref.
 * Thread: any.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT gyre_remote *gyre_group_remote(gyre_group *group, uint32_t index);

#ifdef __cplusplus
}
#endif
#endif
