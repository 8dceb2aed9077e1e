/*
 * Watchers of foreign descriptors: ones that another library or the caller reads and writes.
 *
 * Level-triggered on every backend. The descriptor stays its owner's, who may close it at any
 * moment after gyre_poll_stop.
 */
#ifndef GYRE_POLL_H
#define GYRE_POLL_H

#include "gyre/handle.h"
#include "gyre/op.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gyre_poll gyre_poll;

/*
 * `status` is 0 and `events` a set of GYRE_POLL_*, or a GYRE_E* and 0, after which the watcher is
 * stopped: GYRE_EPERM for a device that epoll does not watch (/dev/null), which to the poll backend
 * is always ready.
 */
typedef void (*gyre_poll_cb)(gyre_poll *poll, int status, uint32_t events);

enum gyre_poll_events {
    GYRE_POLL_IN = 1,    /* something to read, or end of stream */
    GYRE_POLL_OUT = 4,   /* room to write */
    GYRE_POLL_PRI = 2,   /* urgent data */
    GYRE_POLL_ERR = 8,   /* an error is pending; reported whether asked for or not */
    GYRE_POLL_HUP = 16,  /* both directions are shut; reported whether asked for or not */
    GYRE_POLL_RDHUP = 32 /* the peer shut its writing half */
};

struct gyre_poll {
    union {
        gyre_handle handle;
        void *data;
    };
    gyre_op op;
    gyre_poll_cb cb;
    int32_t fd;
    uint32_t events;
};

/*
 * Makes `poll` a watcher of `fd`, not started. The descriptor's flags are left alone.
 *
 * Params: fd: open, of a kind that can be polled; one watcher a descriptor and loop.
 * Owns:   the watcher's memory is the library's until its close callback; the descriptor stays the
 *         caller's.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_EBADF, GYRE_EPERM for a regular file or directory, GYRE_EEXIST when the loop watches
 *         fd already, GYRE_ENOMEM, GYRE_ENOSPC (fs.epoll.max_user_watches).
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_poll_init(gyre_loop *loop, gyre_poll *poll, int fd);

/*
 * Calls `cb` each turn while any of `events` holds. On a started watcher it changes the set and the
 * callback; several changes in a turn cost one system call at most.
 *
 * Params: events: a set of GYRE_POLL_*, not empty. cb: not NULL.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  `cb` runs in the poll phase.
 * Errors: GYRE_EINVAL for an empty or unknown set; GYRE_EBADF.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_poll_start(gyre_poll *poll, uint32_t events, gyre_poll_cb cb);

/*
 * Stops the watcher at once: no callback comes any more, and the descriptor may be closed now.
 *
 * Params: poll: initialised; stopping a stopped one does nothing.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_poll_stop(gyre_poll *poll);

#ifdef __cplusplus
}
#endif
#endif
