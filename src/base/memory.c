/*
 * Memory through the user's allocator. Zeroing happens here, so that an allocator needs but one
 * function.
 */
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

#ifdef __linux__
#include <sys/mman.h>
#endif

enum { PAGE_BYTES = 4096, HUGE_FROM_BYTES = 4 << 20 };

/*
 * A heap of a million timers is 16 MiB that are read all over: with small pages each look is a miss
 * of the TLB, too, and filling it four thousand faults. Advice only: where the kernel or the C
 * library has no huge pages all goes on as it is.
 */
#ifdef MADV_HUGEPAGE
static void advise_huge(void *pointer, size_t bytes)
{
    const size_t skipped = (PAGE_BYTES - (uintptr_t)pointer % PAGE_BYTES) % PAGE_BYTES;
    const size_t pages = (bytes - skipped) / PAGE_BYTES;

    (void)madvise((char *)pointer + skipped, pages * PAGE_BYTES, MADV_HUGEPAGE); /* madvise(2) */
}
#else
static void advise_huge(void *pointer, size_t bytes)
{
    (void)pointer;
    (void)bytes;
}
#endif

static void *resize_heap(void *ctx, void *pointer, size_t old_bytes, size_t new_bytes)
{
    (void)ctx;
    (void)old_bytes;
    if (new_bytes == 0) {
        free(pointer);
        return NULL;
    }
    pointer = realloc(pointer, new_bytes);
    if (pointer != NULL && new_bytes >= HUGE_FROM_BYTES)
        advise_huge(pointer, new_bytes);
    return pointer;
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
