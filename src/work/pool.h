/*
 * The pool as work.c sees it: lanes to give work to, and to take it back from.
 *
 * A lane knows nothing of loops: finished work goes to the `finished` function given with it.
 */
#ifndef GYREI_WORK_POOL_H
#define GYREI_WORK_POOL_H

#include "gyre/work.h"

#include <stdbool.h>

typedef struct gyrei_lane gyrei_lane;

typedef enum gyrei_work_state {
    GYREI_WORK_IDLE = 0, /* the user's */
    GYREI_WORK_HELD,     /* the loop's: not given to the lane yet */
    GYREI_WORK_WAITING,  /* the lane's */
    GYREI_WORK_DONE      /* finished, or taken back: `done` is due */
} gyrei_work_state;

gyrei_lane *gyrei_pool_lane(gyre_pool *pool, gyre_work_class work_class);

/*
 * Reserves a place in the lane's queue and makes sure that a thread will come. Any thread.
 * GYRE_ENOBUFS, GYRE_EAGAIN.
 */
int gyrei_lane_reserve(gyrei_lane *lane);

/* Gives the lane a list of work, each with a place reserved; `list` is empty afterwards. */
void gyrei_lane_give(gyrei_lane *lane, gyre_link *list);

/* Takes work that has not begun out of its lane. False when it has begun. */
bool gyrei_lane_take_back(gyrei_lane *lane, gyre_work *work);

/* Gives a reserved place back. */
void gyrei_lane_unreserve(gyrei_lane *lane);

/*
 * Implemented by work.c, called in a thread of the pool: `newest` and those behind it through
 * `link.next` have run, all of one loop.
 */
void gyrei_work_finished(gyre_work *newest, gyre_work *oldest);

#endif
