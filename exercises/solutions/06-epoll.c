/* Exercise 06, solved: a readiness loop on epoll. */
#define _GNU_SOURCE
#include "exercise.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

int reactor_init(struct reactor *reactor)
{
    memset(reactor, 0, sizeof(*reactor));
    reactor->epoll = epoll_create1(EPOLL_CLOEXEC);
    return reactor->epoll < 0 ? -1 : 0;
}

void reactor_close(struct reactor *reactor)
{
    close(reactor->epoll);
}

int reactor_watch(struct reactor *reactor, int fd, uint32_t events, watch_handler handler,
                  void *data)
{
    watch *place = &reactor->watches[fd];
    const uint32_t generation = place->generation + 1;
    const int how = place->handler == NULL ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    struct epoll_event event = {.events = events,
                                .data.u64 = (uint64_t)generation << 32 | (uint32_t)fd};

    if (epoll_ctl(reactor->epoll, how, fd, &event) != 0)
        return -1;
    reactor->count += place->handler == NULL;
    *place = (watch){.handler = handler, .data = data, .generation = generation};
    return 0;
}

int reactor_unwatch(struct reactor *reactor, int fd)
{
    watch *place = &reactor->watches[fd];
    struct epoll_event event = {.events = 0};

    if (place->handler == NULL)
        return -1;
    (void)epoll_ctl(reactor->epoll, EPOLL_CTL_DEL, fd, &event);
    place->handler = NULL;
    reactor->count--;
    return 0;
}

int reactor_turn(struct reactor *reactor, int timeout_ms)
{
    struct epoll_event events[REACTOR_BATCH];
    const int count = epoll_wait(reactor->epoll, events, REACTOR_BATCH, timeout_ms);
    int called = 0;

    if (count < 0)
        return errno == EINTR ? 0 : -1;
    for (int i = 0; i < count; i++) {
        const int fd = (int)(uint32_t)events[i].data.u64;
        const uint32_t generation = (uint32_t)(events[i].data.u64 >> 32);
        const watch now = reactor->watches[fd]; /* an earlier handler may have changed it */

        if (now.handler == NULL || now.generation != generation)
            continue;
        now.handler(reactor, fd, events[i].events, now.data);
        called++;
    }
    return called;
}

int reactor_run(struct reactor *reactor)
{
    while (reactor->count > 0) {
        if (reactor_turn(reactor, -1) < 0)
            return -1;
    }
    return 0;
}
