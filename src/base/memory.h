/*
 * Memory through the user's allocator.
 */
#ifndef GYREI_BASE_MEMORY_H
#define GYREI_BASE_MEMORY_H

#include "gyre/base.h"

/* realloc and free. */
extern const gyre_allocator gyrei_allocator_default;

/* Zeroed memory, or NULL. */
void *gyrei_alloc(const gyre_allocator *allocator, size_t bytes);
void gyrei_free(const gyre_allocator *allocator, void *pointer, size_t bytes);
/* Grows or shrinks an array; NULL leaves the old one as it was. */
void *gyrei_resize(const gyre_allocator *allocator, void *pointer, size_t old_bytes,
                   size_t new_bytes);

#endif
