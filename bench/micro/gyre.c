/* Gyre by its public headers: gyre_timer, gyre_hook, gyre_async, gyre_post. The backend is that of
 * GYRE_BACKEND. */
#include "gyre_arm.h"
#include "subject.h"

#include "../common/util.h"

#include <gyre.h>
#include <stdlib.h>

struct subject {
    gyre_loop *loop;
    gyre_async wake;
    gyre_remote *wake_remote;
    subject_cb cb;
    void *arg;
    gyre_timer *timers;
    uint32_t timer_count;
    gyre_hook *idles;
    uint32_t idle_count;
    uint64_t idle_calls;
    gyre_remote *post_remote;
    subject_cb post_cb;
    void *post_arg;
};

const unsigned subject_features = SUBJECT_TIMERS | SUBJECT_IDLE | SUBJECT_POSTS;

subject *subject_open(bool threads)
{
    (void)threads;
    subject *s = calloc(1, sizeof *s);
    if (s == NULL || gyre_loop_init(&s->loop, NULL) < 0) {
        bench_die("gyre_loop_init");
    }
    return s;
}

void subject_close(subject *s)
{
    gyre_remote_unref(s->wake_remote);
    if (s->post_remote != NULL) {
        gyre_remote_unref(s->post_remote);
        gyre_loop_release(s->loop);
    }
    if (gyre_loop_close(s->loop) == GYRE_EBUSY) {
        gyre_loop_shutdown(s->loop, GYRE_SECOND);
    }
    free(s->idles);
    free(s);
}

void subject_turn(subject *s)
{
    gyre_loop_run(s->loop, GYRE_RUN_NOWAIT);
}

void subject_run(subject *s)
{
    gyre_loop_run(s->loop, GYRE_RUN_DEFAULT);
}

void subject_stop(subject *s)
{
    gyre_loop_stop(s->loop);
}

static void on_wake(gyre_async *wake)
{
    const subject *s = wake->data;
    s->cb(s->arg);
}

void subject_wake_open(subject *s, subject_cb cb, void *arg)
{
    s->cb = cb;
    s->arg = arg;
    s->wake.data = s;
    if (gyre_async_init(s->loop, &s->wake, on_wake) < 0) {
        bench_die("gyre_async_init");
    }
    s->wake_remote = gyre_async_remote(&s->wake);
}

void subject_wake_send(subject *s)
{
    gyre_async_send(s->wake_remote);
}

static void on_timer(gyre_timer *timer)
{
    (void)timer;
    micro_timer_fired();
}

void subject_timers_open(subject *s, uint32_t count)
{
    s->timers = calloc(count, sizeof *s->timers);
    s->timer_count = count;
    for (uint32_t i = 0; i < count; i++) {
        if (gyre_timer_init(s->loop, &s->timers[i]) < 0) {
            bench_die("gyre_timer_init");
        }
    }
}

void subject_timer_start(subject *s, uint32_t timer, uint64_t delay_ns)
{
    micro_gyre_arm(s->loop, &s->timers[timer], delay_ns, on_timer);
}

void subject_timer_stop(subject *s, uint32_t timer)
{
    gyre_timer_stop(&s->timers[timer]);
}

void subject_timers_close(subject *s)
{
    uint64_t others = gyre_loop_handle_count(s->loop) - s->timer_count;
    for (uint32_t i = 0; i < s->timer_count; i++) {
        gyre_close(&s->timers[i].handle, NULL);
    }
    while (gyre_loop_handle_count(s->loop) > others) {
        gyre_loop_tick(s->loop);
    }
    free(s->timers);
}

static void on_idle(gyre_hook *idle)
{
    ((subject *)idle->data)->idle_calls++;
}

void subject_idle_start(subject *s, uint32_t count)
{
    s->idles = calloc(count, sizeof *s->idles);
    s->idle_count = count;
    for (uint32_t i = 0; i < count; i++) {
        gyre_hook_init(s->loop, &s->idles[i], GYRE_HOOK_IDLE);
        s->idles[i].data = s;
        gyre_hook_start(&s->idles[i], on_idle);
    }
}

void subject_idle_stop(subject *s)
{
    for (uint32_t i = 0; i < s->idle_count; i++) {
        gyre_hook_stop(&s->idles[i]);
    }
}

static void on_post(gyre_post_node *node, int status)
{
    const subject *s = node->data;
    (void)status;
    s->post_cb(s->post_arg);
}

uint32_t subject_post_size(void)
{
    return sizeof(gyre_post_node);
}

void subject_posts_open(subject *s, subject_cb cb, void *arg)
{
    s->post_cb = cb;
    s->post_arg = arg;
    s->post_remote = gyre_loop_remote(s->loop);
    gyre_loop_hold(s->loop);
}

void subject_post(subject *s, void *memory)
{
    gyre_post_node *node = memory;
    node->data = s;
    gyre_post(s->post_remote, node, on_post);
}
