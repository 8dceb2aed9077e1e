/*
 * Timers: nanoseconds of the monotonic clock, never early, with slack, one-shot or at a steady
 * rate.
 *
 * All timers due in a turn are collected first and then run in order of deadline (with slack: of
 * the latest moment), then of start. One started meanwhile waits for the next turn, even with 0;
 * one stopped meanwhile does not run.
 */
#ifndef GYRE_TIMER_H
#define GYRE_TIMER_H

#include "gyre/handle.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gyre_timer gyre_timer;
typedef void (*gyre_timer_cb)(gyre_timer *timer);

/* What a timer is known by in the heap; private. */
typedef struct gyre_timer_waiting {
    union {
        uint64_t key_ns; /* the heap's */
        struct gyre_timer_node *next_equal;
    };
    uint64_t sequence; /* of its start: equals run in that order */
} gyre_timer_waiting;

/* One entry of a loop's timer heap; private. */
typedef struct gyre_timer_node {
    /* what every operation touches comes first: one timer of a million is a cache miss a line */
    uint32_t heap_index;
    uint32_t state;
    uint64_t deadline_ns; /* never run before this */
    union {
        gyre_timer_waiting waiting;
        gyre_link link; /* once it is due */
    };
    void (*fire)(gyre_loop *loop, struct gyre_timer_node *node);
} gyre_timer_node;

struct gyre_timer {
    union {
        gyre_handle handle;
        void *data;
    };
    gyre_timer_cb cb; /* beside what the handle and the node need at each start */
    gyre_timer_node node;
    uint64_t repeat_ns;
    uint64_t slack_ns;
    uint64_t missed;
};

/*
 * Makes `timer` a timer of `loop`, not started. Room in the timer heap is reserved here, so that
 * starting cannot fail.
 *
 * Params: timer: the caller's memory.
 * Owns:   the timer's memory is the library's until its close callback.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_ENOMEM.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_timer_init(gyre_loop *loop, gyre_timer *timer);

/*
 * Calls `cb` once `timeout_ns` nanoseconds have passed since this call, and then each `repeat_ns`
 * if that is not 0.
 *
 * A timeout that is not 0 counts from the clock, which is read here: the loop's time may be a long
 * callback old, and the timer would be early. gyre_timer_start_at reads no clock: the cheap way to
 * start many.
 *
 * A repeating timer keeps its rate: the n-th call is due at start + timeout + n * repeat however
 * long callbacks take. After a stall of several periods it runs once, gyre_timer_missed says how
 * many periods were skipped, and the old grid goes on. Starting a started timer starts it anew.
 *
 * Params: timeout_ns: 0 to UINT64_MAX (a sum past UINT64_MAX is taken as never); repeat_ns: 0 for
 *         one shot.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  `cb` runs in the timers phase, never before the deadline by CLOCK_MONOTONIC.
 * Errors: none; `cb` must not be NULL and the timer not closing.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_timer_start(gyre_timer *timer, uint64_t timeout_ns, uint64_t repeat_ns,
                                  gyre_timer_cb cb);

/*
 * As gyre_timer_start, with a first deadline given as a moment of the monotonic clock, for example
 * gyre_loop_now_ns plus something. Reads no clock.
 *
 * Params: deadline_ns: a moment; one in the past is due at once. repeat_ns: 0 for one shot.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  `cb` runs in the timers phase.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_timer_start_at(gyre_timer *timer, uint64_t deadline_ns, uint64_t repeat_ns,
                                     gyre_timer_cb cb);

/*
 * Stops `timer`; its callback is not called again, even if it was already due in this turn.
 *
 * Params: timer: initialised; stopping a stopped one does nothing.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_timer_stop(gyre_timer *timer);

/*
 * Starts a timer that repeats anew: its next call is due one repeat from now. For idle timeouts.
 *
 * Params: timer: started at least once.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_EINVAL if it was never started or does not repeat.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_timer_again(gyre_timer *timer);

/*
 * Allows the callback to come up to `slack_ns` late, so that the loop may join wake-ups. Counts
 * from the next start or repeat. Among timers that are collected together it has its turn by its
 * latest moment, deadline plus slack; until then the loop chooses with which others it is joined,
 * also among those of one latest moment.
 *
 * Params: slack_ns: 0 (the default) to UINT64_MAX.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_timer_set_slack(gyre_timer *timer, uint64_t slack_ns);

/*
 * Changes the repeat; takes effect when the timer next runs or is started.
 *
 * Params: repeat_ns: 0 for one shot.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_timer_set_repeat(gyre_timer *timer, uint64_t repeat_ns);

/*
 * The repeat in nanoseconds, 0 for one shot.
 *
 * Params: timer: initialised.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT uint64_t gyre_timer_repeat_ns(const gyre_timer *timer);

/*
 * Nanoseconds until `timer` is due by the loop's time; 0 if it is due or not started.
 *
 * Params: timer: initialised.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT uint64_t gyre_timer_due_in_ns(const gyre_timer *timer);

/*
 * How many periods were skipped, in all, because the loop was kept from running them in time.
 *
 * Params: timer: initialised.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT uint64_t gyre_timer_missed(const gyre_timer *timer);

#ifdef __cplusplus
}
#endif
#endif
