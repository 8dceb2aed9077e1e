/* Bare io_uring as in uring_inline.c, with one difference: no function returns across a send. The
 * usual answer is sent by an instruction in main, which calls nobody between and returns to nobody.
 * What that is worth is what the processor loses when it comes back from the kernel: README.md. */
#include "../common/here.h"
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

/* `sent`: what here_send has said of these bytes; 0 when they were not given to it. */
static void keep_rest(int fd, const char *bytes, long length, long sent)
{
    struct bench_tail *tail = &conns[fd].tail;
    if (sent < 0 && sent != -EAGAIN) {
        shutdown(fd, SHUT_RDWR); /* ends the receive, which closes */
        return;
    }
    sent = sent < 0 ? 0 : sent;
    if (bench_tail_empty(tail)) {
        uring_arm_poll_out(&ring, fd);
    }
    bench_tail_add(tail, bytes + sent, (size_t)(length - sent));
}

static void on_recv_ended(const struct io_uring_cqe *cqe)
{
    int fd = uring_fd(cqe);
    if (cqe->res == -ENOBUFS) {
        uring_arm_recv(&ring, fd);
        return;
    }
    conns[fd].ended = true;
    close_if_quiet(fd);
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

/* All but received bytes. */
static void on_cqe(const struct io_uring_cqe *cqe)
{
    switch (uring_kind(cqe)) {
    case URING_RECV: on_recv_ended(cqe); break;
    case URING_ACCEPT: on_accept(cqe); break;
    case URING_POLL_OUT: on_writable(uring_fd(cqe)); break;
    default: break;
    }
}

static void after_recv(const struct io_uring_cqe *cqe, struct uring_piece piece, long sent)
{
    if (sent != cqe->res) {
        keep_rest(uring_fd(cqe), piece.bytes, cqe->res, sent);
    }
    if (piece.last) {
        uring_pool_give(&pool, piece.buffer);
    }
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        uring_arm_recv(&ring, uring_fd(cqe));
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
        struct io_uring_cqe *cqe;
        unsigned head;
        unsigned count = 0;
        io_uring_submit_and_wait(&ring, 1);
        io_uring_for_each_cqe(&ring, head, cqe)
        {
            count++;
            if (uring_kind(cqe) != URING_RECV || cqe->res <= 0) {
                on_cqe(cqe);
                continue;
            }
            struct uring_piece piece = uring_pool_take(&pool, cqe);
            long sent = 0;
            if (bench_tail_empty(&conns[uring_fd(cqe)].tail)) {
                sent = here_send(uring_fd(cqe), piece.bytes, (size_t)cqe->res);
            }
            after_recv(cqe, piece, sent);
        }
        io_uring_cq_advance(&ring, count);
    }
}
