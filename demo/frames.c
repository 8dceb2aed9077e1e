/*
 * Frames: what the loop looks like at one moment, as JSON for the page.
 *
 * Reads the loop's own structures, and changes nothing.
 */
#include "engine.h"

#include "core/loop.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAME_BYTES = 16384, SHOWN_MAX = 12, CROWD_SHOWN = 1000 };

#define CROWD_AGE_NS (4 * GYRE_MILLISECOND)

typedef struct text {
    char bytes[FRAME_BYTES];
    size_t len;
} text;

static void __attribute__((format(printf, 2, 3))) add(text *to, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    to->len += (size_t)vsnprintf(to->bytes + to->len, FRAME_BYTES - to->len, format, arguments);
    va_end(arguments);
    if (to->len >= FRAME_BYTES)
        abort();
}

static const char *comma(bool *first)
{
    const char *separator = *first ? "" : ",";

    *first = false;
    return separator;
}

/* ---- parts ---- */

static void add_stack(text *to, const engine *self)
{
    add(to, "\"stack\":[");
    for (uint32_t i = 0; i < self->depth; i++)
        add(to, "%s\"%s\"", i > 0 ? "," : "", self->stack[i]);
    add(to, "],");
}

static void add_queue(text *to, const engine *self, const char *name, task_place place)
{
    bool first = true;

    add(to, "\"%s\":[", name);
    for (uint32_t i = 0; i < self->program.count; i++) {
        const task *each = &self->tasks[i];

        if (each->place == place)
            add(to, "%s{\"id\":%u,\"name\":\"%s\"}", comma(&first), each->id, each->text->name);
    }
    add(to, "]");
}

/* How many of a task's sockets the kernel has reported, and the program has not read. */
static uint32_t ready_sockets(const task *each)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < each->count; i++)
        count += each->ours[i].is_open && each->ours[i].tcp.stream.in.state == GYREI_OP_RUNNABLE;
    return count;
}

static uint32_t open_sockets(const task *each)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < each->count; i++)
        count += each->ours[i].is_open;
    return count;
}

static void add_sockets(text *to, const engine *self, const char *name, bool ready)
{
    bool first = true;

    add(to, "\"%s\":[", name);
    for (uint32_t i = 0; i < self->program.count; i++) {
        const task *each = &self->tasks[i];
        const uint32_t count = ready ? ready_sockets(each) : open_sockets(each);

        if (count == 0)
            continue;
        add(to, "%s{\"fd\":%d,\"name\":\"%s\",\"count\":%u,\"%s\":\"read\"}", comma(&first),
            each->ours[0].is_open ? gyre_stream_fd(&each->ours[0].tcp.stream) : -1,
            each->text->name, count, ready ? "what" : "want");
    }
    add(to, "]");
}

static void add_poll(text *to, const engine *self)
{
    bool first = true;

    add(to, "\"poll\":[");
    for (uint32_t i = 0; i < self->program.count; i++) {
        const uint32_t count = ready_sockets(&self->tasks[i]);

        if (count > 0)
            add(to, "%s{\"id\":%u,\"name\":\"%s\",\"count\":%u}", comma(&first), self->tasks[i].id,
                self->tasks[i].text->name, count);
    }
    add(to, "],");
}

static void add_queues(text *to, const engine *self)
{
    add(to, "\"queues\":{");
    add_queue(to, self, "pending", PLACE_PENDING);
    add(to, ",");
    add_queue(to, self, "idle", PLACE_IDLE);
    add(to, ",\"prepare\":[],");
    add_poll(to, self);
    add_queue(to, self, "check", PLACE_CHECK);
    add(to, ",");
    add_queue(to, self, "close", PLACE_CLOSE);
    add(to, ",");
    add_queue(to, self, "pool", PLACE_POOL);
    add(to, ",");
    add_queue(to, self, "away", PLACE_AWAY);
    add(to, "},");
}

static const task *owner_of(const engine *self, const gyre_timer_node *node)
{
    for (uint32_t i = 0; i < self->program.count; i++) {
        if (&self->tasks[i].timer.node == node && self->tasks[i].has_timer)
            return &self->tasks[i];
    }
    return NULL;
}

/* The heap as it is: four children each, those of i at 4 i + 1. */
static void add_timers(text *to, const engine *self)
{
    const gyrei_heap *heap = &self->loop->timers;
    bool first = true;

    add(to, "\"timers\":[");
    for (uint32_t i = 0; i < heap->count && i < SHOWN_MAX; i++) {
        const gyre_timer_node *node = heap->entries[i].node;
        const task *owner = owner_of(self, node);
        const uint64_t key = heap->entries[i].key;

        add(to, "%s{\"id\":%u,\"name\":\"%s\",\"deadline_ns\":%llu,\"parent\":%d}", comma(&first),
            owner != NULL ? owner->id : 0, owner != NULL ? owner->text->name : "(slices)",
            (unsigned long long)(key > self->begun_ns ? key - self->begun_ns : 0),
            i == 0 ? -1 : (int)((i - 1) / 4));
    }
    add(to, "],");
}

static void add_log(text *to, const char *log)
{
    add(to, "\"log\":\"");
    for (; *log != '\0'; log++)
        add(to, *log == '"' || *log == '\\' ? "\\%c" : "%c", *log);
    add(to, "\",");
}

/* ---- frames ---- */

static const char *mode_name(gyre_run_mode mode)
{
    return mode == GYRE_RUN_DEFAULT ? "default" : mode == GYRE_RUN_ONCE ? "once" : "nowait";
}

static void draw(engine *self, text *to, const task *of, const char *ran, const char *log)
{
    to->len = 0;
    add(to, "{\"event\":%llu,\"turn\":%u,\"now_ns\":%llu,\"phase\":\"%s\",\"mode\":\"%s\",",
        (unsigned long long)self->events, self->turn,
        (unsigned long long)(self->now_ns - self->begun_ns),
        self->phase == GYRE_PHASE_NONE ? "outside" : gyre_phase_name(self->phase),
        mode_name(self->program.mode));
    add_stack(to, self);
    add_queues(to, self);
    add_timers(to, self);
    add(to, "\"kernel\":{");
    add_sockets(to, self, "interest", false);
    add(to, ",");
    add_sockets(to, self, "ready", true);
    add(to, "},");
    add_log(to, log);
    add(to, "\"line\":%u,\"ran\":\"%s%s%s\",\"answered\":%llu,\"worst_ms\":%u,",
        (unsigned)source_line(&self->program, of, ran), ran != NULL ? ran : "",
        of != NULL ? " " : "", of != NULL ? of->text->name : "", (unsigned long long)self->answered,
        (unsigned)(self->worst_ns / GYRE_MILLISECOND));
    add(to, "\"ended\":%s,\"alive\":%u}", self->is_ended ? "true" : "false",
        (unsigned)self->loop->alive);
}

void frame_make(engine *self, const task *of, const char *ran, const char *format, ...)
{
    static text picture;
    char log[256];
    va_list arguments;

    self->events++;
    self->now_ns = gyre_sim_now_ns(self->sim);
    if (self->frame_count == sizeof(self->frames) / sizeof(self->frames[0]))
        abort();
    if (self->events < self->draw_from && !self->is_ended) {
        self->frames[self->frame_count++] = NULL;
        return;
    }
    va_start(arguments, format);
    vsnprintf(log, sizeof(log), format, arguments);
    va_end(arguments);
    draw(self, &picture, of, ran, log);
    self->frames[self->frame_count] = strdup(picture.bytes);
    if (self->frames[self->frame_count++] == NULL)
        abort();
}

void frame_crowd(engine *self, bool must)
{
    const uint32_t count = self->crowd;
    const uint64_t age_ns = gyre_sim_now_ns(self->sim) - self->now_ns;

    if (count == 0 || (!must && count < CROWD_SHOWN && age_ns < CROWD_AGE_NS))
        return;
    self->crowd = 0;
    frame_make(self, NULL, "on_read",
               "%u of the crowd were served, one after the other, in one thread. The longest wait "
               "so far was %u ms.",
               count, (unsigned)(self->worst_ns / GYRE_MILLISECOND));
}

void frames_free(engine *self)
{
    for (uint32_t i = 0; i < self->frame_count; i++)
        free(self->frames[i]);
    self->frame_count = 0;
    self->frame_next = 0;
}
