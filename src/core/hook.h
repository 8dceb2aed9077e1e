/*
 * Hooks as loop.c sees them.
 */
#ifndef GYREI_CORE_HOOK_H
#define GYREI_CORE_HOOK_H

#include "core/loop.h"

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

/* Runs the next hook of the phase; false when all that were started before it have run. */
static inline bool gyrei_hooks_run_next(gyre_loop *loop, gyre_hook_phase phase)
{
    gyre_link *link = loop->hook_next[phase];
    gyre_hook *hook = GYRE_CONTAINER_OF(link, gyre_hook, link);
    gyrei_frame frame;

    if (link == &loop->hooks[phase])
        return false;
    if (hook->sequence >= loop->hook_limit[phase]) {
        loop->hook_next[phase] = &loop->hooks[phase];
        return false;
    }
    loop->hook_next[phase] = link->next;
    gyrei_callback_enter(loop, &frame, GYRE_HANDLE_HOOK, hook, hook->handle.name);
    hook->cb(hook);
    gyrei_callback_leave(loop, &frame);
    return true;
}

#endif
