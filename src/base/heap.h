/*
 * A 4-ary min-heap of timer nodes, ordered by their keys; equals in any order.
 *
 * Keys stand beside the pointers in one array, so that sifting touches no node but to write its
 * index. Room is reserved before nodes are pushed, so that push cannot fail. A node knows its
 * index: remove is O(log n) without a search.
 */
#ifndef GYREI_BASE_HEAP_H
#define GYREI_BASE_HEAP_H

#include "base/memory.h"
#include "gyre/timer.h"

#include <stdbool.h>

typedef struct gyrei_heap_entry {
    uint64_t key;
    gyre_timer_node *node;
} gyrei_heap_entry;

typedef struct gyrei_heap {
    const gyre_allocator *allocator;
    gyrei_heap_entry *entries; /* in `memory` */
    void *memory;
    uint32_t count;
    uint32_t room;     /* entries allocated */
    uint32_t reserved; /* nodes that may be pushed at the same time; <= room */
} gyrei_heap;

void gyrei_heap_init(gyrei_heap *heap, const gyre_allocator *allocator);
/* Must be empty and nothing reserved. */
void gyrei_heap_close(gyrei_heap *heap);
/* Makes sure that one more node can be in the heap. GYRE_ENOMEM. Undone by gyrei_heap_unreserve. */
int gyrei_heap_reserve(gyrei_heap *heap);
void gyrei_heap_unreserve(gyrei_heap *heap);
/* Pushes a node that is not in the heap. */
void gyrei_heap_push(gyrei_heap *heap, gyre_timer_node *node, uint64_t key);
/* Takes `node`, which is in the heap, out. */
void gyrei_heap_remove(gyrei_heap *heap, gyre_timer_node *node);
/* Gives a node of the heap another key. */
void gyrei_heap_update(gyrei_heap *heap, gyre_timer_node *node, uint64_t key);

/* Whether the order and the nodes' places are right: NULL, or what is not. */
const char *gyrei_heap_verify(const gyrei_heap *heap);

static inline gyre_timer_node *gyrei_heap_first(const gyrei_heap *heap)
{
    return heap->count > 0 ? heap->entries[0].node : NULL;
}

/* The key of that node, which there must be. */
static inline uint64_t gyrei_heap_first_key(const gyrei_heap *heap)
{
    return heap->entries[0].key;
}

#endif
