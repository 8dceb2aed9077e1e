/*
 * System calls in the frame of who makes them.
 *
 * A processor that comes back from the kernel has forgotten to where functions return. Each
 * function through which a system call returns is a wrong guess, and one is enough to make the
 * kernel's work dearer: bench/README.md. So the turn, which does not return between two requests,
 * makes the calls of a request and of a connection itself. Where the environment is not the real
 * kernel they go through its table, as all others do.
 */
#ifndef GYREI_OS_HERE_H
#define GYREI_OS_HERE_H

#include "os/os.h"

#define GYREI_HERE __attribute__((always_inline)) static inline

#ifdef __linux__

#include "os/linux/call.h"

/* What gyrei_call says, as the table wants it. */
GYREI_HERE int64_t gyrei_here_answer(long result)
{
    return __builtin_expect(result >= 0, 1) ? result : gyrei_os_error((int)-result);
}

/* The descriptor is gone even when close says EINTR: never closed a second time. */
GYREI_HERE int gyrei_here_close(const gyrei_env *env, int fd)
{
    long result;

    if (__builtin_expect(env->sys->close != gyrei_os_close, 0))
        return env->sys->close(env, fd);
    result = gyrei_call_close(fd);
    return result == -EINTR ? 0 : (int)gyrei_here_answer(result);
}

GYREI_HERE int gyrei_here_epoll_ctl(const gyrei_env *env, int epoll, int how, int fd,
                                    struct epoll_event *event)
{
    if (__builtin_expect(env->sys->epoll_ctl != gyrei_os_epoll_ctl, 0))
        return env->sys->epoll_ctl(env, epoll, how, fd, event);
    return (int)gyrei_here_answer(gyrei_call_epoll_ctl(epoll, how, fd, event));
}

#else

GYREI_HERE int gyrei_here_close(const gyrei_env *env, int fd)
{
    return env->sys->close(env, fd);
}

GYREI_HERE int gyrei_here_epoll_ctl(const gyrei_env *env, int epoll, int how, int fd,
                                    struct epoll_event *event)
{
    return env->sys->epoll_ctl(env, epoll, how, fd, event);
}

#endif
#endif
