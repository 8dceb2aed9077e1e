/*
 * The seam on one side, ready.c on the other: a backend that is a gyrei_ready and nothing else.
 */
#include "backend/readiness.h"

#include "base/hot.h"

/* The seam's opaque backend is this. */
static gyrei_ready *ready_of(gyrei_backend *backend)
{
    return (gyrei_ready *)(void *)backend;
}

int gyrei_readiness_open(gyre_loop *loop, const gyrei_backend_config *config,
                         const gyrei_poller_ops *ops, gyrei_backend **backend)
{
    gyrei_ready *ready = gyrei_loop_alloc(loop, sizeof(*ready));
    int error;

    if (ready == NULL)
        return GYRE_ENOMEM;
    error = gyrei_ready_init(ready, loop, ops, config);
    if (error != 0) {
        gyrei_loop_free(loop, ready, sizeof(*ready));
        return error;
    }
    *backend = (gyrei_backend *)(void *)ready;
    return 0;
}

void gyrei_readiness_close(gyrei_backend *backend)
{
    gyre_loop *loop = ready_of(backend)->loop;

    gyrei_ready_close(ready_of(backend));
    gyrei_loop_free(loop, backend, sizeof(gyrei_ready));
}

int gyrei_readiness_enable(gyrei_backend *backend)
{
    (void)backend;
    return 0;
}

int gyrei_readiness_attach(gyrei_backend *backend, int fd, bool foreign)
{
    (void)foreign;
    return gyrei_ready_attach(ready_of(backend), fd);
}

void gyrei_readiness_forget(gyrei_backend *backend, int fd)
{
    gyrei_ready_forget(ready_of(backend), fd);
}

void gyrei_readiness_leave(gyrei_backend *backend, int fd)
{
    gyrei_ready_leave(ready_of(backend), fd);
}

int gyrei_readiness_submit(gyrei_backend *backend, gyre_op *op)
{
    return gyrei_ready_submit(ready_of(backend), op);
}

void gyrei_readiness_cancel(gyrei_backend *backend, gyre_op *op)
{
    gyrei_ready_cancel(ready_of(backend), op);
}

void gyrei_readiness_change_events(gyrei_backend *backend, gyre_op *op)
{
    gyrei_ready_change_events(ready_of(backend), op);
}

bool gyrei_readiness_perform(gyrei_backend *backend, gyre_op *op, gyrei_result *result)
{
    return gyrei_ready_perform(ready_of(backend), op, result);
}

GYREI_HOT bool gyrei_readiness_recv_begin(gyrei_backend *backend, gyre_op *op,
                                          gyrei_recv_call *call)
{
    return gyrei_ready_recv_begin(ready_of(backend), op, call);
}

GYREI_HOT bool gyrei_readiness_recv_end(gyrei_backend *backend, gyre_op *op,
                                        const gyrei_recv_call *call, int64_t got,
                                        gyrei_result *result)
{
    return gyrei_ready_recv_end(ready_of(backend), op, call, got, result);
}

bool gyrei_readiness_accept_end(gyrei_backend *backend, gyre_op *op, int fd, gyrei_result *result)
{
    return gyrei_ready_accept_end(ready_of(backend), op, fd, result);
}

GYREI_HOT int gyrei_readiness_wait_begin(gyrei_backend *backend, uint64_t timeout_ns,
                                         gyrei_wait_call *call)
{
    return gyrei_ready_wait_begin(ready_of(backend), timeout_ns, call);
}

GYREI_HOT int gyrei_readiness_wait_end(gyrei_backend *backend, const gyrei_wait_call *call,
                                       int result)
{
    return gyrei_ready_wait_end(ready_of(backend), call, result);
}

int gyrei_readiness_forked(gyrei_backend *backend)
{
    return gyrei_ready_forked(ready_of(backend));
}

int gyrei_readiness_fd(gyrei_backend *backend)
{
    return ready_of(backend)->ops->fd(ready_of(backend));
}

int gyrei_readiness_flush(gyrei_backend *backend)
{
    return gyrei_ready_flush(ready_of(backend));
}

/* Results are received at dispatch: none waits at an offset. */
char *gyrei_readiness_buf_base(gyrei_backend *backend, uint32_t offset)
{
    (void)backend;
    GYRE_ASSERT(offset != offset);
    return NULL;
}

int gyrei_readiness_buf_keep(gyrei_backend *backend, const void *base)
{
    return gyrei_bufpool_keep(&ready_of(backend)->buffers, base);
}

GYREI_HOT void gyrei_readiness_buf_release(gyrei_backend *backend, const void *base)
{
    gyrei_ready_release(ready_of(backend), base);
}

void gyrei_readiness_buf_unkeep(gyrei_backend *backend, const void *base)
{
    gyrei_bufpool_unkeep(&ready_of(backend)->buffers, base);
}

const char *gyrei_readiness_verify(gyrei_backend *backend)
{
    return gyrei_ready_verify(ready_of(backend));
}
