/*
 * The slot table: chunks of slots, and a list of the free ones through their next_free.
 *
 * A freed slot goes to the front of the list, so that a busy table stays small and warm. Only the
 * array of chunk pointers moves when the table grows.
 */
#include "base/slots.h"

enum { CHUNKS_FIRST = 4 };

void gyrei_slots_init(gyrei_slots *slots, const gyre_allocator *allocator)
{
    *slots = (gyrei_slots){.allocator = allocator, .first_free = GYREI_SLOT_NONE};
}

void gyrei_slots_close(gyrei_slots *slots)
{
    GYRE_ASSERT(slots->used == 0 && slots->reserved == 0);
    for (uint32_t i = 0; i < slots->chunk_count; i++)
        gyrei_free(slots->allocator, slots->chunks[i], GYREI_SLOT_CHUNK * sizeof(gyrei_slot));
    gyrei_free(slots->allocator, slots->chunks, slots->chunk_max * sizeof(gyrei_slot *));
    gyrei_slots_init(slots, slots->allocator);
}

/* Makes room for one more pointer to a chunk. */
static int grow_index(gyrei_slots *slots)
{
    const uint32_t max = slots->chunk_max == 0 ? CHUNKS_FIRST : slots->chunk_max * 2;
    gyrei_slot **chunks;

    if (slots->chunk_count < slots->chunk_max)
        return 0;
    if (max > GYREI_SLOT_NONE / GYREI_SLOT_CHUNK)
        return GYRE_ENOMEM;
    chunks = gyrei_resize(slots->allocator, slots->chunks, slots->chunk_max * sizeof(gyrei_slot *),
                          max * sizeof(gyrei_slot *));
    if (chunks == NULL)
        return GYRE_ENOMEM;
    slots->chunks = chunks;
    slots->chunk_max = max;
    return 0;
}

int gyrei_slots_grow(gyrei_slots *slots)
{
    const uint32_t first = slots->chunk_count * GYREI_SLOT_CHUNK;
    gyrei_slot *chunk;

    if (grow_index(slots) != 0)
        return GYRE_ENOMEM;
    chunk = gyrei_alloc(slots->allocator, GYREI_SLOT_CHUNK * sizeof(gyrei_slot));
    if (chunk == NULL)
        return GYRE_ENOMEM;
    for (uint32_t i = 0; i < GYREI_SLOT_CHUNK; i++) {
        chunk[i].generation = 1;
        chunk[i].next_free = first + i + 1;
    }
    chunk[GYREI_SLOT_CHUNK - 1].next_free = slots->first_free;
    slots->first_free = first;
    slots->chunks[slots->chunk_count++] = chunk;
    return 0;
}

const char *gyrei_slots_verify(const gyrei_slots *slots)
{
    const uint32_t total = slots->chunk_count * GYREI_SLOT_CHUNK;
    uint32_t free_count = 0;
    uint32_t used = 0;

    for (uint32_t i = 0; i < total; i++) {
        const gyrei_slot *entry = gyrei_slots_at(slots, i);

        used += entry->object != NULL;
        if (entry->generation == 0)
            return "a slot has the generation that means none";
    }
    if (used != slots->used)
        return "slots in use are miscounted";
    for (uint32_t i = slots->first_free; i != GYREI_SLOT_NONE;) {
        if (i >= total || ++free_count > total - used)
            return "the list of free slots does not end";
        if (gyrei_slots_at(slots, i)->object != NULL)
            return "a slot is free and in use";
        i = gyrei_slots_at(slots, i)->next_free;
    }
    if (free_count != total - used)
        return "a slot was lost";
    return slots->reserved <= free_count ? NULL : "more slots are promised than there are";
}
