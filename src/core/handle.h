/*
 * What core knows of a handle: which class it is, whether it is active, how many of its operations
 * are out.
 *
 *   init -> (active <-> inactive) -> closing -> all pending released -> finish() -> close phase:
 *   close_cb -> the caller's memory
 *
 * Aliveness is a count: an active handle that is ref'd, and every closing one, is one of
 * loop->alive.
 */
#ifndef GYREI_CORE_HANDLE_H
#define GYREI_CORE_HANDLE_H

#include "gyre/handle.h"

#include <stdbool.h>

enum gyrei_handle_flags {
    GYREI_HANDLE_ACTIVE = 1,
    GYREI_HANDLE_UNREF = 2,
    GYREI_HANDLE_CLOSING = 4,
    GYREI_HANDLE_QUEUED = 8, /* in loop->closing: nothing is pending any more */
    GYREI_HANDLE_OWN = 256   /* from here on: the class's own */
};

typedef struct gyrei_handle_class {
    gyre_handle_kind kind;
    uint32_t bytes; /* of the whole handle, for poisoning; 0 leaves it as it is */
    /* Called by gyre_close: stop it and cancel its operations. Must not call back. */
    void (*close)(gyre_loop *loop, gyre_handle *handle);
    /* Called once nothing is pending: give back descriptors, slots, memory. May be NULL. */
    void (*finish)(gyre_loop *loop, gyre_handle *handle);
} gyrei_handle_class;

/* Begins a handle's life. `data` is left alone. */
void gyrei_handle_init(gyre_loop *loop, gyre_handle *handle, const gyrei_handle_class *class);

/*
 * Takes an initialised handle back without a close callback: for an init function that fails
 * half-way.
 */
void gyrei_handle_abandon(gyre_handle *handle);

/* For loop.c: calls the close callback that is due first; false if none is. */
bool gyrei_closing_run_next(gyre_loop *loop);

/* Part of gyrei_loop_verify; adds the handles that are one of loop->alive. */
const char *gyrei_handles_verify(const gyre_loop *loop, uint64_t *alive);

/* The slow halves of the functions below. */
void gyrei_handle_change_active(gyre_handle *handle, bool active);
void gyrei_handle_settle(gyre_handle *handle);

static inline bool gyrei_handle_is_closing(const gyre_handle *handle)
{
    return (handle->flags & GYREI_HANDLE_CLOSING) != 0;
}

static inline void gyrei_handle_set_active(gyre_handle *handle, bool active)
{
    if (((handle->flags & GYREI_HANDLE_ACTIVE) != 0) != active)
        gyrei_handle_change_active(handle, active);
}

/* One more, or one fewer, of the handle's operations or requests is out; closing waits for zero. */
static inline void gyrei_handle_hold(gyre_handle *handle)
{
    handle->pending++;
}

static inline void gyrei_handle_release(gyre_handle *handle)
{
    GYRE_ASSERT(handle->pending > 0);
    handle->pending--;
    if (handle->pending == 0 && gyrei_handle_is_closing(handle))
        gyrei_handle_settle(handle);
}

#endif
