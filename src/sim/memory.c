/*
 * A host's memory: every block is in a list, so that all of it goes when the process does. A block
 * knows its size, and asserts that who gives it back knows it too.
 */
#include "sim/sim.h"

#include <stdlib.h>
#include <string.h>

typedef struct block {
    gyre_link link;
    size_t bytes;
    size_t aligns; /* what follows is aligned for anything */
} block;

void *gyrei_sim_new(size_t bytes)
{
    void *pointer = calloc(1, bytes);

    GYRE_ASSERT(pointer != NULL);
    return pointer;
}

void *gyrei_sim_resize(void *pointer, size_t bytes)
{
    pointer = realloc(pointer, bytes);
    GYRE_ASSERT(pointer != NULL);
    return pointer;
}

void *gyrei_sim_memory_new(gyre_sim_host *host, size_t bytes)
{
    const uint64_t max = host->sim->options.memory_max;
    block *new;

    host->alloc_count++;
    if (max != 0 && bytes > max - (host->block_bytes < max ? host->block_bytes : max))
        return NULL;
    if (host->alloc_count == host->alloc_fails) {
        gyrei_sim_struck(host->sim, GYRE_SIM_ENOMEM);
        return NULL;
    }
    if (gyrei_sim_strikes(host->sim, GYRE_SIM_ENOMEM))
        return NULL;
    new = gyrei_sim_new(sizeof(*new) + bytes);
    new->bytes = bytes;
    gyrei_list_append(&host->blocks, &new->link);
    host->block_count++;
    host->block_bytes += bytes;
    return new + 1;
}

void gyrei_sim_memory_free(gyre_sim_host *host, void *pointer, size_t bytes)
{
    block *old;

    if (pointer == NULL)
        return;
    old = (block *)pointer - 1;
    GYRE_ASSERT(old->bytes == bytes);
    gyrei_list_remove(&old->link);
    host->block_count--;
    host->block_bytes -= bytes;
    free(old);
}

static void *resize(void *ctx, void *pointer, size_t old_bytes, size_t new_bytes)
{
    gyre_sim_host *host = ctx;
    void *fresh = NULL;

    if (new_bytes > 0) {
        fresh = gyrei_sim_memory_new(host, new_bytes);
        if (fresh == NULL)
            return NULL;
        if (pointer != NULL)
            memcpy(fresh, pointer, old_bytes < new_bytes ? old_bytes : new_bytes);
    }
    gyrei_sim_memory_free(host, pointer, old_bytes);
    return fresh;
}

void gyrei_sim_memory_init(gyre_sim_host *host)
{
    gyrei_list_init(&host->blocks);
    host->allocator = (gyre_allocator){.resize = resize, .ctx = host};
}

void gyrei_sim_memory_drop(gyre_sim_host *host)
{
    gyre_link *link = host->blocks.next;

    while (link != &host->blocks) {
        block *old = GYRE_CONTAINER_OF(link, block, link);

        link = link->next;
        free(old);
    }
    gyrei_list_init(&host->blocks);
    host->block_count = 0;
    host->block_bytes = 0;
}

void gyre_sim_host_fail_allocation(gyre_sim_host *host, uint64_t nth)
{
    host->alloc_fails = nth == 0 ? 0 : host->alloc_count + nth;
}

const gyre_allocator *gyre_sim_host_allocator(const gyre_sim_host *host)
{
    return &host->allocator;
}
