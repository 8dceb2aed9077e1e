/* Bare io_uring as a readiness interface: one multishot poll a connection, then recv(2) into one
 * static buffer and send(2) at once. No epoll_ctl, no re-queueing as in level-triggered epoll, no
 * provided buffers. A multishot poll is edge-triggered, so a full buffer is read again; it holds
 * the file, so a connection is closed only after its poll was cancelled. */
#include "../common/listener.h"
#include "../common/tail.h"

#include "uring.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>

enum { BUFFER = 65536 };

struct conn {
    struct bench_tail tail; /* not empty: POLL_OUT is in flight, and reading pauses */
    bool polled;            /* POLL_IN is in flight */
    bool ended;             /* close when nothing is in flight */
};

static struct conn conns[URING_FD_MAX]; /* by descriptor */
static char buffer[BUFFER];
static struct io_uring ring;

static void arm_poll_in(int fd)
{
    struct io_uring_sqe *sqe = uring_sqe(&ring);
    io_uring_prep_poll_multishot(sqe, fd, POLLIN);
    uring_tag(sqe, URING_POLL_IN, fd);
    conns[fd].polled = true;
}

static void cancel_poll_in(int fd)
{
    struct io_uring_sqe *sqe = uring_sqe(&ring);
    io_uring_prep_poll_remove(sqe, (uint64_t)URING_POLL_IN << 32 | (uint32_t)fd);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    uring_tag(sqe, URING_CLOSE, fd);
}

static void close_if_quiet(int fd)
{
    if (!conns[fd].polled && bench_tail_empty(&conns[fd].tail)) {
        bench_tail_free(&conns[fd].tail);
        uring_close(&ring, fd);
    }
}

static void conn_end(int fd)
{
    if (conns[fd].ended) {
        return;
    }
    conns[fd].ended = true;
    if (!bench_tail_empty(&conns[fd].tail)) {
        shutdown(fd, SHUT_RDWR); /* completes POLL_OUT */
    }
    if (conns[fd].polled) {
        cancel_poll_in(fd);
    }
    close_if_quiet(fd);
}

/* One recv and its answer; false when there is nothing more to read for now. */
static bool echo_once(int fd)
{
    ssize_t got = recv(fd, buffer, BUFFER, MSG_DONTWAIT);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) {
            conn_end(fd);
        }
        return false;
    }
    ptrdiff_t sent = bench_send(fd, buffer, (size_t)got);
    if (sent < 0) {
        conn_end(fd);
        return false;
    }
    if (sent < got) {
        bench_tail_add(&conns[fd].tail, buffer + sent, (size_t)(got - sent));
        uring_arm_poll_out(&ring, fd);
        return false;
    }
    return got == BUFFER;
}

static void echo(int fd)
{
    while (!conns[fd].ended && bench_tail_empty(&conns[fd].tail) && echo_once(fd)) {
    }
}

static void on_poll_in(const struct io_uring_cqe *cqe)
{
    int fd = uring_fd(cqe);
    conns[fd].polled = (cqe->flags & IORING_CQE_F_MORE) != 0;
    if (conns[fd].ended) {
        if (!conns[fd].polled) {
            close_if_quiet(fd);
        }
        return;
    }
    echo(fd);
    if (!conns[fd].polled && !conns[fd].ended) {
        arm_poll_in(fd);
    }
}

static void on_poll_out(int fd)
{
    struct bench_tail *tail = &conns[fd].tail;
    if (conns[fd].ended || !bench_tail_flush(tail, fd)) {
        bench_tail_drop(tail, tail->end - tail->start);
        if (conns[fd].ended) {
            close_if_quiet(fd);
        } else {
            conn_end(fd);
        }
    } else if (bench_tail_empty(tail)) {
        echo(fd); /* edges that came while reading paused */
    } else {
        uring_arm_poll_out(&ring, fd);
    }
}

static void on_accept(const struct io_uring_cqe *cqe)
{
    if (cqe->res >= 0) {
        conns[cqe->res] = (struct conn){.polled = false};
        arm_poll_in(cqe->res);
    }
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        uring_arm_accept(&ring, uring_fd(cqe));
    }
}

static void on_cqe(const struct io_uring_cqe *cqe)
{
    switch (uring_kind(cqe)) {
    case URING_POLL_IN: on_poll_in(cqe); break;
    case URING_POLL_OUT: on_poll_out(uring_fd(cqe)); break;
    case URING_ACCEPT: on_accept(cqe); break;
    default: break;
    }
}

int main(int argc, char **argv)
{
    struct bench_listener listener = bench_listener_open(argc, argv);
    uring_open(&ring);
    uring_arm_accept(&ring, listener.fd);
    for (;;) {
        uring_turn(&ring, on_cqe);
    }
}
