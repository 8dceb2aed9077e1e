/*
 * The one call: it looks at the options, and at what this process was started as.
 */
#include "cluster/process.h"

#include <sched.h>
#include <stdlib.h>

static uint32_t processors(void)
{
    cpu_set_t allowed;

    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0 || CPU_COUNT(&allowed) == 0)
        return 1;
    return (uint32_t)CPU_COUNT(&allowed);
}

static uint64_t or_default(uint64_t value, uint64_t fallback)
{
    return value != 0 ? value : fallback;
}

static int check(const gyre_cluster_options *options)
{
    if (options->size != sizeof(*options) || options->setup == NULL || options->pin > 1 ||
        options->workers > GYREI_SLOTS_MAX || options->address_count == 0 ||
        options->address_count > GYREI_ADDRESSES_MAX || options->addresses == NULL)
        return GYRE_EINVAL;
    return gyrei_privileges_check(options->user, options->group);
}

int gyre_cluster_run(const gyre_cluster_options *given)
{
    gyre_cluster_options options;
    int error;

    GYRE_ASSERT(given != NULL);
    error = check(given);
    if (error != 0)
        return error;
    options = *given;
    if (options.workers == 0)
        options.workers = processors();
    options.start_ns = or_default(options.start_ns, 30 * GYRE_SECOND);
    options.retire_ns = or_default(options.retire_ns, 60 * GYRE_SECOND);
    options.stop_ns = or_default(options.stop_ns, 10 * GYRE_SECOND);
    return gyre_cluster_is_worker() ? gyrei_worker_run(&options) : gyrei_master_run(&options);
}
