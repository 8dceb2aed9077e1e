/*
 * Signal watchers: a signal may have several watchers, on several loops; each of them is called.
 *
 * The first watcher of a signal installs a handler for the process, the last one to stop restores
 * what was there. Signals of one number that arrive before a callback begins coalesce, as POSIX
 * lets the kernel do.
 */
#ifndef GYRE_SIGNAL_H
#define GYRE_SIGNAL_H

#include "gyre/handle.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gyre_signal gyre_signal;
typedef void (*gyre_signal_cb)(gyre_signal *watcher, int signum);

struct gyre_signal {
    union {
        gyre_handle handle;
        void *data;
    };
    gyre_link link;
    gyre_signal_cb cb;
    int32_t signum;
    uint32_t flags;
};

/*
 * Makes `watcher` a signal watcher of `loop`, not started.
 *
 * Params: watcher: the caller's memory.
 * Owns:   the watcher's memory is the library's until its close callback.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_ENOMEM.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_signal_init(gyre_loop *loop, gyre_signal *watcher);

/*
 * Calls `cb` on the loop after each arrival of `signum`.
 *
 * Params: signum: 1 to 64, not SIGKILL or SIGSTOP. cb: not NULL. A started watcher is moved to the
 *         new signal.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  `cb` runs in the pending phase, or right after poll.
 * Errors: GYRE_EINVAL for a signal that cannot be caught.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_signal_start(gyre_signal *watcher, int signum, gyre_signal_cb cb);

/*
 * As gyre_signal_start, for one arrival only: the watcher is stopped when its callback begins.
 *
 * Params: as for gyre_signal_start.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  `cb` runs in the pending phase, or right after poll.
 * Errors: GYRE_EINVAL for a signal that cannot be caught.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_signal_start_oneshot(gyre_signal *watcher, int signum, gyre_signal_cb cb);

/*
 * Stops the watcher; no callback comes any more.
 *
 * Params: watcher: initialised; stopping a stopped one does nothing.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_signal_stop(gyre_signal *watcher);

#ifdef __cplusplus
}
#endif
#endif
