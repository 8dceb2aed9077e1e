/* libev as its manual shows it: one ev_io a connection, started and stopped as needed. */
#include "../common/listener.h"
#include "../common/tail.h"
#include "../common/util.h"

#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

struct conn {
    ev_io io;
    struct bench_tail tail;
};

static char buffer[65536];

static void conn_close(struct ev_loop *loop, struct conn *conn)
{
    ev_io_stop(loop, &conn->io);
    close(conn->io.fd);
    bench_tail_free(&conn->tail);
    free(conn);
}

static void conn_watch(struct ev_loop *loop, struct conn *conn, int mask)
{
    ev_io_stop(loop, &conn->io);
    ev_io_set(&conn->io, conn->io.fd, mask);
    ev_io_start(loop, &conn->io);
}

static void on_readable(struct ev_loop *loop, struct conn *conn)
{
    ssize_t got = recv(conn->io.fd, buffer, sizeof buffer, 0);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) {
            conn_close(loop, conn);
        }
        return;
    }
    ptrdiff_t sent = bench_send(conn->io.fd, buffer, (size_t)got);
    if (sent < 0) {
        conn_close(loop, conn);
    } else if (sent < got) {
        bench_tail_add(&conn->tail, buffer + sent, (size_t)(got - sent));
        conn_watch(loop, conn, EV_WRITE);
    }
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
    struct conn *conn = (struct conn *)io;
    (void)events;
    if (bench_tail_empty(&conn->tail)) {
        on_readable(loop, conn);
    } else if (!bench_tail_flush(&conn->tail, io->fd)) {
        conn_close(loop, conn);
    } else if (bench_tail_empty(&conn->tail)) {
        conn_watch(loop, conn, EV_READ);
    }
}

static void on_accept(struct ev_loop *loop, ev_io *io, int events)
{
    (void)events;
    for (int i = 0; i < 64; i++) {
        int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            return;
        }
        struct conn *conn = bench_alloc(sizeof *conn);
        *conn = (struct conn){.tail = {.bytes = NULL}};
        ev_io_init(&conn->io, on_io, fd, EV_READ);
        ev_io_start(loop, &conn->io);
    }
}

int main(int argc, char **argv)
{
    struct bench_listener listener = bench_listener_open(argc, argv);
    struct ev_loop *loop = ev_loop_new(EVBACKEND_EPOLL);
    ev_io io;
    ev_io_init(&io, on_accept, listener.fd, EV_READ);
    ev_io_start(loop, &io);
    ev_run(loop, 0);
    return 0;
}
