/* Bare io_uring, the best all-round strategy: multishot accept, multishot receive into a small
 * ring of provided buffers (8 x 64 KiB, filled incrementally, where the kernel has that; else
 * 256 x 4 KiB), and the answer by send(2) at once. The ring learns of a socket's room only after a
 * short send. */
#include "../common/listener.h"
#include "../common/tail.h"

#include "uring.h"

#include <errno.h>
#include <sys/socket.h>

struct conn {
    struct bench_tail tail; /* not empty: POLL_OUT is in flight */
    bool ended;             /* the receive is over */
};

static struct conn conns[URING_FD_MAX]; /* by descriptor */
static struct io_uring ring;
static struct uring_pool pool;

static void close_if_quiet(int fd)
{
    if (conns[fd].ended && bench_tail_empty(&conns[fd].tail)) {
        bench_tail_free(&conns[fd].tail);
        uring_close(&ring, fd);
    }
}

static void echo(int fd, const char *bytes, size_t length)
{
    struct bench_tail *tail = &conns[fd].tail;
    if (!bench_tail_empty(tail)) {
        bench_tail_add(tail, bytes, length);
        return;
    }
    ptrdiff_t sent = bench_send(fd, bytes, length);
    if (sent < 0) {
        shutdown(fd, SHUT_RDWR); /* ends the receive, which closes */
    } else if ((size_t)sent < length) {
        bench_tail_add(tail, bytes + sent, length - (size_t)sent);
        uring_arm_poll_out(&ring, fd);
    }
}

static void on_recv(const struct io_uring_cqe *cqe)
{
    int fd = uring_fd(cqe);
    if (cqe->res > 0) {
        struct uring_piece piece = uring_pool_take(&pool, cqe);
        echo(fd, piece.bytes, (size_t)cqe->res);
        if (piece.last) {
            uring_pool_give(&pool, piece.buffer);
        }
    } else if (cqe->res != -ENOBUFS) {
        conns[fd].ended = true;
        close_if_quiet(fd);
        return;
    }
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        uring_arm_recv(&ring, fd);
    }
}

static void on_writable(int fd)
{
    struct bench_tail *tail = &conns[fd].tail;
    if (!bench_tail_flush(tail, fd)) {
        bench_tail_drop(tail, tail->end - tail->start);
        shutdown(fd, SHUT_RDWR);
    }
    if (!bench_tail_empty(tail)) {
        uring_arm_poll_out(&ring, fd);
    }
    close_if_quiet(fd);
}

static void on_accept(const struct io_uring_cqe *cqe)
{
    if (cqe->res >= 0) {
        conns[cqe->res] = (struct conn){.ended = false};
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
    case URING_ACCEPT: on_accept(cqe); break;
    case URING_POLL_OUT: on_writable(uring_fd(cqe)); break;
    default: break;
    }
}

int main(int argc, char **argv)
{
    struct bench_listener listener = bench_listener_open(argc, argv);
    uring_open(&ring);
    uring_pool_open(&pool, &ring, 8, 65536, true);
    if (!pool.incremental) {
        uring_pool_open(&pool, &ring, 256, 4096, false);
    }
    uring_arm_accept(&ring, listener.fd);
    for (;;) {
        uring_turn(&ring, on_cqe);
    }
}
