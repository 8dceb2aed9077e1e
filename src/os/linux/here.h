/*
 * For os/here.h: Linux's calls. The first functions are the real kernel's, and those of the table
 * in linux.c are made of them; the others are for callers, and look which kernel it is.
 */
#ifndef GYREI_OS_LINUX_HERE_H
#define GYREI_OS_LINUX_HERE_H

#include "os/linux/call.h"

#include <limits.h>
#include <sys/uio.h>

#define GYREI_RARELY(condition) __builtin_expect(condition, 0)

/* ---- the real kernel ---- */

/* What gyrei_call says, as the table wants it. */
GYREI_HERE int64_t gyrei_os_answer(long result)
{
    return GYREI_RARELY(result < 0) ? gyrei_os_error((int)-result) : result;
}

GYREI_HERE int gyrei_os_here_accept(int fd)
{
    long result;

    do {
        result = gyrei_call_accept(fd, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (GYREI_RARELY(result == -EINTR));
    return (int)gyrei_os_answer(result);
}

GYREI_HERE int64_t gyrei_os_here_recv(int fd, void *base, size_t len)
{
    long result;

    do {
        result = gyrei_call_recv(fd, base, len);
    } while (GYREI_RARELY(result == -EINTR));
    return gyrei_os_answer(result);
}

GYREI_HERE int64_t gyrei_os_here_send(int fd, const void *base, size_t len)
{
    long result;

    do {
        result = gyrei_call_send(fd, base, len);
    } while (GYREI_RARELY(result == -EINTR));
    return gyrei_os_answer(result);
}

GYREI_HERE int64_t gyrei_os_here_sendv(int fd, const gyre_buf *bufs, uint32_t count)
{
    union {
        const gyre_buf *bufs;
        struct iovec *vectors;
    } array = {.bufs = bufs};
    const struct msghdr message = {
        .msg_iov = array.vectors,
        .msg_iovlen = count < IOV_MAX ? count : IOV_MAX,
    };
    long result;

    do {
        result = gyrei_call_sendmsg(fd, &message);
    } while (GYREI_RARELY(result == -EINTR));
    return gyrei_os_answer(result);
}

/* The descriptor is gone even when close says EINTR: never closed a second time. */
GYREI_HERE int gyrei_os_here_close(int fd)
{
    const long result = gyrei_call_close(fd);

    return result == -EINTR ? 0 : (int)gyrei_os_answer(result);
}

GYREI_HERE int gyrei_os_here_epoll_ctl(int epoll, int how, int fd, struct epoll_event *event)
{
    return (int)gyrei_os_answer(gyrei_call_epoll_ctl(epoll, how, fd, event));
}

/* Rounded up, so that a kernel without nanoseconds never wakes us before the deadline. */
static inline int gyrei_os_milliseconds(uint64_t timeout_ns)
{
    const uint64_t ms = (timeout_ns + GYRE_MILLISECOND - 1) / GYRE_MILLISECOND;

    return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

static inline struct timespec gyrei_os_interval(uint64_t timeout_ns)
{
    return (struct timespec){.tv_sec = (time_t)(timeout_ns / GYRE_SECOND),
                             .tv_nsec = (long)(timeout_ns % GYRE_SECOND)};
}

GYREI_HERE int gyrei_os_here_epoll_wait(int epoll, struct epoll_event *events, int max,
                                        uint64_t timeout_ns)
{
    struct timespec timeout;
    long result;

    if (timeout_ns == 0 || timeout_ns == UINT64_MAX) {
        result = gyrei_call_epoll_wait(epoll, events, max, timeout_ns == 0 ? 0 : -1);
    } else {
        timeout = gyrei_os_interval(timeout_ns);
        result = gyrei_call_epoll_pwait2(epoll, events, max, &timeout);
        if (GYREI_RARELY(result == -ENOSYS || result == -EPERM))
            result = gyrei_call_epoll_wait(epoll, events, max, gyrei_os_milliseconds(timeout_ns));
    }
    return (int)gyrei_os_answer(result);
}

GYREI_HERE int gyrei_os_here_uring_enter(int ring, uint32_t submit, uint32_t wait, uint32_t flags,
                                         const void *arg, size_t arg_size)
{
    const long result =
        gyrei_call(SYS_io_uring_enter, ring, submit, wait, flags, (long)arg, (long)arg_size);

    if (GYREI_RARELY(result == -EINTR))
        gyrei_os_run_signal_handlers();
    return (int)gyrei_os_answer(result);
}

/* ---- for callers ---- */

GYREI_HERE int gyrei_here_accept(const gyrei_env *env, int fd)
{
    if (GYREI_RARELY(env->sys->accept != gyrei_os_accept))
        return env->sys->accept(env, fd);
    return gyrei_os_here_accept(fd);
}

GYREI_HERE int64_t gyrei_here_recv(const gyrei_env *env, const gyrei_recv_call *call)
{
    if (GYREI_RARELY(env->sys->recv != gyrei_os_recv))
        return env->sys->recv(env, call->fd, call->base, call->len);
    return gyrei_os_here_recv(call->fd, call->base, call->len);
}

GYREI_HERE int64_t gyrei_here_send(const gyrei_env *env, const gyrei_send_call *call)
{
    const gyre_buf *bufs = call->bufs;
    const uint32_t count = call->count;

    if (GYREI_RARELY(env->sys->send != gyrei_os_send || env->sys->sendv != gyrei_os_sendv))
        return count == 1 ? env->sys->send(env, call->fd, bufs->base, bufs->len)
                          : env->sys->sendv(env, call->fd, bufs, count);
    return count == 1 ? gyrei_os_here_send(call->fd, bufs->base, bufs->len)
                      : gyrei_os_here_sendv(call->fd, bufs, count);
}

GYREI_HERE int gyrei_here_close(const gyrei_env *env, int fd)
{
    if (GYREI_RARELY(env->sys->close != gyrei_os_close))
        return env->sys->close(env, fd);
    return gyrei_os_here_close(fd);
}

GYREI_HERE int gyrei_here_epoll_ctl(const gyrei_env *env, int epoll, int how, int fd,
                                    struct epoll_event *event)
{
    if (GYREI_RARELY(env->sys->epoll_ctl != gyrei_os_epoll_ctl))
        return env->sys->epoll_ctl(env, epoll, how, fd, event);
    return gyrei_os_here_epoll_ctl(epoll, how, fd, event);
}

GYREI_HERE int gyrei_here_epoll_wait(const gyrei_env *env, const gyrei_wait_call *call)
{
    if (GYREI_RARELY(env->sys->epoll_wait != gyrei_os_epoll_wait))
        return env->sys->epoll_wait(env, call->fd, call->epoll.events, call->epoll.max,
                                    call->epoll.timeout_ns);
    return gyrei_os_here_epoll_wait(call->fd, call->epoll.events, call->epoll.max,
                                    call->epoll.timeout_ns);
}

GYREI_HERE int gyrei_here_uring_enter(const gyrei_env *env, const gyrei_wait_call *call)
{
    if (GYREI_RARELY(env->sys->uring_enter != gyrei_os_uring_enter))
        return env->sys->uring_enter(env, call->fd, call->uring.submit, call->uring.wait,
                                     call->uring.flags, call->uring.arg, call->uring.arg_size);
    return gyrei_os_here_uring_enter(call->fd, call->uring.submit, call->uring.wait,
                                     call->uring.flags, call->uring.arg, call->uring.arg_size);
}

GYREI_HERE int gyrei_here_wait(const gyrei_env *env, const gyrei_wait_call *call)
{
    return call->kind == GYREI_WAIT_EPOLL ? gyrei_here_epoll_wait(env, call)
                                          : gyrei_here_uring_enter(env, call);
}

#endif
