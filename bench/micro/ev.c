/* libev: ev_timer (started with ev_timer_start, re-armed in place with ev_timer_again), ev_idle,
 * ev_async. It has no queue of posts. */
#include "subject.h"

#include "../common/util.h"

#include <ev.h>
#include <stdlib.h>

struct subject {
    struct ev_loop *loop;
    ev_async wake;
    subject_cb cb;
    void *arg;
    ev_timer *timers;
    uint32_t timer_count;
    ev_idle *idles;
    uint32_t idle_count;
    uint64_t idle_calls;
};

const unsigned subject_features = SUBJECT_TIMERS | SUBJECT_IDLE;

subject *subject_open(bool threads)
{
    (void)threads;
    subject *s = calloc(1, sizeof *s);
    if (s == NULL) {
        bench_die("memory");
    }
    s->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    return s;
}

void subject_close(subject *s)
{
    if (s->cb != NULL) {
        ev_async_stop(s->loop, &s->wake);
    }
    ev_loop_destroy(s->loop);
    free(s->idles);
    free(s);
}

void subject_turn(subject *s)
{
    ev_run(s->loop, EVRUN_NOWAIT);
}

void subject_run(subject *s)
{
    ev_run(s->loop, 0);
}

void subject_stop(subject *s)
{
    ev_break(s->loop, EVBREAK_ALL);
}

static void on_wake(struct ev_loop *loop, ev_async *wake, int events)
{
    const subject *s = wake->data;
    (void)loop;
    (void)events;
    s->cb(s->arg);
}

void subject_wake_open(subject *s, subject_cb cb, void *arg)
{
    s->cb = cb;
    s->arg = arg;
    ev_async_init(&s->wake, on_wake);
    s->wake.data = s;
    ev_async_start(s->loop, &s->wake);
}

void subject_wake_send(subject *s)
{
    ev_async_send(s->loop, &s->wake);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events;
    micro_timer_fired();
}

void subject_timers_open(subject *s, uint32_t count)
{
    s->timers = bench_alloc(count * sizeof *s->timers);
    s->timer_count = count;
    for (uint32_t i = 0; i < count; i++) {
        ev_timer_init(&s->timers[i], on_timer, 0., 0.);
    }
}

void subject_timer_start(subject *s, uint32_t timer, uint64_t delay_ns)
{
    ev_timer *watcher = &s->timers[timer];
    double delay = (double)delay_ns / 1e9;
    if (ev_is_active(watcher)) {
        watcher->repeat = delay;
        ev_timer_again(s->loop, watcher);
        watcher->repeat = 0.;
    } else {
        ev_timer_set(watcher, delay, 0.);
        ev_timer_start(s->loop, watcher);
    }
}

void subject_timer_stop(subject *s, uint32_t timer)
{
    ev_timer_stop(s->loop, &s->timers[timer]);
}

void subject_timers_close(subject *s)
{
    for (uint32_t i = 0; i < s->timer_count; i++) {
        ev_timer_stop(s->loop, &s->timers[i]);
    }
    free(s->timers);
}

static void on_idle(struct ev_loop *loop, ev_idle *idle, int events)
{
    (void)loop;
    (void)events;
    ((subject *)idle->data)->idle_calls++;
}

void subject_idle_start(subject *s, uint32_t count)
{
    s->idles = bench_alloc(count * sizeof *s->idles);
    s->idle_count = count;
    for (uint32_t i = 0; i < count; i++) {
        ev_idle_init(&s->idles[i], on_idle);
        s->idles[i].data = s;
        ev_idle_start(s->loop, &s->idles[i]);
    }
}

void subject_idle_stop(subject *s)
{
    for (uint32_t i = 0; i < s->idle_count; i++) {
        ev_idle_stop(s->loop, &s->idles[i]);
    }
}
