/* Bare io_uring, the textbook: multishot accept, multishot receive into 256 x 4 KiB provided
 * buffers, and every answer sent by the ring from the buffer it came in, so that one system call
 * serves a whole batch. A connection has one send in flight, because the ring orders nothing;
 * pieces that arrive meanwhile go out together in the next. */
#include "../common/listener.h"

#include "uring.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { BUFFERS = 256, BUFFER = 4096, NONE = 0xffff, PIECES = 16, VECTORS = 1024 };

struct conn {
    uint16_t first, last; /* held buffers, oldest first, linked by next[] */
    uint16_t flight;      /* how many of them the send in flight covers */
    bool ended;           /* the receive is over: close after the last send */
};

struct vector {
    struct msghdr message;
    struct iovec pieces[PIECES];
};

static struct conn conns[URING_FD_MAX]; /* by descriptor */
static struct iovec held[BUFFERS];      /* what each held buffer contains */
static uint16_t next[BUFFERS];
static struct vector vectors[VECTORS]; /* read by the kernel at submission; one a queued entry */
static unsigned vector_next;
static struct io_uring ring;
static struct uring_pool pool;

static void send_one(int fd, const struct iovec *piece)
{
    struct io_uring_sqe *sqe = uring_sqe(&ring);
    io_uring_prep_send(sqe, fd, piece->iov_base, piece->iov_len, MSG_WAITALL | MSG_NOSIGNAL);
    uring_tag(sqe, URING_SEND, fd);
    conns[fd].flight = 1;
}

static void send_many(int fd)
{
    struct conn *conn = &conns[fd];
    struct io_uring_sqe *sqe = uring_sqe(&ring);
    struct vector *vector = &vectors[vector_next++ % VECTORS];
    size_t count = 0;
    for (uint16_t i = conn->first; i != NONE && count < PIECES; i = next[i]) {
        vector->pieces[count++] = held[i];
    }
    vector->message = (struct msghdr){.msg_iov = vector->pieces, .msg_iovlen = count};
    io_uring_prep_sendmsg(sqe, fd, &vector->message, MSG_WAITALL | MSG_NOSIGNAL);
    uring_tag(sqe, URING_SEND, fd);
    conn->flight = (uint16_t)count;
}

static void send_held(int fd)
{
    const struct conn *conn = &conns[fd];
    if (next[conn->first] == NONE) {
        send_one(fd, &held[conn->first]);
    } else {
        send_many(fd);
    }
}

static void hold(int fd, struct uring_piece piece, size_t length)
{
    struct conn *conn = &conns[fd];
    held[piece.buffer] = (struct iovec){.iov_base = piece.bytes, .iov_len = length};
    next[piece.buffer] = NONE;
    if (conn->first == NONE) {
        conn->first = piece.buffer;
    } else {
        next[conn->last] = piece.buffer;
    }
    conn->last = piece.buffer;
}

static void on_recv(const struct io_uring_cqe *cqe)
{
    int fd = uring_fd(cqe);
    struct conn *conn = &conns[fd];
    if (cqe->res > 0) {
        hold(fd, uring_pool_take(&pool, cqe), (size_t)cqe->res);
        if (conn->flight == 0) {
            send_held(fd);
        }
    } else if (cqe->res != -ENOBUFS) {
        conn->ended = true;
        if (conn->flight == 0) {
            uring_close(&ring, fd);
        }
        return;
    }
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        uring_arm_recv(&ring, fd);
    }
}

static void on_sent(const struct io_uring_cqe *cqe)
{
    int fd = uring_fd(cqe);
    struct conn *conn = &conns[fd];
    for (; conn->flight > 0; conn->flight--) {
        uring_pool_give(&pool, conn->first);
        conn->first = next[conn->first];
    }
    if (cqe->res < 0) {
        shutdown(fd, SHUT_RDWR);
    }
    if (conn->first != NONE) {
        send_held(fd);
    } else if (conn->ended) {
        uring_close(&ring, fd);
    }
}

static void on_accept(const struct io_uring_cqe *cqe)
{
    if (cqe->res >= 0) {
        conns[cqe->res] = (struct conn){.first = NONE, .last = NONE};
        uring_arm_recv(&ring, cqe->res);
    }
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        uring_arm_accept(&ring, uring_fd(cqe));
    }
}

static void on_cqe(const struct io_uring_cqe *cqe)
{
    switch (uring_kind(cqe)) {
    case URING_RECV: on_recv(cqe); break;
    case URING_SEND: on_sent(cqe); break;
    case URING_ACCEPT: on_accept(cqe); break;
    default: break;
    }
}

int main(int argc, char **argv)
{
    struct bench_listener listener = bench_listener_open(argc, argv);
    uring_open(&ring);
    uring_pool_open(&pool, &ring, BUFFERS, BUFFER, false);
    uring_arm_accept(&ring, listener.fd);
    for (;;) {
        uring_turn(&ring, on_cqe);
    }
}
