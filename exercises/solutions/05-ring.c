/* Exercise 05, solved: a queue in a ring buffer. */
#include "exercise.h"

static bool is_power_of_two(uint32_t size)
{
    return size != 0 && (size & (size - 1)) == 0;
}

static void **slot(void **slots, uint32_t size, uint32_t number)
{
    return &slots[number & (size - 1)];
}

bool ring_init(struct ring *ring, void **slots, uint32_t size)
{
    if (!is_power_of_two(size))
        return false;
    *ring = (struct ring){.slots = slots, .size = size};
    return true;
}

uint32_t ring_count(const struct ring *ring)
{
    return ring->tail - ring->head;
}

bool ring_push(struct ring *ring, void *item)
{
    if (ring_count(ring) == ring->size)
        return false;
    *slot(ring->slots, ring->size, ring->tail) = item;
    ring->tail++;
    return true;
}

void *ring_pop(struct ring *ring)
{
    void *item;

    if (ring_count(ring) == 0)
        return NULL;
    item = *slot(ring->slots, ring->size, ring->head);
    ring->head++;
    return item;
}

uint32_t ring_run(struct ring *ring, ring_handler handler, void *context)
{
    const uint32_t count = ring_count(ring);

    for (uint32_t i = 0; i < count; i++)
        handler(ring, ring_pop(ring), context);
    return count;
}

bool ring_move(struct ring *ring, void **slots, uint32_t size)
{
    if (!is_power_of_two(size) || size < ring_count(ring))
        return false;
    for (uint32_t number = ring->head; number != ring->tail; number++)
        *slot(slots, size, number) = *slot(ring->slots, ring->size, number);
    ring->slots = slots;
    ring->size = size;
    return true;
}
