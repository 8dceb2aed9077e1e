/*
 * The buffers of uring_pool.h: who holds which, and when the kernel gets one back.
 *
 * Invariants: a buffer is in the stack of spares iff it is not the kernel's and has no part out; no
 * byte is written by the kernel between the completion that reported it and its release. As many
 * buffers as wanted are in service whenever there are spares for it: what the user keeps starves
 * nobody. Must not know operations.
 */
#include "backend/uring_pool.h"

#include "backend/uring_abi.h"
#include "base/hot.h"

#include <liburing.h>

enum {
    INCREMENTAL_BUFFERS = 8, /* unless the user says how many */
    WHOLE_BUFFERS = 64,      /* of a quarter of the size each, where a result takes one whole */
    WHOLE_DIVISOR = 4,
    COUNT_MAX = 32768 /* the kernel's limit for a ring of buffers */
};

/* ---- the kernel's side ---- */

static void provide(gyrei_uring_pool *pool, uint16_t index)
{
    gyrei_uring_buffer *buffer = &pool->buffers[index];
    struct io_uring_buf *entry = &pool->ring->bufs[pool->tail & (pool->ring_entries - 1)];

    GYRE_ASSERT(!buffer->provided && buffer->parts == 0);
    entry->addr = (uint64_t)(uintptr_t)(pool->arena + ((size_t)index << pool->shift));
    entry->len = pool->bytes;
    entry->bid = index;
    pool->tail++;
    io_uring_smp_store_release(&pool->ring->tail, pool->tail);
    buffer->provided = true;
    buffer->used = 0;
    pool->provided++;
}

static int register_ring(const gyrei_uring_pool *pool, int ring_fd, uint32_t flags)
{
    gyrei_uring_buf_reg reg = {
        .ring_addr = (uint64_t)(uintptr_t)pool->ring,
        .ring_entries = pool->ring_entries,
        .bgid = GYREI_URING_GROUP,
        .flags = (uint16_t)flags,
    };

    return pool->env->sys->uring_register(pool->env, ring_fd, IORING_REGISTER_PBUF_RING, &reg, 1);
}

/* ---- service ---- */

/* Provides spare buffers until enough are in service. */
static void refill(gyrei_uring_pool *pool)
{
    while (pool->in_service < pool->wanted && pool->spare_count > 0) {
        const uint16_t index = pool->spare[--pool->spare_count];

        provide(pool, index);
        pool->buffers[index].in_service = true;
        pool->in_service++;
    }
}

/* After any change that may take a buffer out of service, or back, or make it spare. */
static void reckon(gyrei_uring_pool *pool, uint16_t index)
{
    gyrei_uring_buffer *buffer = &pool->buffers[index];
    const bool in_service = buffer->provided || (buffer->parts > 0 && buffer->kept == 0);

    if (in_service && !buffer->in_service)
        pool->in_service++;
    else if (!in_service && buffer->in_service)
        pool->in_service--;
    buffer->in_service = in_service;
    if (!buffer->provided && buffer->parts == 0)
        pool->spare[pool->spare_count++] = index;
}

static void settle(gyrei_uring_pool *pool, uint16_t index)
{
    reckon(pool, index);
    refill(pool);
}

void gyrei_uring_pool_drained(gyrei_uring_pool *pool, uint16_t buffer)
{
    GYRE_ASSERT(pool->buffers[buffer].provided && pool->buffers[buffer].parts > 0);
    pool->buffers[buffer].provided = false;
    pool->provided--;
    settle(pool, buffer);
}

static void release(gyrei_uring_pool *pool, uint16_t index)
{
    gyrei_uring_buffer *buffer = &pool->buffers[index];

    GYRE_ASSERT(buffer->parts > buffer->kept);
    buffer->parts--;
    if (!buffer->provided)
        settle(pool, index);
}

void gyrei_uring_pool_drop(gyrei_uring_pool *pool, const gyrei_uring_part *part)
{
    GYRE_ASSERT(part->buffer < pool->count);
    gyrei_uring_pool_take(pool, part);
    release(pool, part->buffer);
}

/* ---- the user's side ---- */

static uint16_t index_of(const gyrei_uring_pool *pool, const void *base)
{
    const size_t index = (size_t)((const char *)base - pool->arena) >> pool->shift;

    GYRE_ASSERT((const char *)base >= pool->arena && index < pool->count);
    return (uint16_t)index;
}

GYREI_HOT void gyrei_uring_pool_release(gyrei_uring_pool *pool, const void *base)
{
    release(pool, index_of(pool, base));
}

int gyrei_uring_pool_keep(gyrei_uring_pool *pool, const void *base)
{
    const uint16_t index = index_of(pool, base);
    gyrei_uring_buffer *buffer = &pool->buffers[index];

    GYRE_ASSERT(buffer->parts > buffer->kept);
    /* Each buffer that is kept has a spare one for its place. */
    if (pool->kept == pool->kept_max ||
        (buffer->kept == 0 && pool->pinned == pool->count - pool->wanted))
        return GYRE_ENOBUFS;
    if (buffer->kept == 0)
        pool->pinned++;
    pool->kept++;
    buffer->kept++;
    buffer->parts++;
    settle(pool, index);
    return 0;
}

void gyrei_uring_pool_unkeep(gyrei_uring_pool *pool, const void *base)
{
    const uint16_t index = index_of(pool, base);
    gyrei_uring_buffer *buffer = &pool->buffers[index];

    GYRE_ASSERT(buffer->kept > 0);
    pool->kept--;
    buffer->kept--;
    if (buffer->kept == 0)
        pool->pinned--;
    buffer->parts--;
    settle(pool, index);
}

/* ---- life ---- */

static size_t arena_bytes(const gyrei_uring_pool *pool)
{
    return (size_t)pool->count << pool->shift;
}

static size_t ring_bytes(const gyrei_uring_pool *pool)
{
    return pool->ring_entries * sizeof(struct io_uring_buf);
}

/* How many of which size; an offset in the arena has 32 bits. */
static void choose_size(gyrei_uring_pool *pool, const gyrei_backend_config *config)
{
    uint32_t count_max;

    pool->wanted = config->read_buffers;
    pool->bytes = config->read_buffer_bytes;
    if (pool->wanted == 0 && pool->incremental) {
        pool->wanted = INCREMENTAL_BUFFERS;
    } else if (pool->wanted == 0) {
        pool->wanted = WHOLE_BUFFERS;
        pool->bytes = config->read_buffer_bytes / WHOLE_DIVISOR;
    }
    pool->kept_max = config->read_keep_max;
    while (UINT32_C(1) << pool->shift < pool->bytes)
        pool->shift++;
    count_max = UINT32_MAX >> pool->shift;
    if (count_max > COUNT_MAX)
        count_max = COUNT_MAX;
    GYRE_ASSERT(pool->wanted < count_max);
    pool->count =
        count_max - pool->wanted < pool->kept_max ? count_max : pool->wanted + pool->kept_max;
    pool->ring_entries = 1;
    while (pool->ring_entries < pool->count)
        pool->ring_entries *= 2;
}

static int allocate(gyrei_uring_pool *pool)
{
    pool->ring = pool->env->sys->map(pool->env, ring_bytes(pool));
    pool->arena = pool->env->sys->map(pool->env, arena_bytes(pool));
    pool->buffers = gyrei_loop_alloc(pool->loop, pool->count * sizeof(*pool->buffers));
    pool->spare = gyrei_loop_alloc(pool->loop, pool->count * sizeof(*pool->spare));
    if (pool->ring == NULL || pool->arena == NULL || pool->buffers == NULL || pool->spare == NULL)
        return GYRE_ENOMEM;
    for (uint32_t i = pool->count; i > 0; i--)
        pool->spare[pool->spare_count++] = (uint16_t)(i - 1);
    return 0;
}

static int try_open(gyrei_uring_pool *pool, gyre_loop *loop, const gyrei_backend_config *config,
                    int ring_fd, bool incremental)
{
    int error;

    *pool =
        (gyrei_uring_pool){.env = gyrei_loop_env(loop), .loop = loop, .incremental = incremental};
    choose_size(pool, config);
    error = allocate(pool);
    if (error == 0)
        error = register_ring(pool, ring_fd, incremental ? GYREI_URING_PBUF_INCREMENTAL : 0);
    if (error < 0) {
        gyrei_uring_pool_close(pool);
        return error;
    }
    refill(pool);
    return 0;
}

int gyrei_uring_pool_open(gyrei_uring_pool *pool, gyre_loop *loop,
                          const gyrei_backend_config *config, int ring_fd)
{
    const int error = try_open(pool, loop, config, ring_fd, true);

    return error == GYRE_EINVAL ? try_open(pool, loop, config, ring_fd, false) : error;
}

int gyrei_uring_pool_renew(gyrei_uring_pool *pool, int ring_fd)
{
    int error;

    pool->tail = 0;
    io_uring_smp_store_release(&pool->ring->tail, pool->tail);
    error = register_ring(pool, ring_fd, pool->incremental ? GYREI_URING_PBUF_INCREMENTAL : 0);
    if (error < 0)
        return error;
    for (uint32_t i = 0; i < pool->count; i++) {
        if (!pool->buffers[i].provided)
            continue;
        pool->buffers[i].provided = false;
        pool->provided--;
        reckon(pool, (uint16_t)i);
    }
    refill(pool);
    return 0;
}

void gyrei_uring_pool_close(gyrei_uring_pool *pool)
{
    if (pool->ring != NULL)
        pool->env->sys->unmap(pool->env, pool->ring, ring_bytes(pool));
    if (pool->arena != NULL)
        pool->env->sys->unmap(pool->env, pool->arena, arena_bytes(pool));
    gyrei_loop_free(pool->loop, pool->buffers, pool->count * sizeof(*pool->buffers));
    gyrei_loop_free(pool->loop, pool->spare, pool->count * sizeof(*pool->spare));
    pool->ring = NULL;
    pool->arena = NULL;
    pool->buffers = NULL;
    pool->spare = NULL;
}
