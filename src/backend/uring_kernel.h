/*
 * Kernel constants that liburing 2.3's header does not know yet. Each is probed before it is used,
 * by asking the kernel for it; none of them changes the layout of the rings.
 */
#ifndef GYREI_BACKEND_URING_KERNEL_H
#define GYREI_BACKEND_URING_KERNEL_H

#include <liburing.h>

/* io_uring_buf_reg.flags: a buffer is used up piece by piece (Linux 6.12). */
#define GYREI_URING_PBUF_RING_INC 2u
/* io_uring_cqe.flags: the kernel goes on filling this buffer (Linux 6.12). */
#define GYREI_URING_CQE_F_BUF_MORE (1u << 4)

/* io_uring_buf_reg, of which older headers call the flags padding. */
typedef struct gyrei_uring_buf_reg {
    uint64_t ring_addr;
    uint32_t ring_entries;
    uint16_t bgid;
    uint16_t flags;
    uint64_t reserved[3];
} gyrei_uring_buf_reg;
_Static_assert(sizeof(gyrei_uring_buf_reg) == sizeof(struct io_uring_buf_reg), "the kernel's");

/*
 * What we cannot do without; a kernel that refuses one of these is served by epoll. DEFER_TASKRUN
 * (Linux 6.1) implies multishot receive and accept, buffer rings and synchronous cancel.
 */
#define GYREI_URING_SETUP                                                                          \
    (IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN |                   \
     IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |         \
     IORING_SETUP_R_DISABLED)

#endif
