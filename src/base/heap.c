/*
 * The 4-ary min-heap: children of i stand at 4i+1 .. 4i+4.
 *
 * Four children share a cache line, because entry 1 begins one, and the tree is half as deep as a
 * binary one: fewer misses for a million timers. Invariant: no entry comes before its parent, and
 * each node's heap_index is its place. Equals stand in any order.
 */
#include "base/heap.h"

#include <string.h>

enum { ARITY = 4, ROOM_FIRST = 64, LINE_BYTES = 64 };

_Static_assert(ARITY * sizeof(gyrei_heap_entry) == LINE_BYTES, "children fill a line");

void gyrei_heap_init(gyrei_heap *heap, const gyre_allocator *allocator)
{
    *heap = (gyrei_heap){.allocator = allocator};
}

static size_t bytes_for(uint32_t room)
{
    return room * sizeof(gyrei_heap_entry) + LINE_BYTES;
}

/* Where in `memory` entry 0 stands, so that entry 1 begins a line. */
static size_t entries_offset(const void *memory)
{
    const uintptr_t second = (uintptr_t)memory + sizeof(gyrei_heap_entry);

    return (LINE_BYTES - second % LINE_BYTES) % LINE_BYTES;
}

void gyrei_heap_close(gyrei_heap *heap)
{
    GYRE_ASSERT(heap->count == 0 && heap->reserved == 0);
    if (heap->memory != NULL)
        gyrei_free(heap->allocator, heap->memory, bytes_for(heap->room));
    gyrei_heap_init(heap, heap->allocator);
}

static int grow(gyrei_heap *heap, uint32_t room)
{
    const size_t offset =
        heap->memory != NULL ? (size_t)((char *)heap->entries - (char *)heap->memory) : 0;
    char *memory = gyrei_resize(heap->allocator, heap->memory,
                                heap->memory != NULL ? bytes_for(heap->room) : 0, bytes_for(room));

    if (memory == NULL)
        return GYRE_ENOMEM;
    heap->memory = memory;
    heap->entries = (gyrei_heap_entry *)(void *)(memory + entries_offset(memory));
    heap->room = room;
    memmove(heap->entries, memory + offset, heap->count * sizeof(*heap->entries));
    return 0;
}

int gyrei_heap_reserve(gyrei_heap *heap)
{
    if (heap->reserved == heap->room) {
        const uint32_t room = heap->room == 0 ? ROOM_FIRST : heap->room * 2;

        if (room > UINT32_MAX / ARITY || grow(heap, room) != 0)
            return GYRE_ENOMEM;
    }
    heap->reserved++;
    return 0;
}

void gyrei_heap_unreserve(gyrei_heap *heap)
{
    GYRE_ASSERT(heap->reserved > heap->count);
    heap->reserved--;
}

static inline void place(gyrei_heap *heap, uint32_t index, gyrei_heap_entry entry)
{
    heap->entries[index] = entry;
    entry.node->heap_index = index;
}

static void sift_up(gyrei_heap *heap, uint32_t index, gyrei_heap_entry entry)
{
    while (index > 0) {
        const uint32_t parent = (index - 1) / ARITY;

        if (heap->entries[parent].key <= entry.key)
            break;
        place(heap, index, heap->entries[parent]);
        index = parent;
    }
    place(heap, index, entry);
}

/* The same when there are four: which is first cannot be predicted, so nothing branches on it. */
static inline uint32_t first_of_four(const gyrei_heap *heap, uint32_t child)
{
    const gyrei_heap_entry *four = &heap->entries[child];
    const uint32_t low = four[1].key < four[0].key;
    const uint32_t high = 2 + (four[3].key < four[2].key);
    const uint32_t is_high = 0u - (uint32_t)(four[high].key < four[low].key);

    return child + (low ^ ((low ^ high) & is_high));
}

/* The first of the children from `child` on, of which at least one exists. */
static inline uint32_t first_child(const gyrei_heap *heap, uint32_t child)
{
    uint32_t best = child;

    if (child + ARITY <= heap->count)
        return first_of_four(heap, child);
    for (uint32_t i = child + 1; i < heap->count; i++) {
        if (heap->entries[i].key < heap->entries[best].key)
            best = i;
    }
    return best;
}

static void sift_down(gyrei_heap *heap, uint32_t index, gyrei_heap_entry entry)
{
    for (;;) {
        const uint32_t child = index * ARITY + 1;
        uint32_t best;

        if (child >= heap->count)
            break;
        best = first_child(heap, child);
        if (entry.key <= heap->entries[best].key)
            break;
        place(heap, index, heap->entries[best]);
        index = best;
    }
    place(heap, index, entry);
}

/* Puts `entry` where it belongs, starting from `index`, which is free. */
static void sift(gyrei_heap *heap, uint32_t index, gyrei_heap_entry entry)
{
    if (index > 0 && entry.key < heap->entries[(index - 1) / ARITY].key)
        sift_up(heap, index, entry);
    else
        sift_down(heap, index, entry);
}

void gyrei_heap_push(gyrei_heap *heap, gyre_timer_node *node, uint64_t key)
{
    GYRE_ASSERT(heap->count < heap->reserved);
    heap->count++;
    sift_up(heap, heap->count - 1, (gyrei_heap_entry){.key = key, .node = node});
}

void gyrei_heap_remove(gyrei_heap *heap, gyre_timer_node *node)
{
    const uint32_t index = node->heap_index;

    GYRE_ASSERT(index < heap->count && heap->entries[index].node == node);
    heap->count--;
    if (index < heap->count)
        sift(heap, index, heap->entries[heap->count]);
}

void gyrei_heap_update(gyrei_heap *heap, gyre_timer_node *node, uint64_t key)
{
    const uint32_t index = node->heap_index;

    GYRE_ASSERT(index < heap->count && heap->entries[index].node == node);
    sift(heap, index, (gyrei_heap_entry){.key = key, .node = node});
}

const char *gyrei_heap_verify(const gyrei_heap *heap)
{
    if (heap->count > heap->reserved || heap->reserved > heap->room)
        return "the timer heap holds more than has room";
    for (uint32_t i = 0; i < heap->count; i++) {
        if (heap->entries[i].node->heap_index != i)
            return "a timer is not at its place in the heap";
        if (i > 0 && heap->entries[i].key < heap->entries[(i - 1) / ARITY].key)
            return "the timer heap is out of order";
    }
    return NULL;
}
