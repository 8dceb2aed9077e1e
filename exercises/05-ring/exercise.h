/*
 * Exercise 05: a queue in a ring buffer. The page is README.md; write the functions in exercise.c.
 * Nothing is to be changed here.
 */
#ifndef EXERCISE_05_H
#define EXERCISE_05_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring {
    void **slots;
    uint32_t size; /* a power of two */
    uint32_t head; /* how many items were ever taken out; it goes on at 0 after 4294967295 */
    uint32_t tail; /* how many were ever put in; the same */
};

typedef void (*ring_handler)(struct ring *ring, void *item, void *context);

/* Makes an empty queue in `size` slots. False, and nothing is changed, if it is no power of two. */
bool ring_init(struct ring *ring, void **slots, uint32_t size);

/* How many items wait: 0 to size. */
uint32_t ring_count(const struct ring *ring);

/* Puts an item behind the others. False when all slots are taken. */
bool ring_push(struct ring *ring, void *item);

/* Takes the oldest item out and returns it; NULL: none waits. */
void *ring_pop(struct ring *ring);

/* Takes out the items that wait now, the oldest first, and calls `handler` for each. What the
 * handler pushes stays for the next time. Returns how many it called. */
uint32_t ring_run(struct ring *ring, ring_handler handler, void *context);

/* Moves the items to `size` other slots, in their order. False, and nothing is changed, if `size`
 * is no power of two or too small. The old slots are not used any more. */
bool ring_move(struct ring *ring, void **slots, uint32_t size);

#endif
