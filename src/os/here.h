/*
 * System calls in the frame of who makes them: those of a request and of a connection, and the
 * wait.
 *
 * A processor that comes back from the kernel has forgotten to where functions return. Each
 * function through which a system call returns is a wrong guess, and one wrong guess for each recv
 * and send is enough to make the kernel's own work dearer, too: bench/README.md. So whoever wants
 * such a call describes it (core/env.h), and the turn, which does not return between two requests,
 * makes it. Where a function of the table is not the real kernel's it is called as ever.
 */
#ifndef GYREI_OS_HERE_H
#define GYREI_OS_HERE_H

#include "os/os.h"

#define GYREI_HERE __attribute__((always_inline)) static inline

#ifdef __linux__

#include "os/linux/here.h"

#else

GYREI_HERE int gyrei_here_accept(const gyrei_env *env, int fd)
{
    return env->sys->accept(env, fd);
}

GYREI_HERE int64_t gyrei_here_recv(const gyrei_env *env, const gyrei_recv_call *call)
{
    return env->sys->recv(env, call->fd, call->base, call->len);
}

GYREI_HERE int64_t gyrei_here_send(const gyrei_env *env, const gyrei_send_call *call)
{
    return call->count == 1 ? env->sys->send(env, call->fd, call->bufs->base, call->bufs->len)
                            : env->sys->sendv(env, call->fd, call->bufs, call->count);
}

GYREI_HERE int gyrei_here_close(const gyrei_env *env, int fd)
{
    return env->sys->close(env, fd);
}

GYREI_HERE int gyrei_here_epoll_ctl(const gyrei_env *env, int epoll, int how, int fd,
                                    struct epoll_event *event)
{
    return env->sys->epoll_ctl(env, epoll, how, fd, event);
}

/* No backend here asks for one. */
GYREI_HERE int gyrei_here_wait(const gyrei_env *env, const gyrei_wait_call *call)
{
    (void)env;
    (void)call;
    return GYRE_ENOTSUP;
}

#endif
#endif
