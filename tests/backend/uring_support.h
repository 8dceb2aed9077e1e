/*
 * What the tests of the io_uring backend share: an environment whose calls of io_uring can be
 * refused or watched, raw operations with a record of their results, and pairs of sockets.
 */
#ifndef GYRE_TEST_URING_SUPPORT_H
#define GYRE_TEST_URING_SUPPORT_H

/* before fixture.h, whose global their parameters would shadow */
#include "backend/uring.h"
#include "core/loop.h"

#include "fixture.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- the kernel, as the test wants it ---- */

/* Each is asked before the call is made: 0 makes it, an error is the answer instead. */
typedef struct test_kernel {
    int (*on_setup)(uint32_t *entries, struct io_uring_params *params);
    int (*on_register)(uint32_t what, void *argument);
    int (*on_enter)(uint32_t submit, uint32_t wait);
    /* after a call that was made */
    void (*after_register)(uint32_t what, void *argument);
    void (*after_enter)(void);
    const char *backend; /* the variables GYRE_BACKEND and GYRE_BACKEND_STRICT */
    const char *strict;
    unsigned enters;
    unsigned setups;
} test_kernel;

static test_kernel kernel;
static gyrei_sys kernel_sys;
static gyrei_env kernel_env;

static inline int kernel_setup(const gyrei_env *env, uint32_t entries,
                               struct io_uring_params *params)
{
    int error = 0;

    kernel.setups++;
    if (kernel.on_setup != NULL)
        error = kernel.on_setup(&entries, params);
    return error != 0 ? error : gyrei_env_os.sys->uring_setup(env, entries, params);
}

static inline int kernel_register(const gyrei_env *env, int ring, uint32_t what, void *argument,
                                  uint32_t count)
{
    int result = 0;

    if (kernel.on_register != NULL)
        result = kernel.on_register(what, argument);
    if (result != 0)
        return result;
    result = gyrei_env_os.sys->uring_register(env, ring, what, argument, count);
    if (result >= 0 && kernel.after_register != NULL)
        kernel.after_register(what, argument);
    return result;
}

static inline int kernel_enter(const gyrei_env *env, int ring, uint32_t submit, uint32_t wait,
                               uint32_t flags, const void *argument, size_t size)
{
    int result = 0;

    kernel.enters++;
    if (kernel.on_enter != NULL)
        result = kernel.on_enter(submit, wait);
    if (result != 0)
        return result;
    result = gyrei_env_os.sys->uring_enter(env, ring, submit, wait, flags, argument, size);
    if (kernel.after_enter != NULL)
        kernel.after_enter();
    return result;
}

static inline const char *kernel_variable(const gyrei_env *env, const char *name)
{
    (void)env;
    return strcmp(name, "GYRE_BACKEND") == 0 ? kernel.backend : kernel.strict;
}

/* The real kernel again; io_uring is asked for, and no other will do. */
static inline void kernel_reset(void)
{
    kernel = (test_kernel){.backend = "uring", .strict = "1"};
    kernel_sys = *gyrei_env_os.sys;
    kernel_sys.uring_setup = kernel_setup;
    kernel_sys.uring_register = kernel_register;
    kernel_sys.uring_enter = kernel_enter;
    kernel_env = gyrei_env_os;
    kernel_env.sys = &kernel_sys;
    kernel_env.variable = kernel_variable;
}

/* These tests are for one backend; the others have nothing to run. */
static inline bool is_for_us(void)
{
    const char *name = getenv("GYRE_BACKEND");

    return name == NULL || strcmp(name, "uring") == 0;
}

#define NEED_URING()                                                                               \
    do {                                                                                           \
        if (!is_for_us())                                                                          \
            skip();                                                                                \
    } while (0)

/* Opens the test's loop on that kernel. It is held, so that turns wait for raw operations. */
static inline int loop_open(gyre_loop_options options)
{
    int error;

    options.size = sizeof(options);
    options.env = &kernel_env;
    error = gyre_loop_init(&loop, &options);
    if (error == 0)
        gyre_loop_hold(loop);
    return error;
}

static inline void loop_open_well(gyre_loop_options options)
{
    assert_int_equal(loop_open(options), 0);
    assert_string_equal(gyre_loop_backend_name(loop), "uring");
}

static inline gyrei_uring *uring_of_loop(void)
{
    return (gyrei_uring *)(void *)loop->backend;
}

/* Ends the hold and closes; every operation has ended. */
static inline void loop_close_well(void)
{
    const gyrei_uring *uring = uring_of_loop();

    for (uint32_t i = 0; i < uring->pool.count; i++)
        assert_int_equal(uring->pool.buffers[i].parts, 0);
    gyre_loop_release(loop);
    assert_int_equal(gyre_loop_close(loop), 0);
    loop = NULL;
}

/* ---- descriptors ---- */

static inline int open_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static inline void socket_pair(int *ends)
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
}

static inline void send_bytes(int fd, const char *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* Whether the peer of `fd` is closed. */
static inline bool is_at_end(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

/* A unix listener at an abstract address, which is also returned. */
static inline int listen_somewhere(struct sockaddr_un *address, socklen_t *len)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    /* Autobind: the kernel picks the name (unix(7)). */
    assert_int_equal(bind(fd, (struct sockaddr *)address, sizeof(sa_family_t)), 0);
    *len = sizeof(*address);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, len), 0);
    assert_int_equal(listen(fd, 4096), 0);
    return fd;
}

static inline int connect_to(const struct sockaddr_un *address, socklen_t len)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_int_equal(connect(fd, (const struct sockaddr *)address, len), 0);
    return fd;
}

/* ---- raw operations ---- */

enum { RAW_BYTES = 1 << 20, RAW_FDS = 8192 };

/* An operation and what it came to. */
typedef struct raw_op {
    gyre_op op;
    unsigned results;
    int32_t value; /* of the last result */
    bool final;
    char *bytes; /* all that was received, in order; room for RAW_BYTES, or NULL */
    size_t len;
    int *fds; /* all that was accepted; room for RAW_FDS, or NULL */
    unsigned fd_count;
    void (*on_result)(struct raw_op *raw, const gyrei_result *result);
} raw_op;

static inline void raw_done(gyre_loop *of, gyre_op *op, const gyrei_result *result)
{
    raw_op *raw = GYRE_CONTAINER_OF(op, raw_op, op);

    (void)of;
    assert_false(raw->final);
    raw->results++;
    raw->value = result->value;
    raw->final = (result->flags & GYREI_RESULT_MORE) == 0;
    assert_int_equal(raw->final, gyrei_op_is_idle(op));
    if ((result->flags & GYREI_RESULT_BUFFER) != 0 && raw->bytes != NULL) {
        assert_true(raw->len + (size_t)result->value <= RAW_BYTES);
        memcpy(raw->bytes + raw->len, result->base, (size_t)result->value);
        raw->len += (size_t)result->value;
    }
    if (op->kind == GYREI_OP_ACCEPT && result->value >= 0 && raw->fds != NULL) {
        assert_true(raw->fd_count < RAW_FDS);
        raw->fds[raw->fd_count++] = result->value;
    }
    if (raw->on_result != NULL)
        raw->on_result(raw, result);
}

static inline raw_op *raw_new(gyrei_op_kind kind, int fd, uint32_t flags)
{
    raw_op *raw = lasting(sizeof(*raw));

    assert_int_equal(gyrei_op_init(loop, &raw->op), 0);
    gyrei_op_prepare(&raw->op, kind, fd, flags, raw_done);
    return raw;
}

/* Submits it again as it was. */
static inline void raw_submit(raw_op *raw)
{
    raw->final = false;
    raw->value = 0;
    gyrei_op_submit(loop, &raw->op);
}

/* A multishot receive into the pool that remembers the bytes. */
static inline raw_op *raw_receive(int fd)
{
    raw_op *raw = raw_new(GYREI_OP_RECV, fd, GYREI_OP_MULTISHOT);

    raw->bytes = lasting(RAW_BYTES);
    raw_submit(raw);
    return raw;
}

static inline raw_op *raw_accept(int fd)
{
    raw_op *raw = raw_new(GYREI_OP_ACCEPT, fd, GYREI_OP_MULTISHOT);

    raw->fds = lasting(RAW_FDS * sizeof(int));
    raw_submit(raw);
    return raw;
}

static inline void raw_free(raw_op *raw)
{
    assert_true(gyrei_op_is_idle(&raw->op));
    gyrei_op_close(loop, &raw->op);
}

/* One turn that waits; nothing that these tests wait for takes so long. */
static inline void turn(void)
{
    assert_true(gyre_loop_run(loop, GYRE_RUN_ONCE) >= 0);
}

static inline void turn_now(void)
{
    assert_true(gyre_loop_run(loop, GYRE_RUN_NOWAIT) >= 0);
}

static inline void run_until_final(const raw_op *raw)
{
    while (!raw->final)
        turn();
}

static inline void run_until_received(const raw_op *raw, size_t len)
{
    while (raw->len < len)
        turn();
    assert_int_equal(raw->len, len);
}

/* Cancels, and waits until that has happened. */
static inline void raw_end(raw_op *raw)
{
    gyrei_op_cancel(loop, &raw->op);
    run_until_final(raw);
    raw_free(raw);
}

/* ---- set-up ---- */

static inline int uring_set_up(void **state)
{
    (void)state;
    kernel_reset();
    loop = NULL;
    return 0;
}

#define URING_TEST(name) cmocka_unit_test_setup_teardown(name, uring_set_up, loop_tear_down)

#endif
