/*
 * Provided buffers: memory that the kernel picks from when bytes have arrived, so that an idle
 * connection holds none.
 *
 * Where the kernel can (Linux 6.12), a buffer is filled piece by piece: a few large ones then serve
 * small and large messages alike and stay in the cache. A buffer goes back when the kernel is
 * through with it and every result in it was given back; `parts` counts those. The user may keep
 * some, but never so many that receiving stops.
 */
#include "backend/uring.h"

enum {
    INCREMENTAL_COUNT = 8, /* of 64 KiB: half of a core's second cache at most */
    WHOLE_COUNT = 64,
    WHOLE_BYTES = 16384,
    LEFT_MIN = 2 /* buffers that keeping must leave to the kernel */
};

static size_t ring_bytes(const gyrei_uring_buffers *buffers)
{
    const size_t bytes = buffers->count * sizeof(struct io_uring_buf);

    return (bytes + 4095) / 4096 * 4096;
}

static size_t arena_bytes(const gyrei_uring_buffers *buffers)
{
    return (size_t)buffers->count * buffers->bytes;
}

/* Hands a buffer to the kernel; it sees it once the tail is published. */
static void provide(gyrei_uring_buffers *buffers, uint32_t id)
{
    struct io_uring_buf *entry = &buffers->ring->bufs[buffers->tail & (buffers->count - 1)];

    entry->addr = (uint64_t)(uintptr_t)(buffers->arena + (size_t)id * buffers->bytes);
    entry->len = buffers->bytes;
    entry->bid = (uint16_t)id;
    buffers->tail++;
    io_uring_smp_store_release(&buffers->ring->tail, buffers->tail);
    buffers->buffers[id] = (gyrei_uring_buffer){.filled = 0};
}

static int register_ring(gyrei_uring_buffers *buffers, gyrei_uring_ring *ring, uint16_t flags)
{
    gyrei_uring_buf_reg reg = {
        .ring_addr = (uint64_t)(uintptr_t)buffers->ring,
        .ring_entries = buffers->count,
        .bgid = GYREI_URING_GROUP,
        .flags = flags,
    };

    return buffers->env->sys->uring_register(buffers->env, ring->ring.ring_fd,
                                             IORING_REGISTER_PBUF_RING, &reg, 1);
}

static uint32_t power_of_two(uint32_t count)
{
    uint32_t power = 1;

    while (power < count)
        power *= 2;
    return power;
}

static int map_memory(gyrei_uring_buffers *buffers)
{
    const gyrei_env *env = buffers->env;

    buffers->buffers = gyrei_loop_alloc(buffers->loop, buffers->count * sizeof(gyrei_uring_buffer));
    buffers->ring = env->sys->map(env, ring_bytes(buffers));
    buffers->arena = env->sys->map(env, arena_bytes(buffers));
    if (buffers->buffers != NULL && buffers->ring != NULL && buffers->arena != NULL)
        return 0;
    gyrei_uring_buffers_close(buffers);
    return GYRE_ENOMEM;
}

static int try_open(gyrei_uring_buffers *buffers, gyrei_uring_ring *ring, uint16_t flags)
{
    int error = map_memory(buffers);

    if (error != 0)
        return error;
    error = register_ring(buffers, ring, flags);
    if (error < 0) {
        gyrei_uring_buffers_close(buffers);
        return error;
    }
    for (uint32_t id = 0; id < buffers->count; id++)
        provide(buffers, id);
    return 0;
}

int gyrei_uring_buffers_open(gyrei_uring_buffers *buffers, gyre_loop *loop, gyrei_uring_ring *ring,
                             const gyrei_backend_config *config)
{
    const bool asked = config->read_buffers != 0;
    int error;

    *buffers = (gyrei_uring_buffers){.env = gyrei_loop_env(loop), .loop = loop};
    buffers->count = power_of_two(asked ? config->read_buffers : INCREMENTAL_COUNT);
    buffers->bytes = config->read_buffer_bytes;
    buffers->incremental = true;
    buffers->kept_max = config->read_keep_max;
    error = try_open(buffers, ring, GYREI_URING_PBUF_RING_INC);
    if (error != GYRE_EINVAL)
        return error;
    buffers->incremental = false;
    if (!asked && buffers->bytes > WHOLE_BYTES) {
        buffers->count = WHOLE_COUNT;
        buffers->bytes = WHOLE_BYTES;
    }
    return try_open(buffers, ring, 0);
}

void gyrei_uring_buffers_close(gyrei_uring_buffers *buffers)
{
    const gyrei_env *env = buffers->env;

    if (buffers->ring != NULL)
        env->sys->unmap(env, buffers->ring, ring_bytes(buffers));
    if (buffers->arena != NULL)
        env->sys->unmap(env, buffers->arena, arena_bytes(buffers));
    gyrei_loop_free(buffers->loop, buffers->buffers, buffers->count * sizeof(gyrei_uring_buffer));
    buffers->ring = NULL;
    buffers->arena = NULL;
    buffers->buffers = NULL;
}

int gyrei_uring_buffers_forked(gyrei_uring_buffers *buffers, gyrei_uring_ring *ring)
{
    const int error = register_ring(
        buffers, ring, buffers->incremental ? (uint16_t)GYREI_URING_PBUF_RING_INC : (uint16_t)0);

    if (error < 0)
        return error;
    buffers->tail = 0;
    buffers->out = 0;
    for (uint32_t id = 0; id < buffers->count; id++) {
        gyrei_uring_buffer *buffer = &buffers->buffers[id];

        if (buffer->parts == 0) {
            provide(buffers, id);
        } else {
            buffer->used_up = true;
            buffers->out++;
        }
    }
    return 0;
}

uint32_t gyrei_uring_buffers_received(gyrei_uring_buffers *buffers, uint32_t cqe_flags,
                                      uint32_t len)
{
    const uint32_t id = cqe_flags >> IORING_CQE_BUFFER_SHIFT;
    gyrei_uring_buffer *buffer = &buffers->buffers[id];
    const uint32_t offset = id * buffers->bytes + buffer->filled;

    GYRE_ASSERT(id < buffers->count && len <= buffers->bytes - buffer->filled);
    buffer->filled += len;
    buffer->parts++;
    if (!buffers->incremental || (cqe_flags & GYREI_URING_CQE_F_BUF_MORE) == 0) {
        buffer->used_up = true;
        buffers->out++;
    }
    return offset;
}

static uint32_t id_of(const gyrei_uring_buffers *buffers, const void *base)
{
    const size_t offset = (size_t)((const char *)base - buffers->arena);

    GYRE_ASSERT(offset < arena_bytes(buffers));
    return (uint32_t)(offset / buffers->bytes);
}

void gyrei_uring_buffers_release(gyrei_uring_buffers *buffers, const void *base)
{
    const uint32_t id = id_of(buffers, base);
    gyrei_uring_buffer *buffer = &buffers->buffers[id];

    GYRE_ASSERT(buffer->parts > 0);
    buffer->parts--;
    if (buffer->parts > 0 || !buffer->used_up)
        return;
    buffers->out--;
    provide(buffers, id);
}

int gyrei_uring_buffers_keep(gyrei_uring_buffers *buffers, const void *base)
{
    gyrei_uring_buffer *buffer = &buffers->buffers[id_of(buffers, base)];

    if (buffer->kept == 0) {
        if (buffers->kept + LEFT_MIN >= buffers->count)
            return GYRE_ENOBUFS;
        buffers->kept++;
    }
    if (buffers->kept_max == 0) {
        buffers->kept -= buffer->kept == 0;
        return GYRE_ENOBUFS;
    }
    buffers->kept_max--;
    buffer->kept++;
    buffer->parts++;
    return 0;
}

void gyrei_uring_buffers_unkeep(gyrei_uring_buffers *buffers, const void *base)
{
    gyrei_uring_buffer *buffer = &buffers->buffers[id_of(buffers, base)];

    GYRE_ASSERT(buffer->kept > 0);
    buffer->kept--;
    buffers->kept -= buffer->kept == 0;
    buffers->kept_max++;
    gyrei_uring_buffers_release(buffers, base);
}
