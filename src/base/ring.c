/*
 * The ring buffer: two counts that only grow, each written by one thread.
 *
 * Invariants: 0 <= pushed - popped <= capacity, modulo 2^32. Items before `pushed` are written
 * before the count is released; items before `popped` were read before it is. Must not know what an
 * item is.
 */
#include "gyre/ring.h"

#include "gyre/error.h"

#include <stdbool.h>
#include <string.h>

int gyre_ring_init(gyre_ring *ring, void *memory, size_t item_bytes, uint32_t capacity)
{
    const bool power = capacity != 0 && (capacity & (capacity - 1)) == 0;

    if (memory == NULL || item_bytes == 0 || !power || capacity > GYRE_RING_CAPACITY_MAX ||
        item_bytes > SIZE_MAX / capacity)
        return GYRE_EINVAL;
    *ring = (gyre_ring){.items = memory, .item_bytes = item_bytes, .capacity = capacity};
    return 0;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

int64_t gyre_ring_push(gyre_ring *ring, const void *items, uint32_t count)
{
    const uint32_t popped = __atomic_load_n(&ring->popped, __ATOMIC_ACQUIRE);
    const uint32_t pushed = ring->pushed;
    const uint32_t taken = smaller(count, ring->capacity - (pushed - popped));
    const uint32_t at = pushed & (ring->capacity - 1);
    const uint32_t straight = smaller(taken, ring->capacity - at);

    GYRE_ASSERT(pushed - popped <= ring->capacity && (items != NULL || count == 0));
    if (taken == 0)
        return count == 0 ? 0 : GYRE_ENOBUFS;
    memcpy(ring->items + at * ring->item_bytes, items, straight * ring->item_bytes);
    memcpy(ring->items, (const unsigned char *)items + straight * ring->item_bytes,
           (taken - straight) * ring->item_bytes);
    __atomic_store_n(&ring->pushed, pushed + taken, __ATOMIC_RELEASE);
    return taken;
}

int64_t gyre_ring_pop(gyre_ring *ring, void *items, uint32_t count)
{
    const uint32_t pushed = __atomic_load_n(&ring->pushed, __ATOMIC_ACQUIRE);
    const uint32_t popped = ring->popped;
    const uint32_t moved = smaller(count, pushed - popped);
    const uint32_t at = popped & (ring->capacity - 1);
    const uint32_t straight = smaller(moved, ring->capacity - at);

    GYRE_ASSERT(pushed - popped <= ring->capacity && (items != NULL || count == 0));
    if (moved == 0)
        return count == 0 ? 0 : GYRE_EAGAIN;
    memcpy(items, ring->items + at * ring->item_bytes, straight * ring->item_bytes);
    memcpy((unsigned char *)items + straight * ring->item_bytes, ring->items,
           (moved - straight) * ring->item_bytes);
    __atomic_store_n(&ring->popped, popped + moved, __ATOMIC_RELEASE);
    return moved;
}

uint32_t gyre_ring_count(const gyre_ring *ring)
{
    const uint32_t popped = __atomic_load_n(&ring->popped, __ATOMIC_ACQUIRE);

    return __atomic_load_n(&ring->pushed, __ATOMIC_ACQUIRE) - popped;
}
