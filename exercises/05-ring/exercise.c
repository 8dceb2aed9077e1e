/* Exercise 05: your file. The contracts are in exercise.h, the page is README.md. */
#include "exercise.h"

bool ring_init(struct ring *ring, void **slots, uint32_t size)
{
    (void)ring; /* your code here */
    (void)slots;
    (void)size;
    return false;
}

uint32_t ring_count(const struct ring *ring)
{
    (void)ring;
    return 0;
}

bool ring_push(struct ring *ring, void *item)
{
    (void)ring;
    (void)item;
    return false;
}

void *ring_pop(struct ring *ring)
{
    (void)ring;
    return NULL;
}

uint32_t ring_run(struct ring *ring, ring_handler handler, void *context)
{
    (void)ring;
    (void)handler;
    (void)context;
    return 0;
}

bool ring_move(struct ring *ring, void **slots, uint32_t size)
{
    (void)ring;
    (void)slots;
    (void)size;
    return false;
}
