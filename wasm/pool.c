/*
 * What takes the place of the pool's threads where there are none: work goes to the simulated
 * host's jobs, so that no pool is ever made.
 */
#include "work/pool.h"

int gyre_pool_init(gyre_pool **pool, const gyre_pool_options *options)
{
    (void)options;
    *pool = NULL;
    return GYRE_ENOTSUP;
}

int gyre_pool_close(gyre_pool *pool)
{
    (void)pool;
    return 0;
}

gyrei_lane *gyrei_pool_lane(gyre_pool *pool, gyre_work_class work_class)
{
    (void)pool;
    (void)work_class;
    return NULL;
}

int gyrei_lane_reserve(gyrei_lane *lane)
{
    (void)lane;
    return GYRE_EAGAIN;
}

void gyrei_lane_give(gyrei_lane *lane, gyre_link *list)
{
    (void)lane;
    (void)list;
}

bool gyrei_lane_take_back(gyrei_lane *lane, gyre_work *work)
{
    (void)lane;
    (void)work;
    return false;
}

void gyrei_lane_unreserve(gyrei_lane *lane)
{
    (void)lane;
}
