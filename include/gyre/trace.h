/*
 * The trace sink: a callback that sees the loop's every step. When none is set it costs one
 * predicted branch.
 */
#ifndef GYRE_TRACE_H
#define GYRE_TRACE_H

#include "gyre/loop.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum gyre_trace_type {
    GYRE_TRACE_TURN_BEGIN = 1,
    GYRE_TRACE_TURN_END,
    GYRE_TRACE_PHASE, /* `phase` begins */
    GYRE_TRACE_CALLBACK_ENTER,
    GYRE_TRACE_CALLBACK_LEAVE,
    GYRE_TRACE_OP_STATE, /* an operation goes from `op_from` to `op_to` */
    GYRE_TRACE_HANDLE_INIT,
    GYRE_TRACE_HANDLE_CLOSED
} gyre_trace_type;

typedef struct gyre_trace_event {
    uint64_t now_ns; /* the loop's time */
    gyre_trace_type type;
    gyre_phase phase;
    gyre_handle_kind
        kind; /* of the handle concerned, or GYRE_HANDLE_NONE (posts, deferred work, requests) */
    const char *name; /* the handle's name or the kind of request, may be NULL */
    const void
        *object; /* the handle or request, an identity only: may be compared, never followed */
    const char *op_kind; /* OP_STATE: "recv", "send", ... */
    const char *op_from; /* OP_STATE: "idle", "queued", "parked", "in_kernel", "runnable" */
    const char *op_to;
    int64_t result; /* of an operation that became runnable */
} gyre_trace_event;

/* Must not call into the loop. */
typedef void (*gyre_trace_cb)(void *ctx, const gyre_trace_event *event);

/*
 * Sets or removes the loop's trace sink.
 *
 * Params: cb: NULL removes it. ctx: given to `cb`.
 * Owns:   `ctx` must stay valid until the sink is removed or the loop closed.
 * Thread: loop.
 * Phase:  any; `cb` runs inside the loop's work.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_loop_set_trace(gyre_loop *loop, gyre_trace_cb cb, void *ctx);

#ifdef __cplusplus
}
#endif
#endif
