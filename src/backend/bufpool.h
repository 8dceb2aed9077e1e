/*
 * The few receive buffers of a readiness backend.
 *
 * A buffer is lent for one result until its callback has returned; the same one is lent first each
 * time, because it is warm in the cache. A lent one is never refilled: a nested turn takes the
 * next. A kept one leaves the pool, and a fresh one takes its place. Pages come from the kernel
 * when they are first written to.
 */
#ifndef GYREI_BACKEND_BUFPOOL_H
#define GYREI_BACKEND_BUFPOOL_H

#include "core/backend.h"

enum gyrei_bufpool_states { GYREI_BUFPOOL_LENT = 1, GYREI_BUFPOOL_KEPT = 2 };

typedef struct gyrei_bufpool_entry {
    char *base;
    uint32_t state; /* a set of gyrei_bufpool_states */
} gyrei_bufpool_entry;

typedef struct gyrei_bufpool {
    const gyrei_env *env;
    gyre_loop *loop;
    gyrei_bufpool_entry *entries; /* buffers + kept_max of them */
    uint32_t count;               /* entries in use */
    uint32_t buffers;             /* that are to be there beside the kept ones */
    uint32_t kept;
    uint32_t kept_max;
    uint32_t bytes; /* of one buffer */
} gyrei_bufpool;

/* GYRE_ENOMEM. */
int gyrei_bufpool_init(gyrei_bufpool *pool, gyre_loop *loop, uint32_t buffers, uint32_t bytes,
                       uint32_t kept_max);
/* Frees all buffers, kept ones too. */
void gyrei_bufpool_close(gyrei_bufpool *pool);
/* The slow halves of the functions below. */
char *gyrei_bufpool_lend_other(gyrei_bufpool *pool);
void gyrei_bufpool_release_other(gyrei_bufpool *pool, const void *base);

/* Lends a buffer of pool->bytes; NULL when all are lent. Mostly it is the first. */
static inline char *gyrei_bufpool_lend(gyrei_bufpool *pool)
{
    gyrei_bufpool_entry *first = pool->entries;

    if (first->state != 0)
        return gyrei_bufpool_lend_other(pool);
    first->state = GYREI_BUFPOOL_LENT;
    return first->base;
}

/* The loop is done with the lent buffer around `base`. */
static inline void gyrei_bufpool_release(gyrei_bufpool *pool, const void *base)
{
    gyrei_bufpool_entry *first = pool->entries;

    if (base == first->base && first->state == GYREI_BUFPOOL_LENT)
        first->state = 0;
    else
        gyrei_bufpool_release_other(pool, base);
}

/* The user holds the lent buffer around `base`. GYRE_ENOBUFS. */
int gyrei_bufpool_keep(gyrei_bufpool *pool, const void *base);
/* The user is done with it. */
void gyrei_bufpool_unkeep(gyrei_bufpool *pool, const void *base);
/* Part of gyrei_loop_verify: at most `lent_max` are lent. */
const char *gyrei_bufpool_verify(const gyrei_bufpool *pool, uint32_t lent_max);

#endif
