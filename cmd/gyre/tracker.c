/*
 * What a loop's trace must never say, whatever the program: an operation that goes from a state it
 * was not in, a callback of a handle that is closed, time that goes back.
 *
 * Objects are known by their addresses, in an open table; a program's memory may be used again, so
 * an entry lasts until the next init.
 */
#include "swarm.h"

#include <stdlib.h>
#include <string.h>

typedef enum known { UNKNOWN = 0, OPEN, CLOSED, LAST_CALL } known;

typedef struct entry {
    const void *object;
    const char *op_state; /* of an operation */
    known state;          /* of a handle */
} entry;

struct tracker {
    program *owner;
    entry *entries;
    uint32_t room; /* a power of two */
    uint32_t count;
    uint64_t last_ns;
};

static uint32_t place(const tracker *self, const void *of)
{
    uint64_t hash = (uint64_t)(uintptr_t)of * UINT64_C(0x9E3779B97F4A7C15);
    uint32_t at = (uint32_t)(hash >> 32) & (self->room - 1);

    while (self->entries[at].object != NULL && self->entries[at].object != of)
        at = (at + 1) & (self->room - 1);
    return at;
}

static void grow(tracker *self)
{
    entry *old = self->entries;
    const uint32_t old_room = self->room;

    self->room *= 2;
    self->entries = calloc(self->room, sizeof(*self->entries));
    if (self->entries == NULL)
        abort();
    for (uint32_t i = 0; i < old_room; i++) {
        if (old[i].object != NULL)
            self->entries[place(self, old[i].object)] = old[i];
    }
    free(old);
}

static entry *find(tracker *self, const void *of)
{
    uint32_t at;

    if (self->count * 2 >= self->room)
        grow(self);
    at = place(self, of);
    if (self->entries[at].object == NULL) {
        self->entries[at].object = of;
        self->entries[at].op_state = "idle";
        self->count++;
    }
    return &self->entries[at];
}

/* ---- what may follow what ---- */

static bool may_go(const char *from, const char *to)
{
    static const char *const ways[][2] = {
        {"idle", "queued"},     {"queued", "parked"},   {"queued", "in_kernel"},
        {"queued", "runnable"}, {"parked", "runnable"}, {"in_kernel", "runnable"},
        {"runnable", "parked"}, {"runnable", "idle"},
    };

    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        if (strcmp(ways[i][0], from) == 0 && strcmp(ways[i][1], to) == 0)
            return true;
    }
    return false;
}

static void op_state(tracker *self, const gyre_trace_event *event)
{
    entry *one = find(self, event->object);
    const bool follows = strcmp(one->op_state, event->op_from) == 0;

    EXPECT(self->owner, follows);
    EXPECT(self->owner, may_go(event->op_from, event->op_to));
    one->op_state = event->op_to;
}

static void callback(tracker *self, const gyre_trace_event *event)
{
    entry *one;

    gyre_sim_note(self->owner->swarm->sim, self->owner->host, gyre_handle_kind_name(event->kind),
                  event->phase, event->type);
    if (event->kind == GYRE_HANDLE_NONE || event->type != GYRE_TRACE_CALLBACK_ENTER)
        return;
    one = find(self, event->object);
    /* The close callback itself comes after the handle is closed, once. */
    EXPECT(self->owner, one->state != LAST_CALL);
    if (one->state == CLOSED)
        one->state = LAST_CALL;
}

static void on_event(void *ctx, const gyre_trace_event *event)
{
    tracker *self = ctx;

    EXPECT(self->owner, event->now_ns >= self->last_ns);
    self->last_ns = event->now_ns;
    switch (event->type) {
    case GYRE_TRACE_OP_STATE: op_state(self, event); break;
    case GYRE_TRACE_CALLBACK_ENTER:
    case GYRE_TRACE_CALLBACK_LEAVE: callback(self, event); break;
    case GYRE_TRACE_HANDLE_INIT: find(self, event->object)->state = OPEN; break;
    case GYRE_TRACE_HANDLE_CLOSED:
        EXPECT(self->owner, find(self, event->object)->state == OPEN);
        find(self, event->object)->state = CLOSED;
        break;
    default: break;
    }
}

tracker *tracker_new(program *owner)
{
    tracker *self = calloc(1, sizeof(*self));

    if (self == NULL)
        abort();
    self->owner = owner;
    self->room = 64;
    self->entries = calloc(self->room, sizeof(*self->entries));
    if (self->entries == NULL)
        abort();
    gyre_loop_set_trace(owner->loop, on_event, self);
    return self;
}

void tracker_free(tracker *self)
{
    if (self == NULL)
        return;
    free(self->entries);
    free(self);
}
