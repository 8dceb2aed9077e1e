/*
 * What only Linux has: descriptors that are made non-blocking in one call, epoll, eventfd, statx,
 * io_uring. And the table of all system calls, gyrei_env_os. SIGPIPE never comes: every send says
 * MSG_NOSIGNAL.
 */
#include "os/here.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Newer than some C libraries' headers: 5.12. */
#define GYREI_RESOLVE_CACHED 0x20

static int os_socket(const gyrei_env *env, int family, int type, int protocol)
{
    (void)env;
    return (int)gyrei_os_result(socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
}

int gyrei_os_accept(const gyrei_env *env, int fd)
{
    (void)env;
    return gyrei_os_here_accept(fd);
}

int gyrei_os_close(const gyrei_env *env, int fd)
{
    (void)env;
    return gyrei_os_here_close(fd);
}

int64_t gyrei_os_recv(const gyrei_env *env, int fd, void *base, size_t len)
{
    (void)env;
    return gyrei_os_here_recv(fd, base, len);
}

int64_t gyrei_os_send(const gyrei_env *env, int fd, const void *base, size_t len)
{
    (void)env;
    return gyrei_os_here_send(fd, base, len);
}

int64_t gyrei_os_sendv(const gyrei_env *env, int fd, const gyre_buf *bufs, uint32_t count)
{
    (void)env;
    return gyrei_os_here_sendv(fd, bufs, count);
}

static int os_openat2(const gyrei_env *env, int directory, const char *path,
                      const struct open_how *how)
{
    long fd;

    (void)env;
    do {
        fd = syscall(SYS_openat2, directory, path, how, sizeof(*how));
    } while (fd < 0 && errno == EINTR);
    return (int)gyrei_os_result(fd);
}

/* EINVAL: a kernel before 5.12, or a wrong call, which the one that may wait will tell. */
static int os_openat2_now(const gyrei_env *env, int directory, const char *path,
                          const struct open_how *how)
{
    struct open_how cached = *how;
    int fd;

    if ((how->flags & O_NONBLOCK) == 0)
        return GYRE_EAGAIN; /* it would wait for the end of a lease, or for a fifo */
    cached.resolve |= GYREI_RESOLVE_CACHED;
    fd = os_openat2(env, directory, path, &cached);
    return fd == GYRE_EINVAL ? GYRE_EAGAIN : fd;
}

/*
 * All that was asked for, or all that there is: a part means that the rest is not in memory, or is
 * not there. EOPNOTSUPP: a file system that cannot say (preadv2(2)).
 */
static int64_t os_pread_now(const gyrei_env *env, int fd, void *base, size_t len, uint64_t offset)
{
    size_t got = 0;
    ssize_t result = 1;

    (void)env;
    if (offset > (uint64_t)INT64_MAX - len)
        return GYRE_EAGAIN;
    while (got < len && result > 0) {
        const struct iovec rest = {.iov_base = (char *)base + got, .iov_len = len - got};

        result = preadv2(fd, &rest, 1, (off_t)(offset + got), RWF_NOWAIT);
        if (result > 0)
            got += (size_t)result;
    }
    if (result >= 0)
        return (int64_t)got;
    return errno == EOPNOTSUPP || errno == EINTR ? GYRE_EAGAIN : gyrei_os_error(errno);
}

static int os_statx(const gyrei_env *env, int directory, const char *path, int flags, uint32_t mask,
                    struct statx *out)
{
    (void)env;
    return (int)gyrei_os_result(statx(directory, path, flags, mask, out));
}

static int os_epoll_create(const gyrei_env *env)
{
    (void)env;
    return (int)gyrei_os_result(epoll_create1(EPOLL_CLOEXEC));
}

int gyrei_os_epoll_ctl(const gyrei_env *env, int epoll, int how, int fd, struct epoll_event *event)
{
    (void)env;
    return gyrei_os_here_epoll_ctl(epoll, how, fd, event);
}

int gyrei_os_epoll_wait(const gyrei_env *env, int epoll, struct epoll_event *events, int max,
                        uint64_t timeout_ns)
{
    (void)env;
    return gyrei_os_here_epoll_wait(epoll, events, max, timeout_ns);
}

static int os_poll(const gyrei_env *env, struct pollfd *fds, uint32_t count, uint64_t timeout_ns)
{
    const struct timespec timeout = gyrei_os_interval(timeout_ns);

    (void)env;
    return (int)gyrei_os_result(
        ppoll(fds, count, timeout_ns == UINT64_MAX ? NULL : &timeout, NULL));
}

static int os_event_create(const gyrei_env *env)
{
    (void)env;
    return (int)gyrei_os_result(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

/* EAGAIN means that the counter is full, and so that the loop was woken already. */
static int os_event_write(const gyrei_env *env, int fd)
{
    const uint64_t one = 1;
    const int before = errno;
    ssize_t result;

    (void)env;
    do {
        result = write(fd, &one, sizeof(one));
    } while (result < 0 && errno == EINTR);
    const int error = result < 0 && errno != EAGAIN ? gyrei_os_error(errno) : 0;

    errno = before; /* a signal handler may call this */
    return error;
}

static int os_event_read(const gyrei_env *env, int fd)
{
    uint64_t count;

    (void)env;
    return (int)gyrei_os_result(read(fd, &count, sizeof(count)));
}

static int os_event_renew(const gyrei_env *env, int fd)
{
    const int fresh = os_event_create(env);
    int result;

    if (fresh < 0)
        return fresh;
    result = (int)gyrei_os_result(dup3(fresh, fd, O_CLOEXEC));
    close(fresh);
    return result < 0 ? result : 0;
}

static int os_uring_setup(const gyrei_env *env, uint32_t entries, struct io_uring_params *params)
{
    (void)env;
    return (int)gyrei_os_result(syscall(SYS_io_uring_setup, entries, params));
}

#ifdef __SANITIZE_THREAD__
/*
 * TSan runs a signal's handler at the next call that it knows, and syscall(2) is none: a handler
 * whose signal ended a sleep here would wait for an event that only itself would cause.
 */
void gyrei_os_run_signal_handlers(void)
{
    const struct timespec none = {0};

    (void)nanosleep(&none, NULL);
}
#else
void gyrei_os_run_signal_handlers(void)
{
}
#endif

int gyrei_os_uring_enter(const gyrei_env *env, int ring, uint32_t submit, uint32_t wait,
                         uint32_t flags, const void *arg, size_t arg_size)
{
    (void)env;
    return gyrei_os_here_uring_enter(ring, submit, wait, flags, arg, arg_size);
}

static int os_uring_register(const gyrei_env *env, int ring, uint32_t what, void *arg,
                             uint32_t count)
{
    (void)env;
    return (int)gyrei_os_result(syscall(SYS_io_uring_register, ring, what, arg, count));
}

static int os_wipe_on_fork(const gyrei_env *env, void *pages, size_t bytes)
{
    (void)env;
    return (int)gyrei_os_result(madvise(pages, bytes, MADV_WIPEONFORK));
}

static uint64_t os_random(const gyrei_env *env)
{
    uint64_t value = 0;

    /* Eight bytes come whole or not at all once the pool is ready (getrandom(2)). */
    while (getrandom(&value, sizeof(value), 0) != (ssize_t)sizeof(value))
        GYRE_ASSERT(errno == EINTR);
    (void)env;
    return value;
}

static const gyrei_sys sys = {
    .socket = os_socket,
    .bind = gyrei_os_bind,
    .listen = gyrei_os_listen,
    .accept = gyrei_os_accept,
    .connect = gyrei_os_connect,
    .recv = gyrei_os_recv,
    .send = gyrei_os_send,
    .sendv = gyrei_os_sendv,
    .shutdown = gyrei_os_shutdown,
    .local_address = gyrei_os_local_address,
    .peer_address = gyrei_os_peer_address,
    .get_option = gyrei_os_get_option,
    .set_option = gyrei_os_set_option,
    .adopt = gyrei_os_adopt,
    .close = gyrei_os_close,
    .unlink = gyrei_os_unlink,
    .openat2 = os_openat2,
    .set_status = gyrei_os_set_status,
    .statx = os_statx,
    .pread = gyrei_os_pread,
    .openat2_now = os_openat2_now,
    .pread_now = os_pread_now,
    .file_mode = gyrei_os_file_mode,
    .epoll_create = os_epoll_create,
    .epoll_ctl = gyrei_os_epoll_ctl,
    .epoll_wait = gyrei_os_epoll_wait,
    .poll = os_poll,
    .event_create = os_event_create,
    .event_write = os_event_write,
    .event_read = os_event_read,
    .event_renew = os_event_renew,
    .uring_setup = os_uring_setup,
    .uring_enter = gyrei_os_uring_enter,
    .uring_register = os_uring_register,
    .map = gyrei_os_map,
    .unmap = gyrei_os_unmap,
    .wipe_on_fork = os_wipe_on_fork,
};

const gyrei_env gyrei_env_os = {
    .sys = &sys,
    .now_ns = gyrei_os_now_ns,
    .wall_ns = gyrei_os_wall_ns,
    .random = os_random,
    .variable = gyrei_os_variable,
    .threads = &gyrei_os_threads,
};
