/*
 * A table that turns pointers into numbers that cannot dangle: `generation:32 | slot:32`.
 *
 * A slot keeps its number until it is released; releasing it raises its generation, so that a
 * number given to the kernel or to another thread and coming back late finds nothing. Slots are
 * reserved before they are taken: only that needs memory, and most objects that may need a slot
 * never do. The table grows by chunks that never move. Generation 0 and number 0 are never given
 * out. Not thread-safe: one loop, one thread.
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
    uint32_t reserved; /* of the free ones, those that are promised */
} gyrei_slots;

void gyrei_slots_init(gyrei_slots *slots, const gyre_allocator *allocator);
/* Every slot must have been released, every reservation used or given back. */
void gyrei_slots_close(gyrei_slots *slots);
/* The slow half of reserve. GYRE_ENOMEM. */
int gyrei_slots_grow(gyrei_slots *slots);

/* Whether the free list and the counts agree with the slots: NULL, or what does not. */
const char *gyrei_slots_verify(const gyrei_slots *slots);

static inline gyrei_slot *gyrei_slots_at(const gyrei_slots *slots, uint32_t slot)
{
    return &slots->chunks[slot / GYREI_SLOT_CHUNK][slot % GYREI_SLOT_CHUNK];
}

/* Promises a slot to a take that comes later. GYRE_ENOMEM. */
static inline int gyrei_slots_reserve(gyrei_slots *slots)
{
    if (slots->used + slots->reserved == slots->chunk_count * GYREI_SLOT_CHUNK &&
        gyrei_slots_grow(slots) != 0)
        return GYRE_ENOMEM;
    slots->reserved++;
    return 0;
}

/* Gives a reservation back that was not used. */
static inline void gyrei_slots_unreserve(gyrei_slots *slots)
{
    GYRE_ASSERT(slots->reserved > 0);
    slots->reserved--;
}

/* Takes a slot that was reserved for `object`. */
static inline uint32_t gyrei_slots_take(gyrei_slots *slots, void *object)
{
    const uint32_t slot = slots->first_free;
    gyrei_slot *entry = gyrei_slots_at(slots, slot);

    GYRE_ASSERT(slots->reserved > 0);
    slots->first_free = entry->next_free;
    slots->reserved--;
    slots->used++;
    entry->object = object;
    return slot;
}

/* Raises the generation without releasing: what was given out before is stale from now on. */
static inline void gyrei_slots_renew(gyrei_slots *slots, uint32_t slot)
{
    gyrei_slot *entry = gyrei_slots_at(slots, slot);

    GYRE_ASSERT(entry->object != NULL);
    /* Generation 0 is never given out: the number 0 then means "none" wherever one is kept. */
    if (++entry->generation == 0)
        entry->generation = 1;
}

static inline void gyrei_slots_release(gyrei_slots *slots, uint32_t slot)
{
    gyrei_slot *entry = gyrei_slots_at(slots, slot);

    gyrei_slots_renew(slots, slot);
    entry->object = NULL;
    entry->next_free = slots->first_free;
    slots->first_free = slot;
    slots->used--;
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
