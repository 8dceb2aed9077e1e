/*
 * From other threads into the loop: post (every function runs) and async (wake-ups that coalesce).
 *
 * Both go through a gyre_remote, a counted object that outlives the loop, so that a send that races
 * a close is harmless and says GYRE_EGONE. Neither locks nor allocates.
 */
#ifndef GYRE_ASYNC_H
#define GYRE_ASYNC_H

#include "gyre/handle.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A door into a loop or to one async, for any thread. Counted. */
typedef struct gyre_remote gyre_remote;

typedef struct gyre_post_node gyre_post_node;

/*
 * `status` is 0, or GYRE_ECANCELED when the loop was closed before it ran the node (then the loop
 * must not be used). The node is the caller's again and may be freed or posted anew inside the
 * callback.
 */
typedef void (*gyre_post_cb)(gyre_post_node *node, int status);

struct gyre_post_node {
    gyre_post_node *next;
    gyre_post_cb cb;
    void *data; /* the user's */
};

typedef struct gyre_async gyre_async;
typedef void (*gyre_async_cb)(gyre_async *async);

struct gyre_async {
    union {
        gyre_handle handle;
        void *data;
    };
    gyre_remote *remote;
    gyre_async_cb cb;
};

/*
 * The door to `loop`, with one more reference: drop it with gyre_remote_unref.
 *
 * Params: loop: not closed.
 * Owns:   the caller holds one reference.
 * Thread: loop, or any thread that knows the loop to be alive.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT gyre_remote *gyre_loop_remote(gyre_loop *loop);

/*
 * The door to `async`, with one more reference: drop it with gyre_remote_unref.
 *
 * Params: async: initialised, not closed.
 * Owns:   the caller holds one reference.
 * Thread: loop, or any thread that knows the async to be alive.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT gyre_remote *gyre_async_remote(gyre_async *async);

/*
 * Takes one more reference.
 *
 * Params: remote: on which the caller has a reference.
 * Owns:   the caller holds one reference more.
 * Thread: any.
 * Phase:  none.
 * Errors: none; returns `remote`.
 * Since:  0.1.
 */
GYRE_EXPORT gyre_remote *gyre_remote_ref(gyre_remote *remote);

/*
 * Drops one reference; the last one frees the object.
 *
 * Params: remote: may be NULL.
 * Owns:   the caller's reference ends.
 * Thread: any.
 * Phase:  none.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_remote_unref(gyre_remote *remote);

/*
 * Runs `cb(node, 0)` on the loop's thread. Every posted node runs, in order per sending thread.
 *
 * Params: remote: of a loop. node: the caller's, not posted at present; set node->data as you like.
 * Owns:   the node is the library's until `cb`.
 * Thread: any; also from a signal handler.
 * Phase:  `cb` runs in the pending phase, or right after poll.
 * Errors: GYRE_EGONE when the loop was closed: then `cb` is not called.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_post(gyre_remote *remote, gyre_post_node *node, gyre_post_cb cb);

/*
 * Makes `async` a wake-up of `loop` and starts it: it keeps the loop alive until closed or unref'd.
 *
 * Params: cb: not NULL.
 * Owns:   the async's memory is the library's until its close callback.
 * Thread: loop.
 * Phase:  `cb` runs in the pending phase, or right after poll.
 * Errors: GYRE_ENOMEM.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_async_init(gyre_loop *loop, gyre_async *async, gyre_async_cb cb);

/*
 * Has the async's callback called at least once after this call. Sends before the callback begins
 * coalesce into one.
 *
 * Params: remote: of an async.
 * Owns:   nothing.
 * Thread: any; also from a signal handler.
 * Phase:  none here.
 * Errors: GYRE_EGONE when the async or its loop is closed.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_async_send(gyre_remote *remote);

#ifdef __cplusplus
}
#endif
#endif
