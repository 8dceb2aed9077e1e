/*
 * The loop's environment: clock, randomness, and the table through which every system call of os/,
 * backend/ and net/ goes.
 *
 * Nothing above this table reads time, randomness or the kernel by itself; so a test can fail any
 * call, and the simulator can be the kernel. Each function answers >= 0 or a negative GYRE_E*,
 * never errno. `env` is the first argument everywhere, so that another environment can find its
 * state with GYRE_CONTAINER_OF.
 */
#ifndef GYREI_CORE_ENV_H
#define GYREI_CORE_ENV_H

#include "gyre/address.h"
#include "gyre/base.h"

#include <stdbool.h>

struct epoll_event;
struct pollfd;
struct open_how;
struct statx;
struct io_uring_params;
struct gyrei_backend_ops;
struct gyrei_threads;

typedef struct gyrei_env gyrei_env;

/*
 * System calls that somebody wants, and the turn makes: os/here.h says why. Each is a function of
 * the table with what it is to be called with; a send of several buffers is sys->sendv.
 */
typedef struct gyrei_recv_call {
    int fd;
    void *base;
    size_t len;
} gyrei_recv_call;

typedef struct gyrei_send_call {
    int fd;
    uint32_t count; /* of bufs */
    const gyre_buf *bufs;
    uint64_t bytes; /* the sum of them */
    void *stream;   /* whose they are */
} gyrei_send_call;

typedef enum gyrei_wait_kind {
    GYREI_WAIT_NONE = 0, /* nothing is to be called */
    GYREI_WAIT_EPOLL,
    GYREI_WAIT_URING
} gyrei_wait_kind;

typedef struct gyrei_wait_call {
    gyrei_wait_kind kind;
    int fd;
    int error; /* for whoever wants the call: what went wrong before it */
    union {
        struct {
            struct epoll_event *events;
            int max;
            uint64_t timeout_ns;
        } epoll;
        struct {
            uint32_t submit;
            uint32_t wait;
            uint32_t flags;
            const void *arg;
            size_t arg_size;
        } uring;
    };
} gyrei_wait_call;

typedef struct gyrei_sys {
    /* sockets; descriptors are made close-on-exec and non-blocking in the same call */
    int (*socket)(const gyrei_env *env, int family, int type, int protocol);
    int (*bind)(const gyrei_env *env, int fd, const gyre_address *address);
    int (*listen)(const gyrei_env *env, int fd, int backlog);
    int (*accept)(const gyrei_env *env, int fd);
    int (*connect)(const gyrei_env *env, int fd, const struct sockaddr *address, uint32_t len);
    int64_t (*recv)(const gyrei_env *env, int fd, void *base, size_t len);
    int64_t (*send)(const gyrei_env *env, int fd, const void *base, size_t len); /* MSG_NOSIGNAL */
    int64_t (*sendv)(const gyrei_env *env, int fd, const gyre_buf *bufs, uint32_t count);
    int (*shutdown)(const gyrei_env *env, int fd, int how);
    int (*local_address)(const gyrei_env *env, int fd, gyre_address *address);
    int (*peer_address)(const gyrei_env *env, int fd, gyre_address *address);
    /* the value of SO_ERROR is 0 or a GYRE_E* */
    int (*get_option)(const gyrei_env *env, int fd, int level, int name, void *value,
                      uint32_t *len);
    int (*set_option)(const gyrei_env *env, int fd, int level, int name, const void *value,
                      uint32_t len);
    int (*adopt)(const gyrei_env *env, int fd); /* sets O_NONBLOCK and FD_CLOEXEC */
    int (*close)(const gyrei_env *env, int fd);
    int (*unlink)(const gyrei_env *env, const char *path);
    /* files */
    int (*openat2)(const gyrei_env *env, int directory, const char *path,
                   const struct open_how *how);
    int (*set_status)(const gyrei_env *env, int fd, int flags); /* O_APPEND, O_NONBLOCK */
    int (*statx)(const gyrei_env *env, int directory, const char *path, int flags, uint32_t mask,
                 struct statx *out);
    int64_t (*pread)(const gyrei_env *env, int fd, void *base, size_t len, uint64_t offset);
    /* the two without waiting for a disk: GYRE_EAGAIN when what they need is not in memory */
    int (*openat2_now)(const gyrei_env *env, int directory, const char *path,
                       const struct open_how *how);
    int64_t (*pread_now)(const gyrei_env *env, int fd, void *base, size_t len, uint64_t offset);
    int (*file_mode)(const gyrei_env *env, int fd, uint32_t *mode); /* fstat: st_mode */
    /* readiness; a timeout of UINT64_MAX waits for ever */
    int (*epoll_create)(const gyrei_env *env);
    int (*epoll_ctl)(const gyrei_env *env, int epoll, int how, int fd, struct epoll_event *event);
    int (*epoll_wait)(const gyrei_env *env, int epoll, struct epoll_event *events, int max,
                      uint64_t timeout_ns);
    int (*poll)(const gyrei_env *env, struct pollfd *fds, uint32_t count, uint64_t timeout_ns);
    /* wake-ups: an eventfd, non-blocking */
    int (*event_create)(const gyrei_env *env);
    int (*event_write)(const gyrei_env *env, int fd); /* async-signal-safe */
    int (*event_read)(const gyrei_env *env, int fd);
    int (*event_renew)(const gyrei_env *env, int fd); /* a new eventfd under the old number */
    /* io_uring */
    int (*uring_setup)(const gyrei_env *env, uint32_t entries, struct io_uring_params *params);
    int (*uring_enter)(const gyrei_env *env, int ring, uint32_t submit, uint32_t wait,
                       uint32_t flags, const void *arg, size_t arg_size);
    int (*uring_register)(const gyrei_env *env, int ring, uint32_t what, void *arg, uint32_t count);
    void *(*map)(const gyrei_env *env, size_t bytes); /* zeroed pages, or NULL */
    void (*unmap)(const gyrei_env *env, void *pages, size_t bytes);
    int (*wipe_on_fork)(const gyrei_env *env, void *pages, size_t bytes);
} gyrei_sys;

struct gyrei_env {
    const gyrei_sys *sys;
    uint64_t (*now_ns)(const gyrei_env *env); /* CLOCK_MONOTONIC */
    int64_t (*wall_ns)(const gyrei_env *env); /* CLOCK_REALTIME */
    uint64_t (*random)(const gyrei_env *env);
    const char *(*variable)(const gyrei_env *env, const char *name); /* getenv */
    const struct gyrei_backend_ops *backend; /* NULL: chosen by backend/select.c */
    const struct gyrei_threads *threads;     /* core/threads.h */
    /*
     * What other threads would do, and signals, where the environment has its own of them; NULL:
     * the pool's threads, the process's handlers. `run(job)` is called once, on any thread, not
     * before job_start has returned; job_cancel says whether it came before that. `deliver` is
     * called as a signal's handler would be, with each arrival until unwatch; one watch for each
     * number and context.
     */
    void (*job_start)(const gyrei_env *env, void *job, void (*run)(void *job));
    bool (*job_cancel)(const gyrei_env *env, void *job);
    void (*signal_watch)(const gyrei_env *env, int signum, void (*deliver)(void *ctx, int signum),
                         void *ctx);
    void (*signal_unwatch)(const gyrei_env *env, int signum, void *ctx);
};

/* The real kernel. */
extern const gyrei_env gyrei_env_os;

#endif
