/*
 * The receive buffers of the ring: a few that the kernel may fill, and spare ones that take the
 * place of those the user keeps.
 *
 *              provide                last byte filled                last part released
 *   SPARE ---------------> KERNEL'S --------------------> DRAINED -------------------------> SPARE
 *                             |  ^
 *                             +--+ a part is filled, lent for a result, released; or kept
 *
 * Where the kernel can (incremental buffers), a receive takes only the bytes it needs, and many
 * results share a buffer; else a buffer is drained by one result. Either way a buffer is provided
 * anew only when all its parts were released.
 *
 * The kernel cycles through all buffers that it has, so they are few: more of them would only walk
 * through more of the cache.
 */
#ifndef GYREI_BACKEND_URING_POOL_H
#define GYREI_BACKEND_URING_POOL_H

#include "core/backend.h"

#include <stdbool.h>

struct io_uring_buf_ring;

/* The one buffer group of a ring. */
#define GYREI_URING_GROUP 0

typedef struct gyrei_uring_buffer {
    uint32_t used;   /* bytes that the kernel has filled since it was provided */
    uint32_t parts;  /* lent for a result or kept, and not released */
    uint32_t kept;   /* of these, by the user */
    bool provided;   /* the kernel's */
    bool in_service; /* counted in pool->in_service */
} gyrei_uring_buffer;

typedef struct gyrei_uring_pool {
    const gyrei_env *env;
    gyre_loop *loop;
    struct io_uring_buf_ring *ring; /* shared with the kernel */
    uint32_t ring_entries;
    uint16_t tail;
    char *arena;
    uint32_t bytes; /* of one buffer */
    uint32_t shift; /* 1 << shift bytes lie from one to the next */
    uint32_t count; /* of all buffers */
    gyrei_uring_buffer *buffers;
    uint16_t *spare; /* a stack: the last one back is warm in the cache */
    uint32_t spare_count;
    uint32_t wanted;     /* buffers that shall be in service */
    uint32_t in_service; /* the kernel's, and those that come back when their callbacks return */
    uint32_t provided;   /* the kernel's */
    uint32_t pinned;     /* buffers with a part that the user keeps */
    uint32_t kept;       /* parts that the user keeps */
    uint32_t kept_max;
    bool incremental;
} gyrei_uring_pool;

/* What a completion says of a buffer. */
typedef struct gyrei_uring_part {
    uint16_t buffer;
    uint32_t len;
    bool last; /* the kernel is done with the buffer */
} gyrei_uring_part;

/*
 * Makes the buffers and gives them to the ring `ring_fd`, incremental ones if it can. GYRE_ENOMEM;
 * what IORING_REGISTER_PBUF_RING says.
 */
int gyrei_uring_pool_open(gyrei_uring_pool *pool, gyre_loop *loop,
                          const gyrei_backend_config *config, int ring_fd);
/* Frees all of it. The ring is gone, or has nothing in flight. */
void gyrei_uring_pool_close(gyrei_uring_pool *pool);
/* Gives the buffers to a new ring, which takes the place of one that is another process's. */
int gyrei_uring_pool_renew(gyrei_uring_pool *pool, int ring_fd);

/* Where the part of a completion that was not taken yet begins. */
static inline uint32_t gyrei_uring_pool_offset(const gyrei_uring_pool *pool,
                                               const gyrei_uring_part *part)
{
    GYRE_ASSERT(part->buffer < pool->count);
    return ((uint32_t)part->buffer << pool->shift) + pool->buffers[part->buffer].used;
}

/* The kernel is done with a buffer. */
void gyrei_uring_pool_drained(gyrei_uring_pool *pool, uint16_t buffer);

/* Takes notice of a completion, in the order of the ring; its bytes are lent until release. */
static inline void gyrei_uring_pool_take(gyrei_uring_pool *pool, const gyrei_uring_part *part)
{
    gyrei_uring_buffer *buffer = &pool->buffers[part->buffer];

    GYRE_ASSERT(buffer->provided && part->len <= pool->bytes - buffer->used);
    buffer->parts++;
    buffer->used += part->len;
    if (part->last)
        gyrei_uring_pool_drained(pool, part->buffer);
}

/* The same for bytes that nobody wants. */
void gyrei_uring_pool_drop(gyrei_uring_pool *pool, const gyrei_uring_part *part);

/* As buf_release, buf_keep and buf_unkeep of gyrei_backend_ops. */
void gyrei_uring_pool_release(gyrei_uring_pool *pool, const void *base);
int gyrei_uring_pool_keep(gyrei_uring_pool *pool, const void *base);
void gyrei_uring_pool_unkeep(gyrei_uring_pool *pool, const void *base);

#endif
