/* libevent's raw events: one persistent struct event a connection, own recv and send. */
#include "../common/listener.h"
#include "../common/tail.h"
#include "../common/util.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

struct conn {
    struct event event;
    struct bench_tail tail;
};

static struct event_base *base;
static char buffer[65536];

static void on_event(evutil_socket_t fd, short what, void *arg);

static void conn_close(struct conn *conn, int fd)
{
    event_del(&conn->event);
    close(fd);
    bench_tail_free(&conn->tail);
    free(conn);
}

static void conn_watch(struct conn *conn, int fd, short mask)
{
    event_del(&conn->event);
    event_assign(&conn->event, base, fd, (short)(mask | EV_PERSIST), on_event, conn);
    event_add(&conn->event, NULL);
}

static void on_readable(struct conn *conn, int fd)
{
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) {
            conn_close(conn, fd);
        }
        return;
    }
    ptrdiff_t sent = bench_send(fd, buffer, (size_t)got);
    if (sent < 0) {
        conn_close(conn, fd);
    } else if (sent < got) {
        bench_tail_add(&conn->tail, buffer + sent, (size_t)(got - sent));
        conn_watch(conn, fd, EV_WRITE);
    }
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct conn *conn = arg;
    (void)what;
    if (bench_tail_empty(&conn->tail)) {
        on_readable(conn, fd);
    } else if (!bench_tail_flush(&conn->tail, fd)) {
        conn_close(conn, fd);
    } else if (bench_tail_empty(&conn->tail)) {
        conn_watch(conn, fd, EV_READ);
    }
}

static void on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
    (void)what;
    (void)arg;
    for (int i = 0; i < 64; i++) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            return;
        }
        struct conn *conn = bench_alloc(sizeof *conn);
        *conn = (struct conn){.tail = {.bytes = NULL}};
        event_assign(&conn->event, base, fd, EV_READ | EV_PERSIST, on_event, conn);
        event_add(&conn->event, NULL);
    }
}

int main(int argc, char **argv)
{
    struct bench_listener listener = bench_listener_open(argc, argv);
    base = event_base_new();
    event_add(event_new(base, listener.fd, EV_READ | EV_PERSIST, on_accept, NULL), NULL);
    return event_base_dispatch(base) < 0;
}
