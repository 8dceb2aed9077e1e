/*
 * The look at the kernel, in words: what it brought, how long the thread slept, what ended the
 * sleep, or why there was none.
 */
#include "engine.h"

#include "core/loop.h"

#include <stdio.h>
#include <string.h>

enum { CROWD_READY = 100, REASON_BYTES = 128 };

/* Less than this is the time that things take, and no sleep. */
#define SLEPT_NS (10 * GYRE_MICROSECOND)

static bool has_crowd(const engine *self)
{
    for (uint32_t i = 0; i < self->program.count; i++) {
        if (self->tasks[i].text->kind == TASK_CROWD && self->tasks[i].open > 0)
            return true;
    }
    return false;
}

static uint32_t sum_of(const engine *self, uint32_t (*count)(const task *each))
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < self->program.count; i++)
        sum += count(&self->tasks[i]);
    return sum;
}

/* The one task that has ready sockets, or NULL when there are more. */
static const task *only_ready(const engine *self)
{
    const task *only = NULL;

    for (uint32_t i = 0; i < self->program.count; i++) {
        if (ready_sockets(&self->tasks[i]) == 0)
            continue;
        if (only != NULL || self->tasks[i].text->kind == TASK_CROWD)
            return NULL;
        only = &self->tasks[i];
    }
    return only;
}

static const task *posted(const engine *self)
{
    for (uint32_t i = 0; i < self->program.count; i++) {
        const task *each = &self->tasks[i];

        if (each->text->kind == TASK_POST && each->place == PLACE_PENDING)
            return each;
    }
    return NULL;
}

static const task *computed(const engine *self)
{
    for (uint32_t i = 0; i < self->program.count; i++) {
        if (self->tasks[i].is_computed)
            return &self->tasks[i];
    }
    return NULL;
}

/* What ended the sleep. */
static const char *what_came(const engine *self, uint32_t ready, char *room)
{
    const task *one;

    if (ready > 0 && (one = only_ready(self)) != NULL)
        snprintf(room, REASON_BYTES, "%s's socket became readable", one->text->name);
    else if (ready > 0)
        snprintf(room, REASON_BYTES, "%s sockets became readable", words_count(ready));
    else if ((one = posted(self)) != NULL)
        snprintf(room, REASON_BYTES, "another thread posted %s and woke the loop", one->text->name);
    else if ((one = computed(self)) != NULL)
        snprintf(room, REASON_BYTES, "the pool had computed %s and woke the loop", one->text->name);
    else if (self->loop->runnable_count > 0)
        snprintf(room, REASON_BYTES, "a peer had taken what was written to it");
    else if ((one = first_timer(self)) != NULL)
        snprintf(room, REASON_BYTES, "timer %s was due", one->text->name);
    else
        snprintf(room, REASON_BYTES, "its time was up");
    return room;
}

/* Why it did not sleep, though nothing was ready. */
static const char *why_awake(const engine *self, char *room)
{
    const task *first = first_timer(self);

    if (self->program.mode == GYRE_RUN_NOWAIT)
        return "NOWAIT never does";
    if (self->loop->idle_count > 0)
        return "an idle hook is started, and wants to run in every turn";
    if (self->loop->closing_count > 0)
        return "a close callback is due in this turn";
    if (!self->may_sleep)
        return "this one turn has had work to do already, and ONCE wants to get back to main";
    if (self->loop->timers.count > 0 && first != NULL) {
        snprintf(room, REASON_BYTES, "timer %s is due already", first->text->name);
        return room;
    }
    return "work was left over";
}

void wait_begins(engine *self)
{
    self->wait_ns = gyre_sim_now_ns(self->sim);
}

static void tell_ready(engine *self, uint32_t ready)
{
    const uint32_t open = sum_of(self, open_sockets);
    const task *one = only_ready(self);

    if (one != NULL)
        frame_make(self, NULL, NULL,
                   "One call asks the kernel about every socket at once. %s's is ready, and is "
                   "served in this turn.",
                   one->text->name);
    else
        frame_make(self, NULL, NULL,
                   "One call asks the kernel about all %s sockets at once: %s %s ready, and every "
                   "one of them is served before it asks again.",
                   words_count(open), words_count(ready), ready == 1 ? "is" : "are");
}

void wait_over(engine *self)
{
    const uint64_t slept_ns = gyre_sim_now_ns(self->sim) - self->wait_ns;
    const uint32_t ready = sum_of(self, ready_sockets);
    char room[REASON_BYTES];

    self->asks++;
    self->sleeps += slept_ns >= SLEPT_NS;
    /* Of a crowd's turns, which are many, the ones that bring much are shown. */
    if (has_crowd(self) && ready < CROWD_READY && self->loop->idle_count == 0)
        return;
    if (slept_ns >= SLEPT_NS)
        frame_make(self, NULL, NULL,
                   "Nothing was ready, so the thread slept in the kernel for %s ms, at no cost, "
                   "until %s.",
                   words_ms(slept_ns), what_came(self, ready, room));
    else if (ready > 0)
        tell_ready(self, ready);
    else if (self->loop->runnable_count > 0 || posted(self) != NULL || computed(self) != NULL)
        frame_make(self, NULL, NULL, "The kernel is asked: %s.", what_came(self, ready, room));
    else
        frame_make(self, NULL, NULL,
                   "The kernel is asked, and has nothing. The thread does not sleep on it, because "
                   "%s.",
                   why_awake(self, room));
}
