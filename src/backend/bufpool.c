/*
 * Receive buffers: a short array, searched from its beginning, so that the first free one is the
 * one that was used last.
 */
#include "backend/bufpool.h"

enum { LENT = GYREI_BUFPOOL_LENT, KEPT = GYREI_BUFPOOL_KEPT };

int gyrei_bufpool_init(gyrei_bufpool *pool, gyre_loop *loop, uint32_t buffers, uint32_t bytes,
                       uint32_t kept_max)
{
    *pool = (gyrei_bufpool){.env = gyrei_loop_env(loop),
                            .loop = loop,
                            .buffers = buffers,
                            .bytes = bytes,
                            .kept_max = kept_max};
    pool->entries = gyrei_loop_alloc(loop, (buffers + kept_max) * sizeof(gyrei_bufpool_entry));
    if (pool->entries == NULL)
        return GYRE_ENOMEM;
    while (pool->count < buffers) {
        char *base = pool->env->sys->map(pool->env, bytes);

        if (base == NULL) {
            gyrei_bufpool_close(pool);
            return GYRE_ENOMEM;
        }
        pool->entries[pool->count++].base = base;
    }
    return 0;
}

void gyrei_bufpool_close(gyrei_bufpool *pool)
{
    while (pool->count > 0)
        pool->env->sys->unmap(pool->env, pool->entries[--pool->count].base, pool->bytes);
    gyrei_loop_free(pool->loop, pool->entries,
                    (pool->buffers + pool->kept_max) * sizeof(gyrei_bufpool_entry));
    pool->entries = NULL;
}

char *gyrei_bufpool_lend_other(gyrei_bufpool *pool)
{
    for (uint32_t i = 0; i < pool->count; i++) {
        gyrei_bufpool_entry *entry = &pool->entries[i];

        if (entry->state == 0) {
            entry->state = LENT;
            return entry->base;
        }
    }
    return NULL;
}

static gyrei_bufpool_entry *find(const gyrei_bufpool *pool, const void *base)
{
    const char *byte = base;

    for (uint32_t i = 0; i < pool->count; i++) {
        gyrei_bufpool_entry *entry = &pool->entries[i];

        if (byte >= entry->base && byte < entry->base + pool->bytes)
            return entry;
    }
    GYRE_ASSERT(byte == NULL); /* no receive buffer of this loop */
    return NULL;
}

void gyrei_bufpool_release_other(gyrei_bufpool *pool, const void *base)
{
    gyrei_bufpool_entry *entry = find(pool, base);

    GYRE_ASSERT((entry->state & LENT) != 0);
    entry->state &= ~(uint32_t)LENT;
}

/* As many as before shall be left to lend: what was kept once and came back, or a new one. */
static bool replace(gyrei_bufpool *pool)
{
    if (pool->count - pool->kept > pool->buffers)
        return true;
    pool->entries[pool->count].base = pool->env->sys->map(pool->env, pool->bytes);
    if (pool->entries[pool->count].base == NULL)
        return false;
    pool->count++;
    return true;
}

int gyrei_bufpool_keep(gyrei_bufpool *pool, const void *base)
{
    gyrei_bufpool_entry *entry = find(pool, base);

    GYRE_ASSERT((entry->state & LENT) != 0);
    if ((entry->state & KEPT) != 0)
        return GYRE_EALREADY;
    if (pool->kept == pool->kept_max || !replace(pool))
        return GYRE_ENOBUFS;
    entry->state |= KEPT;
    pool->kept++;
    return 0;
}

void gyrei_bufpool_unkeep(gyrei_bufpool *pool, const void *base)
{
    gyrei_bufpool_entry *entry = find(pool, base);

    GYRE_ASSERT((entry->state & KEPT) != 0);
    entry->state &= ~(uint32_t)KEPT;
    pool->kept--;
}

/* Two entries that share a byte would hand it out twice. */
static bool overlaps(const gyrei_bufpool *pool, uint32_t index)
{
    const char *base = pool->entries[index].base;

    for (uint32_t i = 0; i < index; i++) {
        const char *other = pool->entries[i].base;

        if (base < other + pool->bytes && other < base + pool->bytes)
            return true;
    }
    return false;
}

const char *gyrei_bufpool_verify(const gyrei_bufpool *pool, uint32_t lent_max)
{
    uint32_t lent = 0;
    uint32_t kept = 0;

    if (pool->count > pool->buffers + pool->kept_max || pool->kept > pool->kept_max)
        return "more receive buffers than there may be";
    for (uint32_t i = 0; i < pool->count; i++) {
        lent += (pool->entries[i].state & LENT) != 0;
        kept += (pool->entries[i].state & KEPT) != 0;
        if (overlaps(pool, i))
            return "a receive buffer is there twice";
    }
    if (kept != pool->kept)
        return "kept buffers are miscounted";
    return lent <= lent_max ? NULL : "a receive buffer is lent, and no callback has it";
}
