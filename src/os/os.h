/*
 * The system calls behind gyrei_env_os: each a thin function that answers >= 0 or a GYRE_E*.
 *
 * os/posix holds what POSIX has, os/linux what only Linux has and the table itself. Nothing here
 * decides anything: a call that was interrupted before it did something is made again, and that is
 * all.
 */
#ifndef GYREI_OS_OS_H
#define GYREI_OS_OS_H

#include "core/env.h"

/* The GYRE_E* of an errno; GYRE_EUNKNOWN for one that is not in the table. */
int gyrei_os_error(int number);

/* The same of errno, apart from the path of calls that succeed. */
__attribute__((cold)) int64_t gyrei_os_failed(void);

/* `result` of a system call as the table wants it: itself, or the error of errno. */
static inline int64_t gyrei_os_result(int64_t result)
{
    return __builtin_expect(result >= 0, 1) ? result : gyrei_os_failed();
}

/* ---- os/posix/socket.c ---- */
int gyrei_os_bind(const gyrei_env *env, int fd, const gyre_address *address);
int gyrei_os_listen(const gyrei_env *env, int fd, int backlog);
int gyrei_os_connect(const gyrei_env *env, int fd, const struct sockaddr *address, uint32_t len);
int gyrei_os_shutdown(const gyrei_env *env, int fd, int how);
int gyrei_os_local_address(const gyrei_env *env, int fd, gyre_address *address);
int gyrei_os_peer_address(const gyrei_env *env, int fd, gyre_address *address);
int gyrei_os_get_option(const gyrei_env *env, int fd, int level, int name, void *value,
                        uint32_t *len);
int gyrei_os_set_option(const gyrei_env *env, int fd, int level, int name, const void *value,
                        uint32_t len);
int gyrei_os_adopt(const gyrei_env *env, int fd);

/* ---- os/posix/file.c ---- */
int gyrei_os_unlink(const gyrei_env *env, const char *path);
int64_t gyrei_os_pread(const gyrei_env *env, int fd, void *base, size_t len, uint64_t offset);
int gyrei_os_set_status(const gyrei_env *env, int fd, int flags);
int gyrei_os_file_mode(const gyrei_env *env, int fd, uint32_t *mode);

/* ---- os/posix/clock.c ---- */
uint64_t gyrei_os_now_ns(const gyrei_env *env);
int64_t gyrei_os_wall_ns(const gyrei_env *env);
const char *gyrei_os_variable(const gyrei_env *env, const char *name);
void *gyrei_os_map(const gyrei_env *env, size_t bytes);
void gyrei_os_unmap(const gyrei_env *env, void *pages, size_t bytes);

/* ---- os/linux/linux.c ---- */
int gyrei_os_accept(const gyrei_env *env, int fd);
int gyrei_os_close(const gyrei_env *env, int fd);
int gyrei_os_epoll_ctl(const gyrei_env *env, int epoll, int how, int fd, struct epoll_event *event);
int64_t gyrei_os_recv(const gyrei_env *env, int fd, void *base, size_t len);
int64_t gyrei_os_send(const gyrei_env *env, int fd, const void *base, size_t len);
int64_t gyrei_os_sendv(const gyrei_env *env, int fd, const gyre_buf *bufs, uint32_t count);
int gyrei_os_epoll_wait(const gyrei_env *env, int epoll, struct epoll_event *events, int max,
                        uint64_t timeout_ns);
int gyrei_os_uring_enter(const gyrei_env *env, int ring, uint32_t submit, uint32_t wait,
                         uint32_t flags, const void *arg, size_t arg_size);
/* After a call that was interrupted and that no library between knows of: linux.c. */
void gyrei_os_run_signal_handlers(void);

/* ---- os/linux/thread.c ---- */
extern const struct gyrei_threads gyrei_os_threads;

#endif
