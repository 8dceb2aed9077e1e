/*
 * Work that is not I/O: a pool of threads for what computes or blocks, and slices for long
 * computations that stay on the loop.
 *
 * A pool has one lane of threads for each class of work, so that slow name look-ups never starve
 * files, and computations run at a lower priority than the loop. Threads are started when there is
 * something to do and end when there has not been for a while. Results come back to the loop that
 * submitted, many with one wake-up.
 */
#ifndef GYRE_WORK_H
#define GYRE_WORK_H

#include "gyre/handle.h"
#include "gyre/timer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gyre_pool gyre_pool;
typedef struct gyre_work gyre_work;
typedef struct gyre_slice gyre_slice;

typedef enum gyre_work_class {
    GYRE_WORK_CPU = 0, /* computes */
    GYRE_WORK_FILE,    /* waits for a disk */
    GYRE_WORK_DNS,     /* waits for a network */
    GYRE_WORK_CLASSES
} gyre_work_class;

typedef enum gyre_work_priority {
    GYRE_WORK_NORMAL = 0,
    GYRE_WORK_HIGH,
    GYRE_WORK_LOW,
    GYRE_WORK_PRIORITIES
} gyre_work_priority;

/*
 * Runs in a thread of the pool. Of this library only gyre_work_canceled, gyre_post and
 * gyre_async_send may be called there.
 */
typedef void (*gyre_work_cb)(gyre_work *work);

/*
 * `status` 0: the work ran to its end (look at gyre_work_canceled when it was asked to stop).
 * GYRE_ECANCELED: cancelled before it began. GYRE_ETIMEDOUT: its deadline passed before it began.
 */
typedef void (*gyre_work_done_cb)(gyre_work *work, int status);

/* All members may be zero, which means the default. Set `size` to sizeof(gyre_pool_options). */
typedef struct gyre_pool_options {
    size_t size;
    /* threads of each class: kept once started, 0..1024, default 0; and at most, 1..1024, default
     * one for each core (computations), 4 (files, names) */
    uint32_t threads_min[GYRE_WORK_CLASSES];
    uint32_t threads_max[GYRE_WORK_CLASSES];
    uint64_t idle_ns; /* a thread beyond the minimum ends after so long without work; default 5 s */
    uint32_t queue_max; /* work of one class that may wait; default 65536 */
    int32_t cpu_nice;   /* nice value added for computations, 1..19, default 5; -1 for none */
    const gyre_allocator *allocator; /* thread-safe; default: realloc and free */
} gyre_pool_options;

typedef struct gyre_work_options {
    size_t size; /* sizeof(gyre_work_options) */
    gyre_work_class work_class;
    gyre_work_priority priority;
    uint64_t start_within_ns; /* GYRE_ETIMEDOUT unless it began by then; 0: no deadline */
    gyre_pool *pool;          /* NULL: the loop's */
} gyre_work_options;

/* The caller's memory, the library's from gyre_work_submit to the done callback. */
struct gyre_work {
    void *data; /* the user's */
    gyre_loop *loop;
    gyre_work_cb run;
    gyre_work_done_cb done;
    gyre_task task;    /* its link is the lane's queue's, then the pending queue's */
    gyre_link flight;  /* all work of the loop that is out */
    gyre_work **place; /* where a thread has put it down to run next */
    struct gyrei_lane *lane;
    struct gyrei_works *owner;
    gyre_timer_node timer;
    uint64_t submitted_ns;
    int32_t status;
    uint32_t canceled;
    uint8_t priority;
    uint8_t state;
    uint8_t has_timer;
    uint8_t queued; /* in the lane's queue; under its lock */
};

/* What one class of a pool did so far. Times are nanoseconds. */
typedef struct gyre_pool_stats {
    uint32_t threads;
    uint32_t idle_threads;
    uint32_t waiting; /* submitted, not begun */
    uint64_t ran;
    uint64_t canceled; /* before it began, deadlines included */
    uint64_t rejected; /* the queue was full */
    uint64_t queue_ns_sum;
    uint64_t queue_ns_max;
    uint64_t run_ns_sum;
    uint64_t run_ns_max;
} gyre_pool_stats;

/*
 * Makes a pool. No thread is started yet.
 *
 * Params: options: may be NULL for all defaults.
 * Owns:   the pool is the library's object; give it back with gyre_pool_close.
 * Thread: any.
 * Phase:  none.
 * Errors: GYRE_EINVAL (an option out of range), GYRE_ENOMEM.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_pool_init(gyre_pool **pool, const gyre_pool_options *options);

/*
 * Ends the pool's threads and frees it.
 *
 * Params: pool: not used by any loop from now on.
 * Owns:   the pool is gone if 0 is returned.
 * Thread: any but the pool's own.
 * Phase:  none.
 * Errors: GYRE_EBUSY while work waits or runs in it; then nothing happened.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_pool_close(gyre_pool *pool);

/*
 * Figures of one class of a pool.
 *
 * Params: work_class: one of gyre_work_class. stats: filled in.
 * Owns:   nothing.
 * Thread: any.
 * Phase:  none.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_pool_stats_get(gyre_pool *pool, gyre_work_class work_class,
                                     gyre_pool_stats *stats);

/*
 * Makes `pool` the one that the loop's work goes to by default, so that several loops share one.
 *
 * Params: pool: outlives the loop.
 * Owns:   the pool stays the caller's.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_ENOMEM; GYRE_EBUSY when the loop has made a pool of its own already.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_loop_set_pool(gyre_loop *loop, gyre_pool *pool);

/*
 * The pool that the loop's work goes to: the one set, or one of the loop's own, made on first use.
 *
 * Params: pool: filled in.
 * Owns:   the pool is the loop's, or the caller's of gyre_loop_set_pool.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_ENOMEM.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_loop_pool(gyre_loop *loop, gyre_pool **pool);

/*
 * Runs `run(work)` in a thread of a pool and then `done(work, status)` on the loop.
 *
 * Params: options: NULL for a computation of normal priority on the loop's pool. run, done: not
 *         NULL.
 * Owns:   the work's memory is the library's until `done`.
 * Thread: loop.
 * Phase:  `done` runs in the pending phase, or right after poll.
 * Errors: GYRE_EINVAL, GYRE_ENOMEM; GYRE_ENOBUFS when queue_max waits already; GYRE_EAGAIN when the
 *         system gives no thread and the class has none.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_work_submit(gyre_loop *loop, gyre_work *work, const gyre_work_options *options,
                                 gyre_work_cb run, gyre_work_done_cb done);

/*
 * Takes work back before it begins: `done` comes with GYRE_ECANCELED. Work that has begun is asked
 * to stop: gyre_work_canceled says 1 from now on.
 *
 * Params: work: submitted, its `done` not called yet.
 * Owns:   as before: the work is the library's until `done`.
 * Thread: loop.
 * Phase:  `done` runs in the pending phase, or right after poll.
 * Errors: GYRE_EBUSY when it has begun; GYRE_EALREADY when it was cancelled or has ended.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_work_cancel(gyre_work *work);

/*
 * Says whether work that runs was asked to stop. Long work looks now and then, and returns early.
 *
 * Params: work: submitted.
 * Owns:   nothing.
 * Thread: any, while the work is the library's.
 * Phase:  none.
 * Errors: none; 1 or 0.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_work_canceled(const gyre_work *work);

/*
 * One step of a sliced computation: some microseconds of it. Returns 1 to be called again, 0 when
 * the computation is finished, a negative number of your choice when it failed.
 */
typedef int (*gyre_slice_step_cb)(gyre_slice *slice);

/* `status` is what the last step returned (0 or negative), or GYRE_ECANCELED. */
typedef void (*gyre_slice_done_cb)(gyre_slice *slice, int status);

struct gyre_slice {
    void *data; /* the user's */
    gyre_loop *loop;
    gyre_slice_step_cb step;
    gyre_slice_done_cb done;
    gyre_link link;
    uint64_t budget_ns;
    uint64_t steps;
    uint64_t turns;
    uint64_t run_ns;
    int32_t status;
    uint32_t state;
};

/* A turn's time for sliced computations where gyre_slice_start is given 0. */
#define GYRE_SLICE_BUDGET_NS (2 * GYRE_MILLISECOND)

/*
 * Computes on the loop, in steps, without freezing it: `step` is called again and again until the
 * turn's budget is spent, then the loop serves its I/O, and the next turn goes on.
 *
 * Several slices take turns, a step each; a turn spends the largest of their budgets on all of them
 * together. One step must be short: what it takes beyond the budget is not given back. While other
 * callbacks run turn after turn, they are given up to four times a budget before the next one.
 *
 * Params: slice: not in use. budget_ns: a turn's time, 0 for GYRE_SLICE_BUDGET_NS. step, done: not
 *         NULL.
 * Owns:   the slice's memory is the library's until `done`.
 * Thread: loop.
 * Phase:  `step` and `done` run in the timers phase, once a turn.
 * Errors: GYRE_ENOMEM.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_slice_start(gyre_loop *loop, gyre_slice *slice, uint64_t budget_ns,
                                 gyre_slice_step_cb step, gyre_slice_done_cb done);

/*
 * Ends a sliced computation early: `done` comes with GYRE_ECANCELED and no further `step` does.
 *
 * Params: slice: started, its `done` not called yet.
 * Owns:   as before: the slice is the library's until `done`.
 * Thread: loop.
 * Phase:  `done` runs in the timers phase.
 * Errors: GYRE_EALREADY when it was cancelled or has finished.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_slice_cancel(gyre_slice *slice);

#ifdef __cplusplus
}
#endif
#endif
