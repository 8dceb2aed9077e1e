/*
 * The loop's door for other threads, and wakers: a coalesced call on the loop's thread without a
 * handle.
 */
#ifndef GYREI_CORE_ASYNC_H
#define GYREI_CORE_ASYNC_H

#include "core/env.h"
#include "gyre/async.h"
#include "gyre/loop.h"

#include <stdbool.h>

/* `context` as given to gyrei_waker_init. Called in the pending phase or right after poll. */
typedef void (*gyrei_waker_run)(gyre_loop *loop, void *context);

/* Private to async.c, and here for the functions that each turn calls. */
struct gyre_remote {
    uint32_t references;
    uint32_t sleeping;    /* written by the loop's thread only */
    gyre_post_node *head; /* newest first; SHUT once the loop is closed */
    uintptr_t owner;      /* the loop's thread, once it has run */
    int wake_fd;          /* -1 in a waker's remote */
    uint32_t pending;     /* waker: sent and not yet begun to run */
    gyre_remote *parent;  /* waker: the loop's remote, counted */
    gyre_loop *loop;      /* touched on the loop's thread only */
    gyrei_waker_run run;  /* NULL once the waker is closed; loop's thread only */
    void *context;
    uint32_t closed; /* waker: gyrei_waker_close was called */
    gyre_post_node node;
    const gyrei_env *env;
    gyre_allocator allocator;
};

/*
 * Makes a remote on which gyre_async_send has `run` called on the loop's thread. It is no handle:
 * it neither keeps the loop alive nor is counted. GYRE_ENOMEM. The caller holds one reference and
 * ends the waker with gyrei_waker_close.
 */
int gyrei_waker_init(gyre_loop *loop, gyrei_waker_run run, void *context, gyre_remote **waker);

/* No `run` comes from now on; sends say GYRE_EGONE. Drops the caller's reference. Loop's thread. */
void gyrei_waker_close(gyre_remote *waker);

/* ---- for loop.c ---- */

/* Makes loop->remote with its eventfd. */
int gyrei_remote_open(gyre_loop *loop);
/* The eventfd that wakes the loop. */
int gyrei_remote_wake_fd(const gyre_remote *remote);
/* Writes to the eventfd. */
void gyrei_remote_wake(const gyre_remote *remote);
/* Appends everything posted so far to loop->posted, oldest first. */
void gyrei_posts_take(gyre_loop *loop);
/* Runs the first of loop->posted; false if there is none. */
bool gyrei_posts_run_next(gyre_loop *loop);
/*
 * Shuts the door: later posts say GYRE_EGONE, what waits is called with GYRE_ECANCELED. The loop
 * keeps its reference, and with it the eventfd, until its backend is closed.
 */
void gyrei_remote_shut(gyre_loop *loop);
/* In a forked child: an eventfd of its own, under the same number. */
int gyrei_remote_forked(gyre_loop *loop);

/*
 * Says that the loop is about to sleep, so that senders write to the eventfd. The caller then looks
 * for posts once more.
 */
static inline void gyrei_remote_sleep(gyre_remote *remote)
{
    __atomic_store_n(&remote->sleeping, 1, __ATOMIC_SEQ_CST);
}

/* The loop has woken. A sender that does not see it yet wakes it once more, for nothing. */
static inline void gyrei_remote_awake(gyre_remote *remote)
{
    if (__atomic_load_n(&remote->sleeping, __ATOMIC_RELAXED) != 0)
        __atomic_store_n(&remote->sleeping, 0, __ATOMIC_RELEASE);
}

/* Something was posted and not yet taken. */
static inline bool gyrei_remote_has_posts(const gyre_remote *remote)
{
    return __atomic_load_n(&remote->head, __ATOMIC_SEQ_CST) != NULL;
}

#endif
