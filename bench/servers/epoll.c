/* Bare epoll, level-triggered, best practice; the base of all ratios.
 *
 * One static receive buffer, which stays hot; the answer is sent at once; EPOLLOUT is armed only
 * while a socket is full, and reading pauses meanwhile; a short read means drained, so nobody
 * asks for EAGAIN; accept4 in a loop; no epoll_ctl in steady state. */
#include "../common/listener.h"
#include "../common/tail.h"
#include "../common/util.h"

#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

enum { EVENTS = 1024, BUFFER = 65536, FD_MAX = 32768, ACCEPTS = 64 };

static struct bench_tail tails[FD_MAX]; /* by descriptor */
static char buffer[BUFFER];
static int epoll_fd;

static void watch(int how, int fd, uint32_t mask)
{
    struct epoll_event event = {.events = mask, .data.fd = fd};
    if (epoll_ctl(epoll_fd, how, fd, &event) < 0) {
        bench_die("epoll_ctl");
    }
}

static void conn_close(int fd)
{
    bench_tail_free(&tails[fd]);
    close(fd);
}

static void on_accept(int listen_fd)
{
    for (int i = 0; i < ACCEPTS; i++) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            return;
        }
        watch(EPOLL_CTL_ADD, fd, EPOLLIN);
    }
}

static void on_readable(int fd)
{
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) {
            conn_close(fd);
        }
        return;
    }
    ptrdiff_t sent = bench_send(fd, buffer, (size_t)got);
    if (sent < 0) {
        conn_close(fd);
    } else if (sent < got) {
        bench_tail_add(&tails[fd], buffer + sent, (size_t)(got - sent));
        watch(EPOLL_CTL_MOD, fd, EPOLLOUT);
    }
}

static void on_writable(int fd)
{
    if (!bench_tail_flush(&tails[fd], fd)) {
        conn_close(fd);
    } else if (bench_tail_empty(&tails[fd])) {
        watch(EPOLL_CTL_MOD, fd, EPOLLIN);
    }
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    struct bench_listener listener = bench_listener_open(argc, argv);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    watch(EPOLL_CTL_ADD, listener.fd, EPOLLIN);
    for (;;) {
        int count = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener.fd) {
                on_accept(listener.fd);
            } else if (!bench_tail_empty(&tails[events[i].data.fd])) {
                on_writable(events[i].data.fd);
            } else {
                on_readable(events[i].data.fd);
            }
        }
    }
}
