/*
 * Timer nodes: deadlines without a handle, for streams and connects. gyre_timer is one of them with
 * a handle around it.
 */
#ifndef GYREI_CORE_TIMER_H
#define GYREI_CORE_TIMER_H

#include "gyre/timer.h"

#include <stdbool.h>

/*
 * Reserves heap room, so that starting cannot fail. GYRE_ENOMEM. `fire` is called in the timers
 * phase, once per start.
 */
int gyrei_timer_node_init(gyre_loop *loop, gyre_timer_node *node,
                          void (*fire)(gyre_loop *loop, gyre_timer_node *node));
/* Stops it and gives the room back. */
void gyrei_timer_node_close(gyre_loop *loop, gyre_timer_node *node);
/* Starts it, or starts it anew. A deadline of UINT64_MAX never comes. */
void gyrei_timer_node_start(gyre_loop *loop, gyre_timer_node *node, uint64_t deadline_ns,
                            uint64_t slack_ns);
void gyrei_timer_node_stop(gyre_loop *loop, gyre_timer_node *node);
bool gyrei_timer_node_started(const gyre_timer_node *node);

/*
 * For loop.c. Collects all that is due by loop->now_ns; runs the first one collected, false if none
 * is.
 */
void gyrei_timers_collect(gyre_loop *loop);
bool gyrei_timers_run_next(gyre_loop *loop);
/* The moment at which the loop must wake for a timer; UINT64_MAX for none. */
uint64_t gyrei_timers_next_ns(gyre_loop *loop);

/* Part of gyrei_loop_verify. */
const char *gyrei_timers_verify(const gyre_loop *loop);

/* `a` + `b`, or UINT64_MAX where that does not fit: a moment that never comes. */
static inline uint64_t gyrei_time_add(uint64_t a, uint64_t b)
{
    return b > UINT64_MAX - a ? UINT64_MAX : a + b;
}

#endif
