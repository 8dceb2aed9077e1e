/* Bare primitives: epoll, one eventfd that is edge-triggered and never read, a pending flag before
 * each write, and for posts an intrusive stack taken whole. No timers. */
#include "subject.h"

#include "../common/util.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct node {
    struct node *next;
};

struct subject {
    int epoll_fd, event_fd;
    bool stopped;
    subject_cb cb, post_cb;
    void *arg, *post_arg;
    _Alignas(64) atomic_bool pending;
    _Alignas(64) _Atomic(struct node *) posts;
};

const unsigned subject_features = SUBJECT_POSTS;

subject *subject_open(bool threads)
{
    (void)threads;
    subject *s = aligned_alloc(64, sizeof *s);
    if (s == NULL) {
        bench_die("memory");
    }
    *s = (subject){.epoll_fd = epoll_create1(EPOLL_CLOEXEC),
                   .event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->event_fd, &event);
    return s;
}

void subject_close(subject *s)
{
    close(s->epoll_fd);
    close(s->event_fd);
    free(s);
}

static void run_posts(subject *s)
{
    struct node *node = atomic_exchange(&s->posts, NULL);
    struct node *oldest = NULL;
    while (node != NULL) { /* newest first: turn them round */
        struct node *older = node->next;
        node->next = oldest;
        oldest = node;
        node = older;
    }
    while (oldest != NULL) {
        struct node *next = oldest->next;
        s->post_cb(s->post_arg);
        oldest = next;
    }
}

static void turn(subject *s, int timeout)
{
    struct epoll_event event;
    if (epoll_wait(s->epoll_fd, &event, 1, timeout) != 1) {
        return;
    }
    if (s->post_cb != NULL) {
        run_posts(s);
    }
    if (atomic_exchange(&s->pending, false)) {
        s->cb(s->arg);
    }
}

void subject_turn(subject *s)
{
    turn(s, 0);
}

void subject_run(subject *s)
{
    s->stopped = false;
    while (!s->stopped) {
        turn(s, -1);
    }
}

void subject_stop(subject *s)
{
    s->stopped = true;
}

void subject_wake_open(subject *s, subject_cb cb, void *arg)
{
    s->cb = cb;
    s->arg = arg;
}

static void notify(const subject *s)
{
    const uint64_t one = 1;
    if (write(s->event_fd, &one, sizeof one) != sizeof one) {
        bench_die("eventfd");
    }
}

void subject_wake_send(subject *s)
{
    if (!atomic_load_explicit(&s->pending, memory_order_relaxed) &&
        !atomic_exchange(&s->pending, true)) {
        notify(s);
    }
}

uint32_t subject_post_size(void)
{
    return sizeof(struct node);
}

void subject_posts_open(subject *s, subject_cb cb, void *arg)
{
    s->post_cb = cb;
    s->post_arg = arg;
}

void subject_post(subject *s, void *memory)
{
    struct node *node = memory;
    node->next = atomic_load_explicit(&s->posts, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&s->posts, &node->next, node)) {
    }
    if (node->next == NULL) {
        notify(s);
    }
}

void subject_timers_open(subject *s, uint32_t count)
{
    (void)s;
    (void)count;
}

void subject_timer_start(subject *s, uint32_t timer, uint64_t delay_ns)
{
    (void)s;
    (void)timer;
    (void)delay_ns;
}

void subject_timer_stop(subject *s, uint32_t timer)
{
    (void)s;
    (void)timer;
}

void subject_timers_close(subject *s)
{
    (void)s;
}

void subject_idle_start(subject *s, uint32_t count)
{
    (void)s;
    (void)count;
}

void subject_idle_stop(subject *s)
{
    (void)s;
}
