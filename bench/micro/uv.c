/* libuv: uv_timer_t, uv_idle_t, uv_async_t; posts as its users write them, a list under a mutex and
 * one uv_async_send for each. */
#include "subject.h"

#include "../common/util.h"

#include <stdlib.h>
#include <uv.h>

struct node {
    struct node *next;
};

struct subject {
    uv_loop_t loop;
    uv_async_t wake;
    subject_cb cb;
    void *arg;
    uv_timer_t *timers;
    uint32_t timer_count;
    uv_idle_t *idles;
    uint32_t idle_count;
    uint64_t idle_calls;
    uv_async_t post_wake;
    uv_mutex_t post_lock;
    struct node *post_first, **post_end;
    subject_cb post_cb;
    void *post_arg;
    bool has_posts;
};

const unsigned subject_features = SUBJECT_TIMERS | SUBJECT_IDLE | SUBJECT_POSTS;

subject *subject_open(bool threads)
{
    (void)threads;
    subject *s = calloc(1, sizeof *s);
    if (s == NULL || uv_loop_init(&s->loop) < 0) {
        bench_die("uv_loop_init");
    }
    return s;
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

static void close_all(subject *s)
{
    uv_walk(&s->loop, close_handle, NULL);
    uv_run(&s->loop, UV_RUN_DEFAULT);
}

void subject_close(subject *s)
{
    if (uv_loop_close(&s->loop) == UV_EBUSY) {
        close_all(s);
        uv_loop_close(&s->loop);
    }
    if (s->has_posts) {
        uv_mutex_destroy(&s->post_lock);
    }
    free(s->idles);
    free(s);
}

void subject_turn(subject *s)
{
    uv_run(&s->loop, UV_RUN_NOWAIT);
}

void subject_run(subject *s)
{
    uv_run(&s->loop, UV_RUN_DEFAULT);
}

void subject_stop(subject *s)
{
    uv_stop(&s->loop);
}

static void on_wake(uv_async_t *wake)
{
    const subject *s = wake->data;
    s->cb(s->arg);
}

void subject_wake_open(subject *s, subject_cb cb, void *arg)
{
    s->cb = cb;
    s->arg = arg;
    s->wake.data = s;
    uv_async_init(&s->loop, &s->wake, on_wake);
}

void subject_wake_send(subject *s)
{
    uv_async_send(&s->wake);
}

static void on_timer(uv_timer_t *timer)
{
    (void)timer;
    micro_timer_fired();
}

void subject_timers_open(subject *s, uint32_t count)
{
    s->timers = bench_alloc(count * sizeof *s->timers);
    s->timer_count = count;
    for (uint32_t i = 0; i < count; i++) {
        uv_timer_init(&s->loop, &s->timers[i]);
    }
}

void subject_timer_start(subject *s, uint32_t timer, uint64_t delay_ns)
{
    uv_timer_start(&s->timers[timer], on_timer, delay_ns / 1000000, 0);
}

void subject_timer_stop(subject *s, uint32_t timer)
{
    uv_timer_stop(&s->timers[timer]);
}

void subject_timers_close(subject *s)
{
    close_all(s);
    free(s->timers);
}

static void on_idle(uv_idle_t *idle)
{
    ((subject *)idle->data)->idle_calls++;
}

void subject_idle_start(subject *s, uint32_t count)
{
    s->idles = bench_alloc(count * sizeof *s->idles);
    s->idle_count = count;
    for (uint32_t i = 0; i < count; i++) {
        uv_idle_init(&s->loop, &s->idles[i]);
        s->idles[i].data = s;
        uv_idle_start(&s->idles[i], on_idle);
    }
}

void subject_idle_stop(subject *s)
{
    for (uint32_t i = 0; i < s->idle_count; i++) {
        uv_idle_stop(&s->idles[i]);
    }
}

static void on_posts(uv_async_t *wake)
{
    subject *s = wake->data;
    uv_mutex_lock(&s->post_lock);
    struct node *node = s->post_first;
    s->post_first = NULL;
    s->post_end = &s->post_first;
    uv_mutex_unlock(&s->post_lock);
    while (node != NULL) {
        struct node *next = node->next;
        s->post_cb(s->post_arg);
        node = next;
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
    s->post_end = &s->post_first;
    s->post_wake.data = s;
    s->has_posts = true;
    uv_mutex_init(&s->post_lock);
    uv_async_init(&s->loop, &s->post_wake, on_posts);
}

void subject_post(subject *s, void *memory)
{
    struct node *node = memory;
    node->next = NULL;
    uv_mutex_lock(&s->post_lock);
    *s->post_end = node;
    s->post_end = &node->next;
    uv_mutex_unlock(&s->post_lock);
    uv_async_send(&s->post_wake);
}
