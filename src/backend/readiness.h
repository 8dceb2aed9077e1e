/*
 * What epoll.c, poll.c and the simulator's readiness mode share: the seam's functions that lead
 * straight to ready.c. A backend that is nothing but a poller is GYREI_READINESS_BACKEND.
 */
#ifndef GYREI_BACKEND_READINESS_H
#define GYREI_BACKEND_READINESS_H

#include "backend/ready.h"

/* Opens a gyrei_ready on `ops` as a backend of its own. */
int gyrei_readiness_open(gyre_loop *loop, const gyrei_backend_config *config,
                         const gyrei_poller_ops *ops, gyrei_backend **backend);

void gyrei_readiness_close(gyrei_backend *backend);
int gyrei_readiness_enable(gyrei_backend *backend);
int gyrei_readiness_attach(gyrei_backend *backend, int fd, bool foreign);
void gyrei_readiness_forget(gyrei_backend *backend, int fd);
void gyrei_readiness_leave(gyrei_backend *backend, int fd);
int gyrei_readiness_submit(gyrei_backend *backend, gyre_op *op);
void gyrei_readiness_cancel(gyrei_backend *backend, gyre_op *op);
void gyrei_readiness_change_events(gyrei_backend *backend, gyre_op *op);
bool gyrei_readiness_perform(gyrei_backend *backend, gyre_op *op, gyrei_result *result);
bool gyrei_readiness_recv_begin(gyrei_backend *backend, gyre_op *op, gyrei_recv_call *call);
bool gyrei_readiness_recv_end(gyrei_backend *backend, gyre_op *op, const gyrei_recv_call *call,
                              int64_t got, gyrei_result *result);
bool gyrei_readiness_accept_end(gyrei_backend *backend, gyre_op *op, int fd, gyrei_result *result);
int gyrei_readiness_wait_begin(gyrei_backend *backend, uint64_t timeout_ns, gyrei_wait_call *call);
int gyrei_readiness_wait_end(gyrei_backend *backend, const gyrei_wait_call *call, int result);
int gyrei_readiness_forked(gyrei_backend *backend);
int gyrei_readiness_fd(gyrei_backend *backend);
int gyrei_readiness_flush(gyrei_backend *backend);
char *gyrei_readiness_buf_base(gyrei_backend *backend, uint32_t offset);
int gyrei_readiness_buf_keep(gyrei_backend *backend, const void *base);
void gyrei_readiness_buf_release(gyrei_backend *backend, const void *base);
void gyrei_readiness_buf_unkeep(gyrei_backend *backend, const void *base);
const char *gyrei_readiness_verify(gyrei_backend *backend);

/* The members of a gyrei_backend_ops after its name and open. */
#define GYREI_READINESS_BACKEND                                                                    \
    .close = gyrei_readiness_close, .enable = gyrei_readiness_enable,                              \
    .attach = gyrei_readiness_attach, .forget = gyrei_readiness_forget,                            \
    .leave = gyrei_readiness_leave, .submit = gyrei_readiness_submit,                              \
    .cancel = gyrei_readiness_cancel, .change_events = gyrei_readiness_change_events,              \
    .perform = gyrei_readiness_perform, .recv_begin = gyrei_readiness_recv_begin,                  \
    .recv_end = gyrei_readiness_recv_end, .accept_end = gyrei_readiness_accept_end,                \
    .wait_begin = gyrei_readiness_wait_begin, .wait_end = gyrei_readiness_wait_end,                \
    .forked = gyrei_readiness_forked, .fd = gyrei_readiness_fd, .flush = gyrei_readiness_flush,    \
    .buf_base = gyrei_readiness_buf_base, .buf_keep = gyrei_readiness_buf_keep,                    \
    .buf_release = gyrei_readiness_buf_release, .buf_unkeep = gyrei_readiness_buf_unkeep,          \
    .verify = gyrei_readiness_verify

#endif
