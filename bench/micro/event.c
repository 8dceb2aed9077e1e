/* libevent: timers in its heap, event_active as the wake-up, locks only where threads are asked
 * for. It has neither idle callbacks nor a queue of posts. */
#include "subject.h"

#include "../common/util.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/thread.h>
#include <stdlib.h>

struct subject {
    struct event_base *base;
    struct event *wake;
    subject_cb cb;
    void *arg;
    struct event *timers;
    uint32_t timer_count;
};

const unsigned subject_features = SUBJECT_TIMERS;

subject *subject_open(bool threads)
{
    subject *s = calloc(1, sizeof *s);
    if (threads) {
        evthread_use_pthreads();
    }
    if (s == NULL || (s->base = event_base_new()) == NULL) {
        bench_die("event_base_new");
    }
    return s;
}

void subject_close(subject *s)
{
    if (s->wake != NULL) {
        event_free(s->wake);
    }
    event_base_free(s->base);
    free(s);
}

void subject_turn(subject *s)
{
    event_base_loop(s->base, EVLOOP_NONBLOCK | EVLOOP_NO_EXIT_ON_EMPTY);
}

void subject_run(subject *s)
{
    event_base_loop(s->base, EVLOOP_NO_EXIT_ON_EMPTY);
}

void subject_stop(subject *s)
{
    event_base_loopbreak(s->base);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    const subject *s = arg;
    (void)fd;
    (void)what;
    s->cb(s->arg);
}

void subject_wake_open(subject *s, subject_cb cb, void *arg)
{
    s->cb = cb;
    s->arg = arg;
    if (s->wake == NULL) {
        s->wake = event_new(s->base, -1, EV_PERSIST, on_wake, s);
    }
}

void subject_wake_send(subject *s)
{
    event_active(s->wake, EV_READ, 0);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    micro_timer_fired();
}

void subject_timers_open(subject *s, uint32_t count)
{
    s->timers = bench_alloc(count * sizeof *s->timers);
    s->timer_count = count;
    for (uint32_t i = 0; i < count; i++) {
        evtimer_assign(&s->timers[i], s->base, on_timer, NULL);
    }
}

void subject_timer_start(subject *s, uint32_t timer, uint64_t delay_ns)
{
    struct timeval delay = {.tv_sec = (time_t)(delay_ns / 1000000000u),
                            .tv_usec = (suseconds_t)(delay_ns % 1000000000u / 1000u)};
    evtimer_add(&s->timers[timer], &delay);
}

void subject_timer_stop(subject *s, uint32_t timer)
{
    evtimer_del(&s->timers[timer]);
}

void subject_timers_close(subject *s)
{
    for (uint32_t i = 0; i < s->timer_count; i++) {
        evtimer_del(&s->timers[i]);
    }
    free(s->timers);
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
