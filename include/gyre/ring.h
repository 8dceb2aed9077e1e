/*
 * A ring buffer: a queue of items of one size, in memory that never grows.
 *
 * One thread pushes and one thread pops, at the same time and without a lock; they may be the same
 * one. With items of one byte it is a ring of bytes. It knows no loop: to wake one that pops, use
 * gyre_async_send, or a mailbox, which many threads may send to.
 */
#ifndef GYRE_RING_H
#define GYRE_RING_H

#include "gyre/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All fields are private. */
typedef struct gyre_ring {
    unsigned char *items;
    size_t item_bytes;
    uint32_t capacity; /* a power of two */
    uint32_t popped;   /* counts up and wraps, as `pushed` does */
    char apart[64];    /* the two counts are written by two threads */
    uint32_t pushed;
} gyre_ring;

/* The largest number of items of a ring. */
#define GYRE_RING_CAPACITY_MAX (UINT32_C(1) << 30)

/*
 * Makes an empty ring of the caller's memory. There is nothing to give back.
 *
 * Params: memory: capacity times item_bytes. item_bytes: at least 1. capacity: a power of two,
 *         1..GYRE_RING_CAPACITY_MAX.
 * Owns:   the memory is the ring's as long as the ring is used.
 * Thread: any; both sides begin afterwards.
 * Phase:  none.
 * Errors: GYRE_EINVAL.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_ring_init(gyre_ring *ring, void *memory, size_t item_bytes, uint32_t capacity);

/*
 * Copies items into the ring, as many as there is room for, the first ones first.
 *
 * Params: items, count: any number of items.
 * Owns:   the items are the caller's again at return.
 * Thread: any, but one at a time pushes.
 * Phase:  none.
 * Errors: GYRE_ENOBUFS when the ring is full and count is not 0; otherwise the number of items
 *         taken.
 * Since:  0.1.
 */
GYRE_EXPORT int64_t gyre_ring_push(gyre_ring *ring, const void *items, uint32_t count);

/*
 * Moves the oldest items out of the ring, as many as there are.
 *
 * Params: items: room for `count` items.
 * Owns:   nothing.
 * Thread: any, but one at a time pops.
 * Phase:  none.
 * Errors: GYRE_EAGAIN when the ring is empty and count is not 0; otherwise the number of items
 *         moved.
 * Since:  0.1.
 */
GYRE_EXPORT int64_t gyre_ring_pop(gyre_ring *ring, void *items, uint32_t count);

/*
 * How many items wait.
 *
 * Params: ring: initialised.
 * Owns:   nothing.
 * Thread: any. For the one that pops there are at least so many, for the one that pushes at most.
 * Phase:  none.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT uint32_t gyre_ring_count(const gyre_ring *ring);

#ifdef __cplusplus
}
#endif
#endif
