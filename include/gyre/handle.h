/*
 * What all handles share: user data, a name, close, ref and unref.
 *
 * A handle is allocated by the caller and belongs to the library from its `*_init` until its close
 * callback. Every handle type begins with this struct: `&timer.handle` and `&tcp.handle` are how a
 * handle is passed to the functions here. All fields but `data` are private.
 */
#ifndef GYRE_HANDLE_H
#define GYRE_HANDLE_H

#include "gyre/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gyre_handle gyre_handle;

/* The handle's memory is the caller's again, and may be freed inside the callback. */
typedef void (*gyre_close_cb)(gyre_handle *handle);

typedef enum gyre_handle_kind {
    GYRE_HANDLE_NONE = 0,
    GYRE_HANDLE_TIMER,
    GYRE_HANDLE_HOOK,
    GYRE_HANDLE_ASYNC,
    GYRE_HANDLE_POLL,
    GYRE_HANDLE_SIGNAL,
    GYRE_HANDLE_TCP,
    GYRE_HANDLE_PIPE,
    GYRE_HANDLE_MAILBOX,
    GYRE_HANDLE_OTHER
} gyre_handle_kind;

struct gyre_handle {
    void *data; /* the user's; init leaves it as it was */
    gyre_link link;
    gyre_close_cb close_cb;
    const char *name;
    gyre_loop *loop; /* from here on: what every operation touches */
    uint8_t kind;
    uint8_t state;
    uint16_t flags;
    uint32_t pending;
};

/*
 * Closes `handle`: stops it, cancels its operations, and calls `cb` when nothing refers to it any
 * more.
 *
 * Pending requests (writes, connect) get their callbacks with GYRE_ECANCELED before `cb`; a read
 * callback is not called again.
 *
 * Params: cb: may be NULL.
 * Owns:   the handle's memory stays the library's until `cb`.
 * Thread: loop.
 * Phase:  `cb` runs in the close phase, of this turn at the earliest, in the order in which handles
 *         became idle.
 * Errors: none; closing twice is a programmer's error.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_close(gyre_handle *handle, gyre_close_cb cb);

/*
 * Lets `handle` keep its loop alive while it is active. This is how every handle begins.
 *
 * Params: handle: initialised.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none; idempotent.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_ref(gyre_handle *handle);

/*
 * Stops `handle` from keeping its loop alive; it works on as before while something else does.
 *
 * Params: handle: initialised.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none; idempotent.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_unref(gyre_handle *handle);

/*
 * Says whether `handle` keeps its loop alive when it is active.
 *
 * Params: handle: initialised.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none; 1 or 0.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_has_ref(const gyre_handle *handle);

/*
 * Says whether `handle` is doing something: a started timer, hook, watcher; a stream that reads,
 * listens, connects or writes.
 *
 * Params: handle: initialised.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none; 1 or 0.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_is_active(const gyre_handle *handle);

/*
 * Says whether gyre_close was called on `handle`.
 *
 * Params: handle: initialised.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none; 1 or 0.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_is_closing(const gyre_handle *handle);

/*
 * Names `handle` for traces, the watchdog and lists of live handles.
 *
 * Params: name: a text that outlives the handle, or NULL.
 * Owns:   the text stays the caller's and must stay valid until the close callback.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_handle_set_name(gyre_handle *handle, const char *name);

/*
 * The name given with gyre_handle_set_name, or NULL.
 *
 * Params: handle: initialised.
 * Owns:   the text is the caller's of gyre_handle_set_name.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT const char *gyre_handle_name(const gyre_handle *handle);

/*
 * What kind of handle it is.
 *
 * Params: handle: initialised.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT gyre_handle_kind gyre_handle_kind_of(const gyre_handle *handle);

/*
 * The word for `kind`: "timer", "tcp", ...
 *
 * Params: kind: any.
 * Owns:   the text is static.
 * Thread: any.
 * Phase:  none.
 * Errors: none; "none" for a number outside the enum.
 * Since:  0.1.
 */
GYRE_EXPORT const char *gyre_handle_kind_name(gyre_handle_kind kind);

/*
 * The loop that `handle` was initialised on.
 *
 * Params: handle: initialised.
 * Owns:   nothing.
 * Thread: any.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT gyre_loop *gyre_handle_loop(const gyre_handle *handle);

#ifdef __cplusplus
}
#endif
#endif
