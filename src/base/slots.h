/*
 * A table that turns pointers into numbers that cannot dangle: `generation:32 | slot:32`.
 *
 * A slot keeps its number until it is released; releasing it raises its generation, so that a
 * number given to the kernel or to another thread and coming back late finds nothing. The table
 * grows by chunks that never move. Generation 0 and number 0 are never given out. Not thread-safe:
 * one loop, one thread.
 */
#ifndef GYREI_BASE_SLOTS_H
#define GYREI_BASE_SLOTS_H

#include "base/memory.h"

typedef struct gyrei_slot {
    void *object; /* NULL while free */
    uint32_t generation;
    uint32_t next_free;
} gyrei_slot;

#define GYREI_SLOT_CHUNK 1024u
#define GYREI_SLOT_NONE UINT32_MAX

typedef struct gyrei_slots {
    const gyre_allocator *allocator;
    gyrei_slot **chunks;
    uint32_t chunk_count;
    uint32_t chunk_max;
    uint32_t first_free;
    uint32_t used;
} gyrei_slots;

void gyrei_slots_init(gyrei_slots *slots, const gyre_allocator *allocator);
/* Every slot must have been released. */
void gyrei_slots_close(gyrei_slots *slots);
/* Takes a slot for `object`. GYRE_ENOMEM. */
int gyrei_slots_take(gyrei_slots *slots, void *object, uint32_t *slot);
void gyrei_slots_release(gyrei_slots *slots, uint32_t slot);
/* Raises the generation without releasing: what was given out before is stale from now on. */
void gyrei_slots_renew(gyrei_slots *slots, uint32_t slot);

/* Whether the free list and the count agree with the slots: NULL, or what does not. */
const char *gyrei_slots_verify(const gyrei_slots *slots);

static inline gyrei_slot *gyrei_slots_at(const gyrei_slots *slots, uint32_t slot)
{
    return &slots->chunks[slot / GYREI_SLOT_CHUNK][slot % GYREI_SLOT_CHUNK];
}

/* The number to give away for `slot`. */
static inline uint64_t gyrei_slots_id(const gyrei_slots *slots, uint32_t slot)
{
    return (uint64_t)gyrei_slots_at(slots, slot)->generation << 32 | slot;
}

/* The object that `id` was given out for, or NULL when it is stale. */
static inline void *gyrei_slots_find(const gyrei_slots *slots, uint64_t id)
{
    uint32_t slot = (uint32_t)id;
    const gyrei_slot *entry;

    if (slot / GYREI_SLOT_CHUNK >= slots->chunk_count)
        return NULL;
    entry = gyrei_slots_at(slots, slot);
    return entry->generation == (uint32_t)(id >> 32) ? entry->object : NULL;
}

#endif
