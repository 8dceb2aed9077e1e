/*
 * Memory through the user's allocator. Zeroing happens here, so that an allocator needs but one
 * function.
 */
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static void *resize_heap(void *ctx, void *pointer, size_t old_bytes, size_t new_bytes)
{
    (void)ctx;
    (void)old_bytes;
    if (new_bytes == 0) {
        free(pointer);
        return NULL;
    }
    return realloc(pointer, new_bytes);
}

const gyre_allocator gyrei_allocator_default = {.resize = resize_heap, .ctx = NULL};

void *gyrei_alloc(const gyre_allocator *allocator, size_t bytes)
{
    void *pointer;

    GYRE_ASSERT(bytes > 0);
    pointer = allocator->resize(allocator->ctx, NULL, 0, bytes);
    if (pointer != NULL)
        memset(pointer, 0, bytes);
    return pointer;
}

void gyrei_free(const gyre_allocator *allocator, void *pointer, size_t bytes)
{
    if (pointer != NULL)
        (void)allocator->resize(allocator->ctx, pointer, bytes, 0);
}

void *gyrei_resize(const gyre_allocator *allocator, void *pointer, size_t old_bytes,
                   size_t new_bytes)
{
    GYRE_ASSERT(new_bytes > 0);
    GYRE_ASSERT((pointer == NULL) == (old_bytes == 0));
    return allocator->resize(allocator->ctx, pointer, old_bytes, new_bytes);
}
