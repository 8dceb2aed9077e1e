/*
 * Numbers from a seed: splitmix64, one stream for each who draws, so that one who draws more does
 * not change what another gets.
 */
#include "sim/sim.h"

uint64_t gyrei_sim_next(gyrei_sim_random *random)
{
    uint64_t z = (random->state += UINT64_C(0x9E3779B97F4A7C15));

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

uint64_t gyrei_sim_below(gyrei_sim_random *random, uint64_t limit)
{
    return limit == 0 ? 0 : gyrei_sim_next(random) % limit;
}

uint64_t gyrei_sim_between(gyrei_sim_random *random, uint64_t min, uint64_t max)
{
    GYRE_ASSERT(min <= max);
    if (max - min == UINT64_MAX)
        return gyrei_sim_next(random);
    return min + gyrei_sim_below(random, max - min + 1);
}
