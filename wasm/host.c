/*
 * What takes the place of an operating system where there is none: every loop needs the environment
 * of a simulated host.
 */
#include "core/backend.h"
#include "sim/posix/relay.h"

const gyrei_env gyrei_env_os = {.sys = NULL};

int gyrei_backend_select(gyre_loop *loop, const char *name, bool strict,
                         const gyrei_backend_config *config, const gyrei_backend_ops **ops,
                         gyrei_backend **backend)
{
    (void)loop;
    (void)name;
    (void)strict;
    (void)config;
    (void)ops;
    (void)backend;
    return GYRE_ENOTSUP;
}

/* Nor are there stacks for threads: a group cannot be opened. */

gyrei_relay *gyrei_relay_new(void (*run)(void *arg), void *arg)
{
    (void)run;
    (void)arg;
    return NULL;
}

void gyrei_relay_resume(gyrei_relay *relay)
{
    (void)relay;
}

void gyrei_relay_suspend(gyrei_relay *relay)
{
    (void)relay;
}

void gyrei_relay_free(gyrei_relay *relay)
{
    (void)relay;
}
