/*
 * Operations on top of readiness: try, park, retry.
 *
 * The reactor of the textbooks, written once for every kernel that can only say "this descriptor is
 * readable". A backend on it is thin: a poller that knows descriptors and masks, not operations.
 *
 *   backend (epoll.c, poll.c, the simulator) = gyrei_ready + a table of gyrei_poller_ops
 *
 * io_uring embeds one too, for foreign descriptors only.
 */
#ifndef GYREI_BACKEND_READY_H
#define GYREI_BACKEND_READY_H

#include "backend/bufpool.h"
#include "core/backend.h"

typedef struct gyrei_ready gyrei_ready;

/* The id of core's eventfd; pollers keep it to themselves. */
#define GYREI_READY_WAKE UINT64_MAX
/* The only id that no descriptor has: generations begin at 1. */
#define GYREI_READY_NONE UINT64_C(0)

/*
 * What a kernel must be able to do. Masks are sets of GYRE_POLL_*; interest is level-triggered, and
 * errors and hang-ups are reported whether asked for or not. `id` comes back with each event.
 */
typedef struct gyrei_poller_ops {
    /* Makes ready->poller, which also watches ready->wake_fd (unless that is < 0). */
    int (*open)(gyrei_ready *ready);
    void (*close)(gyrei_ready *ready);
    /*
     * Tells the kernel of each change that gyrei_ready_next_change gives, and gyrei_ready_changed
     * what it says: 0 or an error. The loop is the poller's so that its system calls are made in
     * one frame (os/here.h).
     */
    void (*arm)(gyrei_ready *ready);
    /*
     * The interest in `fd`, which is not 0, ends because the descriptor is closed next. `foreign`:
     * its owner may have given it other names (dup, fork), so that the close alone may not end it.
     */
    void (*forget)(gyrei_ready *ready, int fd, bool foreign);
    /*
     * Waits, and calls gyrei_ready_event for each event. 0 or an error; GYRE_EINTR is none. In the
     * halves of the seam; the second may be NULL where the first is all.
     */
    int (*wait_begin)(gyrei_ready *ready, uint64_t timeout_ns, gyrei_wait_call *call);
    int (*wait_end)(gyrei_ready *ready, int result);
    /* Replaces the kernel's object by a fresh one that watches nothing but wake_fd. */
    int (*renew)(gyrei_ready *ready);
    /* A descriptor that polls readable when wait would find something; GYRE_ENOTSUP. */
    int (*fd)(gyrei_ready *ready);
} gyrei_poller_ops;

/* The interest in `fd` changes from one mask to another; 0 means not watched at all. */
typedef struct gyrei_ready_change {
    uint64_t id;
    int fd;
    uint32_t from;
    uint32_t to;
} gyrei_ready_change;

/* What is known of one descriptor number. */
typedef struct gyrei_ready_slot {
    gyre_link parked; /* ops that wait for it */
    uint32_t generation;
    uint32_t next_dirty; /* descriptor + 1 of the next in ready->dirty; 0: last */
    uint8_t armed;       /* what the poller was told */
    uint8_t flags;
    int8_t eager; /* listener: how well it paid to accept once more */
} gyrei_ready_slot;

#define GYREI_READY_CHUNK 256u

struct gyrei_ready {
    gyre_loop *loop;
    const gyrei_env *env;
    const gyrei_poller_ops *ops;
    void *poller;
    int wake_fd;
    gyrei_ready_slot **chunks; /* by descriptor number; they never move */
    uint32_t chunk_count;
    uint32_t dirty;    /* descriptor + 1 of the first whose interest may have to change; 0: none */
    bool stale;        /* a descriptor that is closed here lives on elsewhere and reports events */
    bool shared;       /* that has happened: from now on interest is ended before a close */
    gyre_link starved; /* receives that found all buffers lent */
    gyrei_bufpool buffers;
};

/* ---- for a backend ---- */

/* `config` NULL: neither buffers nor wake_fd, for POLL ops only. GYRE_ENOMEM and the poller's. */
int gyrei_ready_init(gyrei_ready *ready, gyre_loop *loop, const gyrei_poller_ops *ops,
                     const gyrei_backend_config *config);
void gyrei_ready_close(gyrei_ready *ready);

/* As the functions of the same names in gyrei_backend_ops. */
int gyrei_ready_attach(gyrei_ready *ready, int fd);
void gyrei_ready_forget(gyrei_ready *ready, int fd);
void gyrei_ready_leave(gyrei_ready *ready, int fd);
int gyrei_ready_submit(gyrei_ready *ready, gyre_op *op);
void gyrei_ready_cancel(gyrei_ready *ready, gyre_op *op);
void gyrei_ready_change_events(gyrei_ready *ready, gyre_op *op);
bool gyrei_ready_perform(gyrei_ready *ready, gyre_op *op, gyrei_result *result);
bool gyrei_ready_accept_end(gyrei_ready *ready, gyre_op *op, int fd, gyrei_result *result);
bool gyrei_ready_recv_begin(gyrei_ready *ready, gyre_op *op, gyrei_recv_call *call);
bool gyrei_ready_recv_end(gyrei_ready *ready, gyre_op *op, const gyrei_recv_call *call, int64_t got,
                          gyrei_result *result);
int gyrei_ready_wait_begin(gyrei_ready *ready, uint64_t timeout_ns, gyrei_wait_call *call);
int gyrei_ready_wait_end(gyrei_ready *ready, const gyrei_wait_call *call, int result);
/* Both, without waiting. */
int gyrei_ready_look(gyrei_ready *ready);
int gyrei_ready_forked(gyrei_ready *ready);
int gyrei_ready_flush(gyrei_ready *ready);
void gyrei_ready_release(gyrei_ready *ready, const void *base);
const char *gyrei_ready_verify(const gyrei_ready *ready);

/* ---- for a poller ---- */

/* The next change of interest; false when the kernel knows all. */
bool gyrei_ready_next_change(gyrei_ready *ready, gyrei_ready_change *change);
/* It was made, or the kernel has refused it with `error`. */
void gyrei_ready_changed(gyrei_ready *ready, const gyrei_ready_change *change, int error);

/* Marks what waits for `events` on the descriptor that `id` was armed for as runnable. */
void gyrei_ready_event(gyrei_ready *ready, uint64_t id, uint32_t events);

#endif
