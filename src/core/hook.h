/*
 * Hooks as loop.c sees them.
 */
#ifndef GYREI_CORE_HOOK_H
#define GYREI_CORE_HOOK_H

#include "core/loop.h"

/* The slow half of the function below: there is a next one, but it may be too young. */
bool gyrei_hook_run_next(gyre_loop *loop, gyre_hook_phase phase);

/* Part of gyrei_loop_verify. */
const char *gyrei_hooks_verify(const gyre_loop *loop);

static inline bool gyrei_hooks_due(const gyre_loop *loop, gyre_hook_phase phase)
{
    return !gyrei_list_empty(&loop->hooks[phase]);
}

/* Begins a phase of hooks: the ones started before now will run. */
static inline void gyrei_hooks_begin(gyre_loop *loop, gyre_hook_phase phase)
{
    loop->hook_next[phase] = loop->hooks[phase].next;
    loop->hook_limit[phase] = loop->hook_sequence;
}

/* Runs the next hook of the phase; false when all have run. */
static inline bool gyrei_hooks_run_next(gyre_loop *loop, gyre_hook_phase phase)
{
    return loop->hook_next[phase] != &loop->hooks[phase] && gyrei_hook_run_next(loop, phase);
}

#endif
