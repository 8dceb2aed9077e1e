/*
 * Hooks as loop.c sees them.
 */
#ifndef GYREI_CORE_HOOK_H
#define GYREI_CORE_HOOK_H

#include "gyre/hook.h"

#include <stdbool.h>

/* Begins a phase of hooks: the ones started before now will run. */
void gyrei_hooks_begin(gyre_loop *loop, gyre_hook_phase phase);
/* Runs the next hook of the phase; false when all have run. */
bool gyrei_hooks_run_next(gyre_loop *loop, gyre_hook_phase phase);

#endif
