/* Exercise 02, solved: one-shot timers between input and output. */
#include "exercise.h"

#include <stddef.h>
#include <string.h>

void loop_init(struct loop *loop, struct kernel *kernel)
{
    memset(loop, 0, sizeof(*loop));
    loop->kernel = kernel;
}

int timer_start(struct loop *loop, int64_t delay_ms, timer_handler handler, void *data)
{
    for (int i = 0; i < LOOP_TIMERS_MAX; i++) {
        timer_entry *timer = &loop->timers[i];

        if (timer->id == 0) {
            timer->id = ++loop->last_timer_id;
            timer->due_ms = loop->kernel->now_ms(loop->kernel) + delay_ms;
            timer->handler = handler;
            timer->data = data;
            return timer->id;
        }
    }
    return -1;
}

int timer_stop(struct loop *loop, int id)
{
    if (id <= 0)
        return -1;
    for (int i = 0; i < LOOP_TIMERS_MAX; i++) {
        if (loop->timers[i].id == id) {
            loop->timers[i].id = 0;
            return 0;
        }
    }
    return -1;
}

void reader_start(struct loop *loop, int fd, read_handler handler, void *data)
{
    loop->readers[fd] = (reader_entry){.handler = handler, .data = data};
}

void reader_stop(struct loop *loop, int fd)
{
    loop->readers[fd].handler = NULL;
}

/* The one to run first among those started up to `last_id`; NULL: none. */
static const timer_entry *nearest(const struct loop *loop, int last_id)
{
    const timer_entry *best = NULL;

    for (int i = 0; i < LOOP_TIMERS_MAX; i++) {
        const timer_entry *timer = &loop->timers[i];

        if (timer->id == 0 || timer->id > last_id)
            continue;
        if (best == NULL || timer->due_ms < best->due_ms ||
            (timer->due_ms == best->due_ms && timer->id < best->id))
            best = timer;
    }
    return best;
}

bool loop_alive(const struct loop *loop)
{
    for (int fd = 0; fd < LOOP_FDS_MAX; fd++) {
        if (loop->readers[fd].handler != NULL)
            return true;
    }
    return nearest(loop, loop->last_timer_id) != NULL;
}

int64_t loop_timeout_ms(const struct loop *loop)
{
    const timer_entry *next = nearest(loop, loop->last_timer_id);
    int64_t now_ms;

    if (next == NULL)
        return -1;
    now_ms = loop->kernel->now_ms(loop->kernel);
    return next->due_ms > now_ms ? next->due_ms - now_ms : 0;
}

static int run_readers(struct loop *loop, const int *ready, int count)
{
    int called = 0;

    for (int i = 0; i < count; i++) {
        const reader_entry reader = loop->readers[ready[i]];

        if (reader.handler != NULL) {
            reader.handler(loop, ready[i], reader.data);
            called++;
        }
    }
    return called;
}

static int run_timers(struct loop *loop)
{
    const int last_id = loop->last_timer_id; /* what is started from now on waits */
    const int64_t now_ms = loop->kernel->now_ms(loop->kernel);
    int called = 0;

    for (;;) {
        const timer_entry *next = nearest(loop, last_id);
        timer_entry timer;

        if (next == NULL || next->due_ms > now_ms)
            return called;
        timer = *next;
        /* Before the call: it runs once, and its place is free for one that it starts. */
        (void)timer_stop(loop, timer.id);
        timer.handler(loop, timer.data);
        called++;
    }
}

int loop_turn(struct loop *loop)
{
    int ready[LOOP_FDS_MAX];
    const int count = loop->kernel->wait(loop->kernel, loop_timeout_ms(loop), ready);
    int called = run_readers(loop, ready, count);

    called += run_timers(loop);
    return called;
}

int loop_run(struct loop *loop)
{
    int called = 0;

    while (loop_alive(loop))
        called += loop_turn(loop);
    return called;
}
