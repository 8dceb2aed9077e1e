/*
 * For tests of the seam: raw operations with a record of their results, and pairs of sockets.
 */
#ifndef GYRE_TEST_RAW_H
#define GYRE_TEST_RAW_H

/* before fixture.h, whose global their parameters would shadow */
#include "core/loop.h"

#include "fixture.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

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

    if (kind < GYREI_OP_OPEN)
        assert_int_equal(loop->ops->attach(loop->backend, fd, kind == GYREI_OP_POLL), 0);
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
    assert_null(gyrei_loop_verify(loop));
}

static inline void turn_now(void)
{
    assert_true(gyre_loop_run(loop, GYRE_RUN_NOWAIT) >= 0);
    assert_null(gyrei_loop_verify(loop));
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

#endif
