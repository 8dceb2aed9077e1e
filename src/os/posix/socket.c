/*
 * Sockets as POSIX has them, apart from what sends and receives.
 */
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int gyrei_os_bind(const gyrei_env *env, int fd, const gyre_address *address)
{
    (void)env;
    return (int)gyrei_os_result(bind(fd, &address->u.any, (socklen_t)address->len));
}

int gyrei_os_listen(const gyrei_env *env, int fd, int backlog)
{
    (void)env;
    return (int)gyrei_os_result(listen(fd, backlog));
}

/* Interrupted, a connect goes on by itself (POSIX): that is "in progress", not a second call. */
int gyrei_os_connect(const gyrei_env *env, int fd, const struct sockaddr *address, uint32_t len)
{
    int error;

    (void)env;
    error = (int)gyrei_os_result(connect(fd, address, (socklen_t)len));
    return error == GYRE_EINTR ? GYRE_EINPROGRESS : error;
}

int gyrei_os_shutdown(const gyrei_env *env, int fd, int how)
{
    (void)env;
    return (int)gyrei_os_result(shutdown(fd, how));
}

int gyrei_os_local_address(const gyrei_env *env, int fd, gyre_address *address)
{
    socklen_t len = sizeof(address->u);
    const int error = (int)gyrei_os_result(getsockname(fd, &address->u.any, &len));

    (void)env;
    address->len = (uint32_t)len;
    return error;
}

int gyrei_os_peer_address(const gyrei_env *env, int fd, gyre_address *address)
{
    socklen_t len = sizeof(address->u);
    const int error = (int)gyrei_os_result(getpeername(fd, &address->u.any, &len));

    (void)env;
    address->len = (uint32_t)len;
    return error;
}

int gyrei_os_get_option(const gyrei_env *env, int fd, int level, int name, void *value,
                        uint32_t *len)
{
    socklen_t size = (socklen_t)*len;
    const int error = (int)gyrei_os_result(getsockopt(fd, level, name, value, &size));

    (void)env;
    *len = (uint32_t)size;
    if (error == 0 && level == SOL_SOCKET && name == SO_ERROR && *(int *)value != 0)
        *(int *)value = gyrei_os_error(*(int *)value);
    return error;
}

int gyrei_os_set_option(const gyrei_env *env, int fd, int level, int name, const void *value,
                        uint32_t len)
{
    (void)env;
    return (int)gyrei_os_result(setsockopt(fd, level, name, value, (socklen_t)len));
}

int gyrei_os_adopt(const gyrei_env *env, int fd)
{
    const int status = fcntl(fd, F_GETFL);
    const int flags = fcntl(fd, F_GETFD);

    (void)env;
    if (status < 0 || flags < 0)
        return gyrei_os_error(errno);
    if ((status & O_NONBLOCK) == 0 && fcntl(fd, F_SETFL, status | O_NONBLOCK) < 0)
        return gyrei_os_error(errno);
    if ((flags & FD_CLOEXEC) == 0 && fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0)
        return gyrei_os_error(errno);
    return 0;
}
