/*
 * What all handles share: aliveness, closing, names.
 */
#include "core/handle.h"

#include "core/loop.h"

#include <string.h>

enum { HANDLE_OPEN = 0xA5, HANDLE_CLOSED = 0x5A, POISON = 0xDB };

#ifdef GYRE_DEBUG
/*
 * A closed handle that is used again shall fail at once. What the close callback may still read
 * (data, loop, name, kind) stays.
 */
static void poison(gyre_handle *handle, uint32_t bytes)
{
    if (bytes > sizeof(*handle))
        memset(handle + 1, POISON, bytes - sizeof(*handle));
}
#else
static void poison(gyre_handle *handle, uint32_t bytes)
{
    (void)handle;
    (void)bytes;
}
#endif

static void trace_handle(gyre_loop *loop, const gyre_handle *handle, gyre_trace_type type)
{
    gyre_trace_event event = {
        .now_ns = gyrei_loop_now_ns(loop),
        .type = type,
        .phase = loop->phase,
        .kind = (gyre_handle_kind)handle->kind,
        .name = handle->name,
        .object = handle,
    };

    loop->trace(loop->trace_ctx, &event);
}

/* Whether the handle is one of loop->alive. */
static bool counts(const gyre_handle *handle)
{
    const uint32_t flags = handle->flags;

    return (flags & GYREI_HANDLE_CLOSING) != 0 ||
           ((flags & GYREI_HANDLE_ACTIVE) != 0 && (flags & GYREI_HANDLE_UNREF) == 0);
}

static void set_flags(gyre_handle *handle, uint32_t flags)
{
    const bool before = counts(handle);

    handle->flags = (uint16_t)flags;
    if (counts(handle) == before)
        return;
    if (before)
        handle->loop->alive--;
    else
        handle->loop->alive++;
}

void gyrei_handle_init(gyre_loop *loop, gyre_handle *handle, const gyrei_handle_class *class)
{
    handle->loop = loop;
    handle->close_cb = NULL;
    handle->name = NULL;
    handle->kind = (uint8_t) class->kind;
    handle->state = HANDLE_OPEN;
    handle->flags = 0;
    handle->pending = 0;
    loop->classes[class->kind] = class;
    gyrei_list_append(&loop->handles, &handle->link);
    loop->handle_count++;
    if (__builtin_expect(loop->trace != NULL, 0))
        trace_handle(loop, handle, GYRE_TRACE_HANDLE_INIT);
}

void gyrei_handle_abandon(gyre_handle *handle)
{
    GYRE_ASSERT(handle->pending == 0 && !counts(handle));
    gyrei_list_remove(&handle->link);
    handle->loop->handle_count--;
    handle->state = HANDLE_CLOSED;
    if (__builtin_expect(handle->loop->trace != NULL, 0))
        trace_handle(handle->loop, handle, GYRE_TRACE_HANDLE_CLOSED);
}

void gyrei_handle_change_active(gyre_handle *handle, bool active)
{
    /* A closing handle is alive whatever else it is, and one without a reference is not. */
    if ((handle->flags & (GYREI_HANDLE_CLOSING | GYREI_HANDLE_UNREF)) == 0)
        handle->loop->alive += active ? 1 : UINT64_MAX;
    handle->flags ^= GYREI_HANDLE_ACTIVE;
}

/* A closing handle of which nothing is out stands in the close phase's queue. */
void gyrei_handle_settle(gyre_handle *handle)
{
    gyre_loop *loop = handle->loop;
    const gyrei_handle_class *class = loop->classes[handle->kind];

    if ((handle->flags & GYREI_HANDLE_QUEUED) != 0)
        return;
    handle->flags |= GYREI_HANDLE_QUEUED;
    gyrei_list_remove(&handle->link);
    gyrei_list_append(&loop->closing, &handle->link);
    loop->closing_count++;
    if (class->finish != NULL)
        class->finish(loop, handle);
}

void gyre_close(gyre_handle *handle, gyre_close_cb cb)
{
    gyre_loop *loop = handle->loop;

    GYRE_ASSERT(handle->state == HANDLE_OPEN);
    GYRE_ASSERT(!gyrei_handle_is_closing(handle));
    gyrei_loop_check(loop);
    handle->close_cb = cb;
    /* Held meanwhile, so that operations that end inside class->close do not settle it half-way. */
    gyrei_handle_hold(handle);
    if (!counts(handle))
        loop->alive++;
    handle->flags |= GYREI_HANDLE_CLOSING;
    loop->classes[handle->kind]->close(loop, handle);
    handle->flags &= (uint16_t)~GYREI_HANDLE_ACTIVE;
    gyrei_handle_release(handle);
    if (loop->fd_to_close >= 0)
        gyrei_loop_close_fd_now(loop);
}

bool gyrei_closing_run_next(gyre_loop *loop)
{
    gyre_link *link = gyrei_list_pop(&loop->closing);
    gyre_handle *handle;
    gyre_close_cb cb;

    if (link == NULL)
        return false;
    handle = GYRE_CONTAINER_OF(link, gyre_handle, link);
    cb = handle->close_cb;
    loop->closing_count--;
    loop->handle_count--;
    loop->alive--;
    handle->state = HANDLE_CLOSED;
    if (__builtin_expect(loop->trace != NULL, 0))
        trace_handle(loop, handle, GYRE_TRACE_HANDLE_CLOSED);
    poison(handle, loop->classes[handle->kind]->bytes);
    if (cb != NULL) {
        gyrei_frame frame;

        gyrei_callback_enter(loop, &frame, handle->kind, handle, handle->name);
        cb(handle);
        gyrei_callback_leave(loop, &frame);
    }
    return true;
}

void gyre_ref(gyre_handle *handle)
{
    GYRE_ASSERT(handle->state == HANDLE_OPEN);
    gyrei_loop_check(handle->loop);
    set_flags(handle, handle->flags & ~(uint32_t)GYREI_HANDLE_UNREF);
}

void gyre_unref(gyre_handle *handle)
{
    GYRE_ASSERT(handle->state == HANDLE_OPEN);
    gyrei_loop_check(handle->loop);
    set_flags(handle, handle->flags | GYREI_HANDLE_UNREF);
}

int gyre_has_ref(const gyre_handle *handle)
{
    return (handle->flags & GYREI_HANDLE_UNREF) == 0;
}

int gyre_is_active(const gyre_handle *handle)
{
    return (handle->flags & GYREI_HANDLE_ACTIVE) != 0;
}

int gyre_is_closing(const gyre_handle *handle)
{
    return gyrei_handle_is_closing(handle);
}

void gyre_handle_set_name(gyre_handle *handle, const char *name)
{
    handle->name = name;
}

const char *gyre_handle_name(const gyre_handle *handle)
{
    return handle->name;
}

gyre_handle_kind gyre_handle_kind_of(const gyre_handle *handle)
{
    return (gyre_handle_kind)handle->kind;
}

gyre_loop *gyre_handle_loop(const gyre_handle *handle)
{
    return handle->loop;
}

const char *gyre_handle_kind_name(gyre_handle_kind kind)
{
    static const char *const names[GYREI_HANDLE_KINDS] = {
        "none", "timer", "hook", "async", "poll", "signal", "tcp", "pipe", "mailbox", "other",
    };

    return (unsigned)kind < GYREI_HANDLE_KINDS ? names[kind] : "none";
}

/* The closing ones first: those that `cb` closes go there, and must not be met twice. */
void gyre_loop_walk(gyre_loop *loop, gyre_walk_cb cb, void *ctx)
{
    gyre_link *const lists[] = {&loop->closing, &loop->handles};

    GYRE_ASSERT(cb != NULL);
    gyrei_loop_check(loop);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        gyre_link *link = lists[i]->next;

        while (link != lists[i]) {
            gyre_handle *handle = GYRE_CONTAINER_OF(link, gyre_handle, link);

            link = link->next;
            cb(handle, ctx);
        }
    }
}

static const char *verify_handle(const gyre_loop *loop, const gyre_handle *handle, bool is_due)
{
    const bool closing = gyrei_handle_is_closing(handle);
    const bool queued = (handle->flags & GYREI_HANDLE_QUEUED) != 0;

    if (handle->state != HANDLE_OPEN || handle->loop != loop)
        return "a handle that is gone stands in the loop";
    if (queued != is_due || (is_due && !closing))
        return "a handle stands in the wrong list";
    if (is_due && handle->pending > 0)
        return "a handle whose close is due has something pending";
    if (closing && !is_due && handle->pending == 0)
        return "a closing handle has nothing pending, and its close is not due";
    return NULL;
}

const char *gyrei_handles_verify(const gyre_loop *loop, uint64_t *alive)
{
    const gyre_link *const lists[] = {&loop->handles, &loop->closing};
    uint64_t counted[2] = {0, 0};

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (const gyre_link *link = lists[i]->next; link != lists[i]; link = link->next) {
            const gyre_handle *handle = GYRE_CONTAINER_OF(link, gyre_handle, link);
            const char *flaw = verify_handle(loop, handle, lists[i] == &loop->closing);

            if (flaw != NULL)
                return flaw;
            *alive += counts(handle);
            counted[i]++;
        }
    }
    if (counted[0] + counted[1] != loop->handle_count)
        return "handles are miscounted";
    if (counted[1] != loop->closing_count || loop->closing_left > loop->closing_count)
        return "closes that are due are miscounted";
    return NULL;
}
