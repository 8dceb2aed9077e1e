/*
 * The loop's door for other threads, and wakers: a coalesced call on the loop's thread without a
 * handle.
 */
#ifndef GYREI_CORE_ASYNC_H
#define GYREI_CORE_ASYNC_H

#include "gyre/async.h"

#include <stdbool.h>

/* `context` as given to gyrei_waker_init. Called in the pending phase or right after poll. */
typedef void (*gyrei_waker_run)(gyre_loop *loop, void *context);

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
/*
 * Says that the loop is about to sleep (true) or has woken; senders write to the eventfd only while
 * it sleeps.
 */
void gyrei_remote_set_sleeping(gyre_remote *remote, bool sleeping);
/* Writes to the eventfd. */
void gyrei_remote_wake(const gyre_remote *remote);
/* Something was posted and not yet taken. */
bool gyrei_remote_has_posts(const gyre_remote *remote);
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

#endif
