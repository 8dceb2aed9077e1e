/*
 * The C program that a list of tasks stands for, as a user would write it; and which line runs.
 *
 * The text is made from pieces, one for each task: its callbacks, and its lines in main. Lines are
 * found again by counting them while the text is made anew: it is short.
 */
#include "engine.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SOURCE_BYTES = 16384 };

typedef struct writer {
    char *bytes; /* NULL: only lines are counted */
    size_t len;
    uint32_t line; /* that is written next */
    uint32_t run;  /* where the loop is run */
    uint32_t found;
    const char *wanted; /* "callback name", whose line is looked for */
} writer;

static void __attribute__((format(printf, 2, 3))) put(writer *to, const char *format, ...)
{
    char piece[512];
    va_list arguments;
    int len;

    va_start(arguments, format);
    len = vsnprintf(piece, sizeof(piece), format, arguments);
    va_end(arguments);
    if (len < 0 || (size_t)len >= sizeof(piece) || to->len + (size_t)len >= SOURCE_BYTES)
        abort();
    if (to->bytes != NULL)
        memcpy(to->bytes + to->len, piece, (size_t)len + 1);
    to->len += (size_t)len;
    for (const char *at = piece; *at != '\0'; at++)
        to->line += *at == '\n';
}

/* The next line is the one of `callback` of the task `name`. */
static void mark(writer *to, const char *callback, const char *name)
{
    const size_t len = strlen(callback);

    if (to->wanted != NULL && strncmp(to->wanted, callback, len) == 0 && to->wanted[len] == ' ' &&
        strcmp(to->wanted + len + 1, name) == 0)
        to->found = to->line;
}

/* A name as an identifier. */
static const char *word(const char *name, char *room)
{
    size_t i = 0;

    for (; name[i] != '\0'; i++)
        room[i] = name[i] == '-' ? '_' : name[i];
    room[i] = '\0';
    return room;
}

static void put_callback(writer *to, const char *callback, const task_text *what,
                         const char *parameters, const char *body)
{
    char room[NAME_MAX_BYTES];

    put(to, "static void %s_%s(%s)\n{\n", word(what->name, room), callback, parameters);
    mark(to, callback, what->name);
    put(to, "    %s\n}\n\n", body);
}

static void put_socket(writer *to, const task_text *what)
{
    put(to, "static void %s_on_read(gyre_stream *client, int64_t nread, const gyre_buf *buf)\n{\n",
        what->name);
    mark(to, "on_read", what->name);
    put(to, "    if (nread < 0 || gyre_write_copy(client, buf->base, buf->len) < 0)\n");
    mark(to, "on_close", what->name);
    put(to, "        gyre_close(&client->handle, on_close);\n}\n\n");
}

static void put_functions(writer *to, const task_text *what)
{
    char body[160];

    switch (what->kind) {
    case TASK_SYNC: put_callback(to, "now", what, "void", "/* ordinary code */"); break;
    case TASK_DEFER:
        put_callback(to, "on_deferred", what, "gyre_deferred *deferred", "/* work put off */");
        break;
    case TASK_TIMER:
        put_callback(to, "on_timer", what, "gyre_timer *timer", "/* it is time */");
        break;
    case TASK_IDLE:
        put_callback(to, "on_idle", what, "gyre_hook *hook", "/* once a turn */");
        break;
    case TASK_CHECK:
        put_callback(to, "on_check", what, "gyre_hook *hook", "/* after the kernel was asked */");
        break;
    case TASK_CLOSE:
        put_callback(to, "on_close", what, "gyre_handle *handle", "free(handle);");
        break;
    case TASK_SOCKET: put_socket(to, what); break;
    case TASK_CROWD: put_socket(to, what); break;
    case TASK_SLOW:
        snprintf(body, sizeof(body), "compute(); /* %u ms: nobody is served */", what->numbers[1]);
        put_callback(to, "on_slow", what, "gyre_timer *timer", body);
        break;
    case TASK_SLICES:
        put(to, "static int %s_on_slice(gyre_slice *slice)\n{\n", what->name);
        mark(to, "on_slice", what->name);
        put(to, "    return compute_a_millisecond(slice->data); /* 1: there is more */\n}\n\n");
        put_callback(to, "on_slice_done", what, "gyre_slice *slice, int status", "/* computed */");
        put_callback(to, "on_begin", what, "gyre_timer *timer",
                     "gyre_slice_start(loop, &slice, 2 * GYRE_MILLISECOND, on_slice, done);");
        break;
    case TASK_POOL:
        put_callback(to, "on_done", what, "gyre_work *work, int status",
                     "/* the result is here */");
        put_callback(to, "on_submit", what, "gyre_timer *timer",
                     "gyre_work_submit(loop, &work, NULL, compute, on_done);");
        break;
    case TASK_WORKER:
        put_socket(to, what);
        put_callback(to, "on_ask", what, "gyre_timer *timer",
                     "gyre_write_copy(&worker.stream, question, len);");
        break;
    case TASK_POST:
        put_callback(to, "on_post", what, "gyre_post_node *node, int status", "/* a message */");
        break;
    case TASK_FLOOD:
        put_callback(to, "on_drain", what, "gyre_stream *stream, int status",
                     "write_more(stream); /* while gyre_queued_bytes is below the high mark */");
        put_callback(to, "on_flood", what, "gyre_timer *timer",
                     "gyre_stream_set_budget(stream, low, high, 0, on_drain), write_more(stream);");
        break;
    case TASK_KINDS: break;
    }
}

static void put_start(writer *to, const task_text *what)
{
    const uint32_t *n = what->numbers;
    char room[NAME_MAX_BYTES];
    const char *name = word(what->name, room);

    switch (what->kind) {
    case TASK_SYNC:
        mark(to, "sync", what->name);
        put(to, "    %s_now();\n", name);
        break;
    case TASK_DEFER: put(to, "    gyre_defer(loop, &%s, %s_on_deferred);\n", name, name); break;
    case TASK_TIMER:
        if (n[1] > 0)
            put(to,
                "    gyre_timer_start(&%s, %u * GYRE_MILLISECOND, %u * GYRE_MILLISECOND, "
                "%s_on_timer);\n",
                name, n[0], n[1], name);
        else
            put(to, "    gyre_timer_start(&%s, %u * GYRE_MILLISECOND, 0, %s_on_timer);\n", name,
                n[0], name);
        break;
    case TASK_IDLE: put(to, "    gyre_hook_start(&%s, %s_on_idle);\n", name, name); break;
    case TASK_CHECK: put(to, "    gyre_hook_start(&%s, %s_on_check);\n", name, name); break;
    case TASK_CLOSE: put(to, "    gyre_close(&%s.handle, %s_on_close);\n", name, name); break;
    case TASK_SOCKET:
    case TASK_WORKER:
        put(to, "    gyre_read_start(&%s.stream, %s_on_read);\n", name, name);
        if (what->kind == TASK_WORKER)
            put(to, "    gyre_timer_start(&%s_timer, %u * GYRE_MILLISECOND, 0, %s_on_ask);\n", name,
                n[0], name);
        break;
    case TASK_CROWD:
        put(to, "    for (int i = 0; i < %u; i++)\n", n[0]);
        put(to, "        gyre_read_start(&crowd[i].stream, crowd_on_read);\n");
        break;
    case TASK_SLOW:
    case TASK_SLICES:
    case TASK_POOL:
    case TASK_FLOOD:
        put(to, "    gyre_timer_start(&%s, %u * GYRE_MILLISECOND, 0, %s_%s);\n", name, n[0], name,
            what->kind == TASK_SLOW     ? "on_slow"
            : what->kind == TASK_SLICES ? "on_begin"
            : what->kind == TASK_POOL   ? "on_submit"
                                        : "on_flood");
        break;
    case TASK_POST:
        put(to, "    start_thread(%s_thread); /* calls gyre_post(remote, &node, %s_on_post) */\n",
            name, name);
        break;
    case TASK_KINDS: break;
    }
}

static void put_program(writer *to, const program_text *program)
{
    static const char *const modes[] = {"GYRE_RUN_DEFAULT", "GYRE_RUN_ONCE", "GYRE_RUN_NOWAIT"};

    to->line = 1;
    put(to, "#include <gyre.h>\n\n");
    for (uint32_t i = 0; i < program->count; i++)
        put_functions(to, &program->tasks[i]);
    put(to, "int main(void)\n{\n    gyre_loop_init(&loop, NULL);\n");
    for (uint32_t i = 0; i < program->count; i++)
        put_start(to, &program->tasks[i]);
    to->run = to->line;
    put(to, "    gyre_loop_run(loop, %s);\n", modes[program->mode]);
    put(to, "    return gyre_loop_close(loop);\n}\n");
}

char *source_text(const program_text *program)
{
    writer to = {.bytes = malloc(SOURCE_BYTES)};

    if (to.bytes == NULL)
        abort();
    put_program(&to, program);
    return to.bytes;
}

uint32_t source_line(const program_text *program, const task *of, const char *ran)
{
    char wanted[64];
    writer to = {.wanted = NULL};

    if (ran != NULL) {
        snprintf(wanted, sizeof(wanted), "%s %s", ran, of != NULL ? of->text->name : "crowd");
        to.wanted = wanted;
    }
    put_program(&to, program);
    return to.found > 0 ? to.found : to.run;
}
