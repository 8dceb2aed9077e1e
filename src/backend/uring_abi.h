/*
 * What the kernel knows of io_uring and liburing 2.3's header does not: constants and layouts of
 * the system calls, under names of our own, so that a newer header does no harm. Each is probed
 * before use. Nothing here changes how the queues are laid out.
 */
#ifndef GYREI_BACKEND_URING_ABI_H
#define GYREI_BACKEND_URING_ABI_H

#include <stdint.h>

/*
 * Linux 6.12, in the flags of a buffer ring: receives fill one buffer after another from where the
 * last one ended, instead of taking a buffer each.
 */
#define GYREI_URING_PBUF_INCREMENTAL 2u

/* Linux 6.12, in a completion: the kernel goes on filling this buffer. */
#define GYREI_URING_CQE_BUFFER_MORE (1u << 4)

/* The argument of IORING_REGISTER_PBUF_RING; `flags` was padding until Linux 6.4. */
typedef struct gyrei_uring_buf_reg {
    uint64_t ring_addr;
    uint32_t ring_entries;
    uint16_t bgid;
    uint16_t flags;
    uint64_t resv[3];
} gyrei_uring_buf_reg;

#endif
