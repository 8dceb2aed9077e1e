/*
 * Mode completion: a ring of the simulated kernel. ring.c is the seam and the queue of completions,
 * ring_ops.c the requests that the kernel works on.
 */
#ifndef GYREI_SIM_RING_H
#define GYREI_SIM_RING_H

#include "backend/ready.h"
#include "sim/sim.h"

typedef struct gyrei_sim_completion {
    gyre_link link;
    uint64_t id;
    uint32_t kind;
    int32_t value;
    uint32_t flags; /* GYREI_RESULT_* */
    uint32_t buffer;
} gyrei_sim_completion;

typedef struct gyrei_sim_buffer {
    uint32_t state;  /* a set of GYREI_SIM_LENT and _KEPT; 0: the kernel's */
    uint32_t bytes;  /* that were received into it */
    uint32_t owners; /* found by the audit */
} gyrei_sim_buffer;

enum gyrei_sim_buffer_states { GYREI_SIM_LENT = 1, GYREI_SIM_KEPT = 2 };

typedef struct gyrei_sim_ring {
    gyrei_sim_loop base;
    gyre_sim_host *host;
    gyrei_ready foreign; /* POLL ops */
    bool foreign_used;
    gyre_link requests;
    gyre_link starved;     /* receives that found no buffer */
    gyre_link completions; /* that the loop has not seen */
    char *arena;
    gyrei_sim_buffer *buffers;
    uint32_t buffer_count;
    uint32_t buffer_bytes;
    uint32_t lent;
    uint32_t lent_max; /* without the kept ones */
    uint32_t kept;
    uint32_t kept_max;
} gyrei_sim_ring;

/* ---- ring_verify.c ---- */

/* The audit, as a backend's verify. */
const char *gyrei_sim_ring_verify(gyrei_backend *backend);

/* ---- ring.c ---- */

/* Takes a buffer for a receive; UINT32_MAX: none is free. */
uint32_t gyrei_sim_ring_buffer(gyrei_sim_ring *ring);
/* Gives back a buffer that nobody holds any more. */
void gyrei_sim_ring_give(gyrei_sim_ring *ring, uint32_t index);
void gyrei_sim_ring_push(gyrei_sim_ring *ring, const gyrei_sim_completion *values);

/* ---- ring_ops.c ---- */

void gyrei_sim_request_start(gyrei_sim_ring *ring, gyre_op *op);
void gyrei_sim_request_cancel(gyrei_sim_ring *ring, gyre_op *op);
/* A buffer is free again. */
void gyrei_sim_requests_feed(gyrei_sim_ring *ring);
/* Part of the audit: counts the requests, each of an op that is in the kernel. */
const char *gyrei_sim_requests_verify(const gyrei_sim_ring *ring, uint32_t *count);
/* The process is gone: so are its requests. */
void gyrei_sim_requests_drop(gyrei_sim_ring *ring);

#endif
