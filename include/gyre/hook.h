/*
 * Hooks: callbacks of a phase, run once each turn while started, the first started first.
 *
 * Idle hooks keep the loop from sleeping. Prepare hooks run just before the loop polls, check hooks
 * just after.
 */
#ifndef GYRE_HOOK_H
#define GYRE_HOOK_H

#include "gyre/handle.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gyre_hook gyre_hook;
typedef void (*gyre_hook_cb)(gyre_hook *hook);

typedef enum gyre_hook_phase {
    GYRE_HOOK_IDLE = 0,
    GYRE_HOOK_PREPARE,
    GYRE_HOOK_CHECK
} gyre_hook_phase;

struct gyre_hook {
    union {
        gyre_handle handle;
        void *data;
    };
    gyre_link link;
    gyre_hook_cb cb;
    uint64_t sequence;
    uint32_t phase;
};

/*
 * Makes `hook` a hook of `loop` for `phase`, not started.
 *
 * Params: phase: one of gyre_hook_phase.
 * Owns:   the hook's memory is the library's until its close callback.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_EINVAL for a phase outside the enum.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_hook_init(gyre_loop *loop, gyre_hook *hook, gyre_hook_phase phase);

/*
 * Calls `cb` in each turn from now on; one started inside its own phase begins in the next turn.
 *
 * Params: cb: not NULL. Starting a started hook only changes its callback.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  `cb` runs in the hook's phase.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_hook_start(gyre_hook *hook, gyre_hook_cb cb);

/*
 * Stops `hook`; it does not run again, not even later in this phase.
 *
 * Params: hook: initialised; stopping a stopped one does nothing.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_hook_stop(gyre_hook *hook);

#ifdef __cplusplus
}
#endif
#endif
