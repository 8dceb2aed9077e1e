/*
 * Frames: what the loop looks like at one moment, as JSON for the page.
 *
 * Reads the loop's own structures, and changes nothing.
 */
#include "engine.h"

#include "core/loop.h"
#include "core/timer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAME_BYTES = 16384, LOG_BYTES = 320, SHOWN_MAX = 21, CROWD_SHOWN = 1000 };

#define CROWD_AGE_NS (4 * GYRE_MILLISECOND)
#define SLOW_NS (20 * GYRE_MILLISECOND) /* a wait that people notice */

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

/* ---- numbers in words ---- */

static char *words_room(void)
{
    static char rooms[8][24];
    static uint32_t next;

    next = (next + 1) % 8;
    return rooms[next];
}

const char *words_count(uint64_t number)
{
    char digits[24];
    char *room = words_room();
    const size_t len = (size_t)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)number);
    size_t at = 0;

    for (size_t i = 0; i < len && at < 22; i++) {
        room[at++] = digits[i];
        if (i + 1 < len && (len - i - 1) % 3 == 0)
            room[at++] = ',';
    }
    room[at] = '\0';
    return room;
}

const char *words_ms(uint64_t ns)
{
    char *room = words_room();
    const uint64_t tenths = (ns + GYRE_MILLISECOND / 20) / (GYRE_MILLISECOND / 10);

    if (tenths % 10 == 0)
        snprintf(room, 24, "%llu", (unsigned long long)(tenths / 10));
    else
        snprintf(room, 24, "%llu.%u", (unsigned long long)(tenths / 10), (unsigned)(tenths % 10));
    return room;
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

uint32_t ready_sockets(const task *each)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < each->ours; i++)
        count += each->ends[i].is_open && each->ends[i].tcp.stream.in.state == GYREI_OP_RUNNABLE;
    return count;
}

uint32_t open_sockets(const task *each)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < each->ours; i++)
        count += each->ends[i].is_open;
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
            each->ends[0].is_open ? gyre_stream_fd(&each->ends[0].tcp.stream) : -1,
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

const task *first_timer(const engine *self)
{
    const gyre_timer_node *node = gyrei_heap_first(&self->loop->timers);

    return node != NULL ? owner_of(self, node) : NULL;
}

/*
 * The heap as it is: four children each, those of i at 4 i + 1. A stopped timer stays where it is
 * until it comes to the top.
 */
static void add_timers(text *to, const engine *self)
{
    const gyrei_heap *heap = &self->loop->timers;
    bool first = true;

    add(to, "\"timers\":[");
    for (uint32_t i = 0; i < heap->count && i < SHOWN_MAX; i++) {
        const gyre_timer_node *node = heap->entries[i].node;
        const task *owner = owner_of(self, node);
        const uint64_t key = heap->entries[i].key;

        add(to, "%s{\"id\":%u,\"name\":\"%s\",\"deadline_ns\":%llu,\"parent\":%d,\"stopped\":%s}",
            comma(&first), owner != NULL ? owner->id : 0,
            owner != NULL ? owner->text->name : "(slices)",
            (unsigned long long)(key > self->begun_ns ? key - self->begun_ns : 0),
            i == 0 ? -1 : (int)((i - 1) / 4), gyrei_timer_node_started(node) ? "false" : "true");
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

/* The stream that is written to, and its marks. */
static void add_queued(text *to, const engine *self)
{
    for (uint32_t i = 0; i < self->program.count; i++) {
        const task *each = &self->tasks[i];

        if (each->text->kind == TASK_FLOOD && each->open > 0)
            add(to, "\"queued\":{\"name\":\"%s\",\"bytes\":%llu,\"low\":4096,\"high\":12288},",
                each->text->name,
                (unsigned long long)gyre_queued_bytes(&each->ends[0].tcp.stream));
    }
}

static void add_workers(text *to, const engine *self)
{
    bool first = true;

    add(to, "\"workers\":[");
    for (uint32_t i = 0; i < self->program.workers; i++) {
        const worker *each = &self->workers[i];

        add(to, "%s{\"sockets\":%u,\"answered\":%llu,\"worst_ms\":%s}", comma(&first), each->open,
            (unsigned long long)each->answered, words_ms(each->worst_ns));
    }
    add(to, "],");
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
    add_queued(to, self);
    add_workers(to, self);
    add(to, "\"line\":%u,\"ran\":\"%s%s%s\",\"asks\":%llu,\"sleeps\":%llu,\"beside\":%s,",
        (unsigned)source_line(&self->program, of, ran), ran != NULL ? ran : "",
        of != NULL ? " " : "", of != NULL ? of->text->name : "", (unsigned long long)self->asks,
        (unsigned long long)self->sleeps, self->program.beside_threads ? "true" : "false");
    add(to, "\"ended\":%s,\"alive\":%u}", self->is_ended ? "true" : "false",
        (unsigned)self->loop->alive);
}

/* Room for one more; frames that are not drawn take none. */
static void keep_frame(engine *self, const char *json)
{
    if (self->frame_count == self->frame_room) {
        self->frame_room = self->frame_room * 2 + 64;
        self->frames = realloc(self->frames, self->frame_room * sizeof(*self->frames));
        if (self->frames == NULL)
            abort();
    }
    self->frames[self->frame_count] = strdup(json);
    if (self->frames[self->frame_count++] == NULL)
        abort();
}

void frame_make(engine *self, const task *of, const char *ran, const char *format, ...)
{
    static text picture;
    char log[LOG_BYTES];
    va_list arguments;

    self->events++;
    self->now_ns = gyre_sim_now_ns(self->sim);
    if (self->events < self->draw_from && !self->is_ended)
        return;
    va_start(arguments, format);
    vsnprintf(log, sizeof(log), format, arguments);
    va_end(arguments);
    draw(self, &picture, of, ran, log);
    keep_frame(self, picture.bytes);
}

static void tell_crowd(engine *self, uint32_t count, uint32_t hung_up, uint64_t worst_ns)
{
    if (count == 0)
        frame_make(self, NULL, "on_read",
                   "%s of the crowd have hung up; their sockets are closed in the close phase.",
                   words_count(hung_up));
    else if (worst_ns >= SLOW_NS)
        frame_make(self, NULL, "on_read",
                   "%s lines of the crowd are answered, one after the other in one thread. They had "
                   "to wait for it: the longest for %s ms.",
                   words_count(count), words_ms(worst_ns));
    else
        frame_make(self, NULL, "on_read",
                   "%s lines of the crowd are answered, one after the other in one thread: none is "
                   "kept for longer than its answer takes. The longest wait was %s ms.",
                   words_count(count), words_ms(worst_ns));
}

/* As of the poll phase, in which they were served. */
void frame_crowd(engine *self, bool must)
{
    const gyre_phase phase = self->phase;
    const uint32_t depth = self->depth;
    const uint32_t count = self->crowd;
    const uint32_t hung_up = self->hung_up;
    const uint64_t worst_ns = self->crowd_worst_ns;
    const uint64_t age_ns = gyre_sim_now_ns(self->sim) - self->now_ns;

    if (count == 0 && (!must || hung_up == 0))
        return;
    if (!must && count < CROWD_SHOWN && age_ns < CROWD_AGE_NS)
        return;
    self->crowd = 0;
    self->hung_up = 0;
    self->crowd_worst_ns = 0;
    self->phase = GYRE_PHASE_POLL;
    self->stack[1] = "gyre_loop_run";
    self->stack[2] = "on_read";
    self->depth = 3;
    tell_crowd(self, count, hung_up, worst_ns);
    self->phase = phase;
    self->depth = depth;
}

void frames_free(engine *self)
{
    for (uint32_t i = 0; i < self->frame_count; i++)
        free(self->frames[i]);
    self->frame_count = 0;
}
