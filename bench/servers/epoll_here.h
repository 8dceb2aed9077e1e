/* Read before epoll.c, it makes the server of the same name without one thing: recv, send and
 * epoll_wait are made in main, and no function returns across them. */
#ifndef EPOLL_HERE_H
#define EPOLL_HERE_H

#include "../common/here.h"
#include "../common/tail.h"
#include "../common/util.h"

#include <errno.h>
#include <stddef.h>

/* As the functions of epoll.c answer. */
BENCH_HERE ssize_t answer(long result)
{
    if (result >= 0) {
        return result;
    }
    errno = (int)-result;
    return -1;
}

BENCH_HERE ptrdiff_t taken(long result)
{
    return result == -EAGAIN ? 0 : answer(result);
}

#define recv(fd, bytes, length, flags) answer(here_recv(fd, bytes, length))
#define bench_send(fd, bytes, length) taken(here_send(fd, bytes, length))
#define epoll_wait(epoll, events, max, timeout) here_epoll_wait(epoll, events, max, timeout)

#endif
