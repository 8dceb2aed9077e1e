/*
 * Torture: a kernel and an allocator that fail when they are told to, and a record of the places
 * that call them.
 *
 * A site is a call of the table of system calls, or an allocation, known by the return addresses
 * that lead to it. A program runs once undisturbed, which finds its sites; then again and again,
 * each time with one site that fails, with each error that the manual pages list for the call, once
 * and for ever. Sites that only a failure leads to (the way back, the second choice) are found by
 * that, and fail under it: then two calls fail in a run.
 *
 * Whatever fails: each run ends, every handle that was opened gets its close callback, every
 * request that was taken calls back once, and no memory, page or descriptor is left.
 *
 * With TORTURE_SITES in the environment the sites are appended to that file: tools/torture compares
 * them with the source.
 */
#ifndef GYRE_TEST_TORTURE_H
#define GYRE_TEST_TORTURE_H

/* before fixture.h, whose global their parameters would shadow */
#include "core/loop.h"

#include "fixture.h"

#include <execinfo.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- what may fail ---- */

#define CALLS(X)                                                                                   \
    X(socket, int, (const gyrei_env *env, int a, int b, int c), (env, a, b, c))                    \
    X(bind, int, (const gyrei_env *env, int fd, const gyre_address *to), (env, fd, to))            \
    X(listen, int, (const gyrei_env *env, int fd, int backlog), (env, fd, backlog))                \
    X(accept, int, (const gyrei_env *env, int fd), (env, fd))                                      \
    X(connect, int, (const gyrei_env *env, int fd, const struct sockaddr *to, uint32_t len),       \
      (env, fd, to, len))                                                                          \
    X(recv, int64_t, (const gyrei_env *env, int fd, void *to, size_t len), (env, fd, to, len))     \
    X(send, int64_t, (const gyrei_env *env, int fd, const void *of, size_t len),                   \
      (env, fd, of, len))                                                                          \
    X(sendv, int64_t, (const gyrei_env *env, int fd, const gyre_buf *of, uint32_t count),          \
      (env, fd, of, count))                                                                        \
    X(shutdown, int, (const gyrei_env *env, int fd, int how), (env, fd, how))                      \
    X(local_address, int, (const gyrei_env *env, int fd, gyre_address *is), (env, fd, is))         \
    X(peer_address, int, (const gyrei_env *env, int fd, gyre_address *is), (env, fd, is))          \
    X(get_option, int,                                                                             \
      (const gyrei_env *env, int fd, int level, int name, void *is, uint32_t *len),                \
      (env, fd, level, name, is, len))                                                             \
    X(set_option, int,                                                                             \
      (const gyrei_env *env, int fd, int level, int name, const void *to, uint32_t len),           \
      (env, fd, level, name, to, len))                                                             \
    X(adopt, int, (const gyrei_env *env, int fd), (env, fd))                                       \
    X(unlink, int, (const gyrei_env *env, const char *path), (env, path))                          \
    X(openat2, int, (const gyrei_env *env, int fd, const char *path, const struct open_how *how),  \
      (env, fd, path, how))                                                                        \
    X(set_status, int, (const gyrei_env *env, int fd, int flags), (env, fd, flags))                \
    X(statx, int,                                                                                  \
      (const gyrei_env *env, int fd, const char *path, int flags, uint32_t mask,                   \
       struct statx *out),                                                                         \
      (env, fd, path, flags, mask, out))                                                           \
    X(pread, int64_t, (const gyrei_env *env, int fd, void *to, size_t len, uint64_t at),           \
      (env, fd, to, len, at))                                                                      \
    X(openat2_now, int,                                                                            \
      (const gyrei_env *env, int fd, const char *path, const struct open_how *how),                \
      (env, fd, path, how))                                                                        \
    X(pread_now, int64_t, (const gyrei_env *env, int fd, void *to, size_t len, uint64_t at),       \
      (env, fd, to, len, at))                                                                      \
    X(file_mode, int, (const gyrei_env *env, int fd, uint32_t *mode), (env, fd, mode))             \
    X(epoll_create, int, (const gyrei_env *env), (env))                                            \
    X(epoll_ctl, int,                                                                              \
      (const gyrei_env *env, int epoll, int how, int fd, struct epoll_event *event),               \
      (env, epoll, how, fd, event))                                                                \
    X(epoll_wait, int,                                                                             \
      (const gyrei_env *env, int epoll, struct epoll_event *events, int max, uint64_t timeout),    \
      (env, epoll, events, max, timeout))                                                          \
    X(poll, int, (const gyrei_env *env, struct pollfd *fds, uint32_t count, uint64_t timeout),     \
      (env, fds, count, timeout))                                                                  \
    X(event_create, int, (const gyrei_env *env), (env))                                            \
    X(event_read, int, (const gyrei_env *env, int fd), (env, fd))                                  \
    X(event_renew, int, (const gyrei_env *env, int fd), (env, fd))                                 \
    X(uring_setup, int, (const gyrei_env *env, uint32_t entries, struct io_uring_params *params),  \
      (env, entries, params))                                                                      \
    X(uring_enter, int,                                                                            \
      (const gyrei_env *env, int ring, uint32_t submit, uint32_t wait, uint32_t flags,             \
       const void *arg, size_t size),                                                              \
      (env, ring, submit, wait, flags, arg, size))                                                 \
    X(uring_register, int,                                                                         \
      (const gyrei_env *env, int ring, uint32_t what, void *arg, uint32_t count),                  \
      (env, ring, what, arg, count))                                                               \
    X(wipe_on_fork, int, (const gyrei_env *env, void *pages, size_t bytes), (env, pages, bytes))

typedef enum call {
#define TORTURE_NAME(name, type, params, args) CALL_##name,
    CALLS(TORTURE_NAME)
#undef TORTURE_NAME
        CALL_close,
    CALL_event_write,
    CALL_map,
    CALL_resize,
    CALLS_COUNT
} call;

enum { ERRORS_MAX = 24 };

/*
 * What the manual pages list for each call (man-pages 6.03, liburing 2.3), as far as gyre/error.h
 * has a name for it, and what Linux says beside; EWOULDBLOCK is EAGAIN, EOPNOTSUPP is ENOTSUP.
 */
typedef struct documented {
    const char *name;
    bool once; /* no turn is possible without it: it does not fail for ever */
    int errors[ERRORS_MAX];
} documented;

static const documented documents[CALLS_COUNT] = {
    [CALL_socket] = {"socket",
                     false,
                     {GYRE_EMFILE, GYRE_ENFILE, GYRE_ENOBUFS, GYRE_ENOMEM, GYRE_EACCES,
                      GYRE_EAFNOSUPPORT, GYRE_EINVAL, GYRE_EPROTONOSUPPORT}},
    [CALL_bind] = {"bind",
                   false,
                   {GYRE_EADDRINUSE, GYRE_EACCES, GYRE_EADDRNOTAVAIL, GYRE_EBADF, GYRE_EFAULT,
                    GYRE_EINVAL, GYRE_ELOOP, GYRE_ENAMETOOLONG, GYRE_ENOENT, GYRE_ENOMEM,
                    GYRE_ENOTDIR, GYRE_ENOTSOCK, GYRE_EROFS}},
    [CALL_listen] = {"listen", false, {GYRE_EADDRINUSE, GYRE_EBADF, GYRE_ENOTSOCK, GYRE_ENOTSUP}},
    [CALL_accept] = {"accept",
                     false,
                     {GYRE_EMFILE, GYRE_ENFILE, GYRE_ENOBUFS, GYRE_ENOMEM, GYRE_EAGAIN,
                      GYRE_ECONNABORTED, GYRE_EPERM, GYRE_EPROTO, GYRE_EINTR, GYRE_EBADF,
                      GYRE_EFAULT, GYRE_EINVAL, GYRE_ENOTSOCK, GYRE_ENOTSUP}},
    [CALL_connect] = {"connect",
                      false,
                      {GYRE_ECONNREFUSED, GYRE_ENETUNREACH, GYRE_EADDRNOTAVAIL, GYRE_ETIMEDOUT,
                       GYRE_EAGAIN, GYRE_EACCES, GYRE_EADDRINUSE, GYRE_EAFNOSUPPORT, GYRE_EALREADY,
                       GYRE_EBADF, GYRE_EFAULT, GYRE_EINPROGRESS, GYRE_EINTR, GYRE_EISCONN,
                       GYRE_ENOTSOCK, GYRE_EPROTOTYPE, GYRE_ENOBUFS}},
    [CALL_recv] = {"recv",
                   false,
                   {GYRE_ECONNRESET, GYRE_EAGAIN, GYRE_ENOMEM, GYRE_ETIMEDOUT, GYRE_OK, GYRE_EINTR,
                    GYRE_ECONNREFUSED, GYRE_EBADF, GYRE_EFAULT, GYRE_EINVAL, GYRE_ENOTCONN,
                    GYRE_ENOTSOCK}},
    [CALL_send] = {"send",
                   false,
                   {GYRE_EPIPE, GYRE_ECONNRESET, GYRE_EAGAIN, GYRE_ENOBUFS, GYRE_ENOMEM, GYRE_EINTR,
                    GYRE_EACCES, GYRE_EALREADY, GYRE_EBADF, GYRE_EDESTADDRREQ, GYRE_EFAULT,
                    GYRE_EINVAL, GYRE_EISCONN, GYRE_EMSGSIZE, GYRE_ENOTCONN, GYRE_ENOTSOCK,
                    GYRE_ENOTSUP}},
    [CALL_sendv] = {"sendmsg",
                    false,
                    {GYRE_EPIPE, GYRE_ECONNRESET, GYRE_EAGAIN, GYRE_ENOBUFS, GYRE_ENOMEM,
                     GYRE_EINTR, GYRE_EACCES, GYRE_EALREADY, GYRE_EBADF, GYRE_EDESTADDRREQ,
                     GYRE_EFAULT, GYRE_EINVAL, GYRE_EISCONN, GYRE_EMSGSIZE, GYRE_ENOTCONN,
                     GYRE_ENOTSOCK, GYRE_ENOTSUP}},
    [CALL_shutdown] = {"shutdown", false, {GYRE_ENOTCONN, GYRE_EBADF, GYRE_EINVAL, GYRE_ENOTSOCK}},
    [CALL_local_address] = {"getsockname",
                            false,
                            {GYRE_ENOBUFS, GYRE_EBADF, GYRE_EFAULT, GYRE_EINVAL, GYRE_ENOTSOCK}},
    [CALL_peer_address] = {"getpeername",
                           false,
                           {GYRE_ENOTCONN, GYRE_ENOBUFS, GYRE_EBADF, GYRE_EFAULT, GYRE_EINVAL,
                            GYRE_ENOTSOCK}},
    [CALL_get_option] = {"getsockopt",
                         false,
                         {GYRE_ENOPROTOOPT, GYRE_EBADF, GYRE_EFAULT, GYRE_EINVAL, GYRE_ENOTSOCK}},
    [CALL_set_option] = {"setsockopt",
                         false,
                         {GYRE_ENOPROTOOPT, GYRE_ENOMEM, GYRE_EBADF, GYRE_EFAULT, GYRE_EINVAL,
                          GYRE_ENOTSOCK}},
    [CALL_adopt] = {"fcntl",
                    false,
                    {GYRE_EBADF, GYRE_EACCES, GYRE_EAGAIN, GYRE_EINVAL, GYRE_EPERM}},
    [CALL_unlink] = {"unlink",
                     false,
                     {GYRE_ENOENT, GYRE_EACCES, GYRE_EBUSY, GYRE_EFAULT, GYRE_EIO, GYRE_EISDIR,
                      GYRE_ELOOP, GYRE_ENAMETOOLONG, GYRE_ENOMEM, GYRE_ENOTDIR, GYRE_EPERM,
                      GYRE_EROFS}},
    [CALL_openat2] = {"openat2", false, {GYRE_ENOENT,  GYRE_EMFILE, GYRE_ENFILE,       GYRE_EACCES,
                                         GYRE_EINTR,   GYRE_ENOMEM, GYRE_EAGAIN,       GYRE_E2BIG,
                                         GYRE_EINVAL,  GYRE_ELOOP,  GYRE_EXDEV,        GYRE_EBADF,
                                         GYRE_EBUSY,   GYRE_EISDIR, GYRE_ENAMETOOLONG, GYRE_ENODEV,
                                         GYRE_ENOTDIR, GYRE_ENXIO,  GYRE_EOVERFLOW,    GYRE_EPERM,
                                         GYRE_ENOSYS}},
    [CALL_set_status] = {"fcntl (F_SETFL)", false, {GYRE_EBADF, GYRE_EPERM}},
    [CALL_statx] = {"statx",
                    false,
                    {GYRE_ENOENT, GYRE_EIO, GYRE_EACCES, GYRE_EBADF, GYRE_EFAULT, GYRE_EINVAL,
                     GYRE_ELOOP, GYRE_ENAMETOOLONG, GYRE_ENOMEM, GYRE_ENOTDIR}},
    [CALL_pread] = {"pread",
                    false,
                    {GYRE_EIO, GYRE_EINTR, GYRE_EAGAIN, GYRE_EBADF, GYRE_EFAULT, GYRE_EINVAL,
                     GYRE_EISDIR, GYRE_ENXIO, GYRE_EOVERFLOW, GYRE_ESPIPE, GYRE_OK}},
    [CALL_openat2_now] = {"openat2 (cached)",
                          false,
                          {GYRE_ENOENT, GYRE_EMFILE, GYRE_ENFILE, GYRE_EACCES, GYRE_ENOMEM,
                           GYRE_EAGAIN, GYRE_ELOOP, GYRE_EXDEV, GYRE_EBADF, GYRE_EISDIR,
                           GYRE_ENAMETOOLONG, GYRE_ENODEV, GYRE_ENOTDIR, GYRE_ENXIO, GYRE_EOVERFLOW,
                           GYRE_EPERM, GYRE_ENOSYS}},
    [CALL_pread_now] = {"preadv2 (cached)",
                        false,
                        {GYRE_EIO, GYRE_EAGAIN, GYRE_EBADF, GYRE_EFAULT, GYRE_EINVAL, GYRE_EISDIR,
                         GYRE_ENXIO, GYRE_EOVERFLOW, GYRE_ESPIPE, GYRE_OK}},
    [CALL_file_mode] = {"fstat", false, {GYRE_EBADF, GYRE_EFAULT, GYRE_ENOMEM, GYRE_EOVERFLOW}},
    [CALL_epoll_create] = {"epoll_create1",
                           false,
                           {GYRE_EMFILE, GYRE_ENFILE, GYRE_ENOMEM, GYRE_EINVAL}},
    [CALL_epoll_ctl] = {"epoll_ctl",
                        false,
                        {GYRE_ENOMEM, GYRE_ENOSPC, GYRE_EPERM, GYRE_EBADF, GYRE_EEXIST, GYRE_EINVAL,
                         GYRE_ELOOP, GYRE_ENOENT}},
    [CALL_epoll_wait] = {"epoll_pwait2", true, {GYRE_EINTR, GYRE_EBADF, GYRE_EFAULT, GYRE_EINVAL}},
    [CALL_poll] = {"ppoll", true, {GYRE_EINTR, GYRE_ENOMEM, GYRE_EFAULT, GYRE_EINVAL}},
    [CALL_event_create] = {"eventfd",
                           false,
                           {GYRE_EMFILE, GYRE_ENFILE, GYRE_ENOMEM, GYRE_EINVAL, GYRE_ENODEV}},
    [CALL_event_write] = {"write (eventfd)", false, {GYRE_EAGAIN}},
    [CALL_event_read] = {"read (eventfd)", false, {GYRE_EAGAIN, GYRE_EINTR, GYRE_EINVAL}},
    [CALL_event_renew] = {"eventfd (renewed)",
                          false,
                          {GYRE_EMFILE, GYRE_ENFILE, GYRE_ENOMEM, GYRE_EINVAL, GYRE_ENODEV}},
    [CALL_uring_setup] = {"io_uring_setup",
                          false,
                          {GYRE_EPERM, GYRE_ENOSYS, GYRE_ENOMEM, GYRE_EINVAL, GYRE_EMFILE,
                           GYRE_ENFILE, GYRE_EFAULT}},
    [CALL_uring_enter] = {"io_uring_enter",
                          true,
                          {GYRE_EINTR, GYRE_EAGAIN, GYRE_EBUSY, GYRE_EBADF, GYRE_EFAULT,
                           GYRE_EINVAL, GYRE_ENXIO, GYRE_ENOTSUP, GYRE_EACCES}},
    [CALL_uring_register] = {"io_uring_register",
                             false,
                             {GYRE_EINVAL, GYRE_ENOMEM, GYRE_EPERM, GYRE_EACCES, GYRE_EBADF,
                              GYRE_EBUSY, GYRE_EFAULT, GYRE_EMFILE, GYRE_ENXIO, GYRE_ENOTSUP}},
    [CALL_wipe_on_fork] = {"madvise",
                           false,
                           {GYRE_EINVAL, GYRE_EACCES, GYRE_EAGAIN, GYRE_EBADF, GYRE_EBUSY, GYRE_EIO,
                            GYRE_ENOMEM, GYRE_EPERM}},
    [CALL_close] = {"close", false, {GYRE_EIO, GYRE_EINTR, GYRE_ENOSPC, GYRE_EDQUOT}},
    [CALL_map] = {"mmap", false, {GYRE_ENOMEM}},
    [CALL_resize] = {"(allocation)", false, {GYRE_ENOMEM}},
};

static inline unsigned errors_of(call kind)
{
    unsigned count = 1;

    /* 0, which recv and pread have for "nothing more", is not the first one. */
    for (unsigned i = 0; i < ERRORS_MAX; i++) {
        if (documents[kind].errors[i] != 0)
            count = i + 1;
    }
    return count;
}

/* ---- sites and faults ---- */

enum {
    DEPTH = 8,
    SKIPPED = 2,
    SITES_MAX = 1024,
    NO_SITE = -1,
    FAULTS_MAX = 2,
    PAGES_MAX = 256,
    TRIES_MAX = 5
};

typedef struct fault {
    int site;      /* which fails; NO_SITE: the calls of a kind are counted */
    call kind;     /* ... of this one */
    unsigned from; /* ... and this one fails */
    bool for_ever;
    int error;
} fault;

typedef struct site {
    call kind;
    int depth;
    void *frames[DEPTH];
    unsigned seen; /* in the present run */
    uint32_t failed_once;
    uint32_t failed_for_ever; /* a bit for each error of its call */
    bool is_below;            /* only reached when `above` strikes */
    fault above;
} site;

/* Shared with children, which are tortured as well. */
static struct {
    pthread_mutex_t lock;
    site sites[SITES_MAX];
    int site_count;
    unsigned calls[CALLS_COUNT];
    fault faults[FAULTS_MAX];
    unsigned fault_count;
    int64_t blocks;
    const void *pages[PAGES_MAX]; /* that are mapped; a ring's own are not ours */
} * torture;

/* How many return addresses tell one site from another: an allocation goes through helpers. */
static inline int distinct_frames(call kind)
{
    return kind == CALL_resize ? 3 : 1;
}

static inline int site_of(call kind, void *const *frames, int depth)
{
    const int distinct = depth < distinct_frames(kind) ? depth : distinct_frames(kind);
    site *anew;

    for (int i = 0; i < torture->site_count; i++) {
        if (torture->sites[i].kind == kind && torture->sites[i].depth >= distinct &&
            memcmp(torture->sites[i].frames, frames, (size_t)distinct * sizeof(*frames)) == 0)
            return i;
    }
    assert_true(torture->site_count < SITES_MAX);
    anew = &torture->sites[torture->site_count];
    *anew = (site){.kind = kind, .depth = depth};
    memcpy(anew->frames, frames, (size_t)depth * sizeof(*frames));
    if (torture->fault_count > 0) {
        anew->is_below = true;
        anew->above = torture->faults[0];
    }
    return torture->site_count++;
}

static inline void note_failed(site *at, const fault *because)
{
    for (unsigned i = 0; i < errors_of(at->kind); i++) {
        if (documents[at->kind].errors[i] == because->error)
            *(because->for_ever ? &at->failed_for_ever : &at->failed_once) |= UINT32_C(1) << i;
    }
}

static inline bool strikes(const fault *one, int at)
{
    const site *here = &torture->sites[at];
    unsigned seen = here->seen;

    if (one->site == NO_SITE ? one->kind != here->kind : one->site != at)
        return false;
    if (one->site == NO_SITE)
        seen = torture->calls[one->kind];
    return one->for_ever ? seen >= one->from : seen == one->from;
}

/* Whether this call shall fail, and with what. */
static bool __attribute__((noinline)) torture_strikes(call kind, int *error)
{
    void *frames[SKIPPED + DEPTH];
    const int depth = backtrace(frames, SKIPPED + DEPTH) - SKIPPED;
    bool does = false;
    int at;

    pthread_mutex_lock(&torture->lock);
    at = site_of(kind, frames + SKIPPED, depth > 0 ? depth : 0);
    torture->sites[at].seen++;
    torture->calls[kind]++;
    for (unsigned i = 0; i < torture->fault_count && !does; i++) {
        does = strikes(&torture->faults[i], at);
        if (does) {
            *error = torture->faults[i].error;
            note_failed(&torture->sites[at], &torture->faults[i]);
        }
    }
    pthread_mutex_unlock(&torture->lock);
    return does;
}

/* ---- the kernel and the allocator that the library gets ---- */

#define TORTURE_WRAP(name, type, params, args)                                                     \
    static type __attribute__((noinline)) tortured_##name params                                   \
    {                                                                                              \
        int error = 0;                                                                             \
                                                                                                   \
        return torture_strikes(CALL_##name, &error) ? (type)error : gyrei_env_os.sys->name args;   \
    }
CALLS(TORTURE_WRAP)
#undef TORTURE_WRAP

/* It closes whatever it says (close(2)). */
static int __attribute__((noinline)) tortured_close(const gyrei_env *env, int fd)
{
    const int result = gyrei_env_os.sys->close(env, fd);
    int error = 0;

    return torture_strikes(CALL_close, &error) ? error : result;
}

/* Puts `now` in the place of `before`, if there is one. */
static inline bool replace_pages(const void *before, const void *now)
{
    bool found = false;

    pthread_mutex_lock(&torture->lock);
    for (int i = 0; i < PAGES_MAX && !found; i++) {
        found = torture->pages[i] == before;
        if (found)
            torture->pages[i] = now;
    }
    pthread_mutex_unlock(&torture->lock);
    return found;
}

/* No room means that the counter is at its end, and then it wakes all the same (eventfd(2)). */
static int __attribute__((noinline)) tortured_event_write(const gyrei_env *env, int fd)
{
    const int result = gyrei_env_os.sys->event_write(env, fd);
    int error = 0;

    return torture_strikes(CALL_event_write, &error) ? error : result;
}

static void *__attribute__((noinline)) tortured_map(const gyrei_env *env, size_t bytes)
{
    void *pages;
    int error;

    if (torture_strikes(CALL_map, &error))
        return NULL;
    pages = gyrei_env_os.sys->map(env, bytes);
    if (pages != NULL)
        assert_true(replace_pages(NULL, pages));
    return pages;
}

static void tortured_unmap(const gyrei_env *env, void *pages, size_t bytes)
{
    (void)replace_pages(pages, NULL);
    gyrei_env_os.sys->unmap(env, pages, bytes);
}

static void *__attribute__((noinline))
tortured_resize(void *ctx, void *pointer, size_t old_bytes, size_t new_bytes)
{
    const bool had = pointer != NULL;
    void *block;
    int error;

    (void)ctx;
    (void)old_bytes;
    if (new_bytes == 0) {
        (void)__atomic_sub_fetch(&torture->blocks, had, __ATOMIC_RELAXED);
        free(pointer);
        return NULL;
    }
    if (torture_strikes(CALL_resize, &error))
        return NULL;
    block = realloc(pointer, new_bytes);
    if (block != NULL && !had)
        (void)__atomic_add_fetch(&torture->blocks, 1, __ATOMIC_RELAXED);
    return block;
}

static gyrei_sys tortured_sys;
static gyrei_env tortured_env;
static const gyre_allocator tortured_allocator = {.resize = tortured_resize};

static inline void torture_wrap_kernel(void)
{
    pthread_mutexattr_t attributes;
    void *frames[4];

    tortured_sys = *gyrei_env_os.sys;
    tortured_env = gyrei_env_os;
#define TORTURE_SET(name, type, params, args) tortured_sys.name = tortured_##name;
    CALLS(TORTURE_SET)
#undef TORTURE_SET
    tortured_sys.close = tortured_close;
    tortured_sys.event_write = tortured_event_write;
    tortured_sys.map = tortured_map;
    tortured_sys.unmap = tortured_unmap;
    tortured_env.sys = &tortured_sys;
    (void)backtrace(frames, 4); /* it opens a library the first time */
    torture =
        mmap(NULL, sizeof(*torture), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(torture != MAP_FAILED);
    (void)pthread_mutexattr_init(&attributes);
    (void)pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    (void)pthread_mutex_init(&torture->lock, &attributes);
    (void)pthread_mutexattr_destroy(&attributes);
}

static void torture_no_log(void *ctx, const char *line)
{
    (void)ctx;
    (void)line;
}

static inline gyre_loop_options torture_loop_options(void)
{
    return (gyre_loop_options){.size = sizeof(gyre_loop_options),
                               .allocator = &tortured_allocator,
                               .env = &tortured_env,
                               .log = torture_no_log};
}

static inline void torture_print_faults(void)
{
    for (unsigned i = 0; i < torture->fault_count; i++) {
        const fault *one = &torture->faults[i];
        const call kind = one->site == NO_SITE ? one->kind : torture->sites[one->site].kind;

        print_message("%s, number %u, %s %s\n", documents[kind].name, one->from,
                      one->for_ever ? "and for ever:" : "once:", gyre_errname(one->error));
        if (one->site != NO_SITE)
            backtrace_symbols_fd(torture->sites[one->site].frames, torture->sites[one->site].depth,
                                 STDERR_FILENO);
    }
}

/* ---- what a program keeps count of ---- */

static int opened; /* handles initialised */
static int closed; /* close callbacks */
static int taken;  /* requests */
static int ended;  /* their callbacks */

static inline bool is_undisturbed(void)
{
    return torture->fault_count == 0;
}

static void on_closed(gyre_handle *handle)
{
    (void)handle;
    closed++;
}

static inline void close_handle(gyre_handle *handle)
{
    if (!gyre_is_closing(handle))
        gyre_close(handle, on_closed);
}

static inline int opening(int error)
{
    opened += error == 0;
    return error;
}

static inline int taking(int error)
{
    taken += error == 0;
    return error;
}

static void close_each(gyre_handle *handle, void *ctx)
{
    (void)ctx;
    close_handle(handle);
}

/* A wait that fails ends it, with everything in its place: then it is called again. */
static inline void torture_shut_down(gyre_loop *on)
{
    int error = GYRE_EBUSY;

    for (int i = 0; i < 3 && error != 0; i++)
        error = gyre_loop_shutdown(on, GYRE_SECOND);
    if (error != 0)
        torture_print_faults();
    assert_int_equal(error, 0);
}

/* Whatever has failed: what the loop keeps of itself still agrees. */
static inline void torture_verify(const gyre_loop *on)
{
    const char *flaw = gyrei_loop_verify(on);

    if (flaw != NULL) {
        torture_print_faults();
        fail_msg("%s", flaw);
    }
}

/* Turns until `is_done` says so, or nothing more can come; and then the end of the loop. */
static inline void torture_run_and_end(gyre_loop *on, bool (*is_done)(void))
{
    const int turns = is_undisturbed() ? 1000000 : 300;
    int error = 0;

    for (int i = 0; i < turns && error >= 0 && !is_done(); i++) {
        error = gyre_loop_run(on, GYRE_RUN_NOWAIT);
        sched_yield();
    }
    if (is_undisturbed())
        assert_true(is_done());
    torture_verify(on);
    gyre_loop_walk(on, close_each, NULL);
    for (int i = 0; i < 2000 && closed < opened; i++) {
        (void)gyre_loop_run(on, GYRE_RUN_NOWAIT);
        sched_yield();
    }
    torture_verify(on);
    torture_shut_down(on);
}

/* ---- runs ---- */

typedef struct torture_program {
    const char *name;
    void (*run)(void);
} torture_program;

static inline int torture_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 200; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* One run under the present faults. */
static inline void torture_run(const torture_program *program)
{
    const int before = torture_descriptors();

    memset(torture->calls, 0, sizeof(torture->calls));
    for (int i = 0; i < torture->site_count; i++)
        torture->sites[i].seen = 0;
    opened = closed = taken = ended = 0;
    program->run();
    if (closed != opened || ended != taken || torture->blocks != 0 ||
        torture_descriptors() != before)
        torture_print_faults();
    assert_int_equal(closed, opened);
    assert_int_equal(ended, taken);
    assert_int_equal(torture->blocks, 0);
    for (int i = 0; i < PAGES_MAX; i++)
        assert_null(torture->pages[i]);
    assert_int_equal(torture_descriptors(), before);
}

static inline bool has_failed(const fault *one)
{
    const site *at = &torture->sites[one->site];
    const uint32_t failed = one->for_ever ? at->failed_for_ever : at->failed_once;

    for (unsigned i = 0; i < errors_of(at->kind); i++) {
        if (documents[at->kind].errors[i] == one->error)
            return (failed >> i & 1) != 0;
    }
    return false;
}

/* The kernel's pace decides whether some calls are made at all: then there are more tries. */
static inline unsigned torture_fail(const torture_program *program, fault one)
{
    unsigned runs = 0;

    do {
        torture->fault_count = 0;
        if (one.site != NO_SITE && torture->sites[one.site].is_below)
            torture->faults[torture->fault_count++] = torture->sites[one.site].above;
        torture->faults[torture->fault_count++] = one;
        torture_run(program);
        runs++;
    } while (one.site != NO_SITE && !has_failed(&one) && runs < TRIES_MAX);
    return runs;
}

/* A site with each of its errors, once and for ever. */
static inline unsigned torture_fail_site(const torture_program *program, int at)
{
    const call kind = torture->sites[at].kind;
    const unsigned errors = errors_of(kind);
    unsigned runs = 0;

    for (unsigned i = 0; i < errors; i++) {
        fault one = {.site = at, .from = 1, .error = documents[kind].errors[i]};

        runs += torture_fail(program, one);
        if (documents[kind].once)
            continue;
        one.for_ever = true;
        runs += torture_fail(program, one);
    }
    return runs;
}

/* Each single call, as far as a program makes it in every run; of calls by the hundred some. */
static inline unsigned torture_fail_calls(const torture_program *program, const unsigned *normal)
{
    unsigned runs = 0;

    for (int kind = 0; kind < CALLS_COUNT; kind++) {
        for (unsigned n = 1; n <= normal[kind]; n += n < 60 ? 1 : n / 4) {
            for (unsigned e = 0; e < errors_of((call)kind) && e < 4; e++) {
                runs += torture_fail(program, (fault){.site = NO_SITE,
                                                      .kind = (call)kind,
                                                      .from = n,
                                                      .error = documents[kind].errors[e]});
            }
        }
    }
    return runs;
}

static const char *const torture_names[CALLS_COUNT] = {
#define TORTURE_TEXT(name, type, params, args) #name,
    CALLS(TORTURE_TEXT)
#undef TORTURE_TEXT
        "close",
    "event_write",
    "map",
    "resize",
};

/* For tools/torture: what was reached, from where, and with which errors it failed. */
static inline void torture_write_sites(const torture_program *program)
{
    extern const char __executable_start;
    const char *path = getenv("TORTURE_SITES");
    FILE *file = path != NULL ? fopen(path, "a") : NULL;

    for (int i = 0; file != NULL && i < torture->site_count; i++) {
        const site *at = &torture->sites[i];

        fprintf(file, "%s %s %u %d %x %x", program->name, torture_names[at->kind],
                errors_of(at->kind), documents[at->kind].once, (unsigned)at->failed_once,
                (unsigned)at->failed_for_ever);
        for (int frame = 0; frame < at->depth; frame++)
            fprintf(file, " %tx", (char *)at->frames[frame] - &__executable_start);
        fprintf(file, "\n");
    }
    if (file != NULL)
        fclose(file);
}

static inline unsigned torture_failed_sites(void)
{
    unsigned failed = 0;

    for (int i = 0; i < torture->site_count; i++) {
        const site *at = &torture->sites[i];
        const uint32_t all = (UINT32_C(1) << errors_of(at->kind)) - 1;

        failed +=
            at->failed_once == all && (documents[at->kind].once || at->failed_for_ever == all);
    }
    return failed;
}

/* All of it, for one program. */
static inline void torture_all(const torture_program *program)
{
    unsigned normal[CALLS_COUNT];
    unsigned runs = 0;
    int done = 0;

    torture->site_count = 0;
    torture->fault_count = 0;
    torture->blocks = 0;
    memset(torture->pages, 0, sizeof(torture->pages));
    torture_run(program);
    memcpy(normal, torture->calls, sizeof(normal));
    for (; done < torture->site_count; done++)
        runs += torture_fail_site(program, done);
    runs += torture_fail_calls(program, normal);
    for (; done < torture->site_count; done++)
        runs += torture_fail_site(program, done);
    torture->fault_count = 0;
    print_message("%s: %d sites reached, %u failed with each error, once and for ever; %u runs\n",
                  program->name, torture->site_count, torture_failed_sites(), runs);
    torture_write_sites(program);
}

#endif
