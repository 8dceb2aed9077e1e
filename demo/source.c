/*
 * The C program that a list of tasks stands for, as a user would write it; and which line runs.
 *
 * The text is made from pieces, one for each task: what it declares, its callbacks, and its lines in
 * main. Lines are found again by counting them while the text is made anew: it is short. It compiles
 * as it is; what computes, what draws and what asks a user is left to the reader.
 */
#include "engine.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SOURCE_BYTES = 32768 };

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

/* Names that C, or the program, has for something else. */
static bool is_reserved(const char *name)
{
    static const char *const reserved[] = {
        "auto",     "break",  "case",     "char",   "const",    "continue", "default", "do",
        "double",   "else",   "enum",     "extern", "float",    "for",      "goto",    "if",
        "inline",   "int",    "long",     "main",   "register", "restrict", "return",  "short",
        "signed",   "sizeof", "static",   "struct", "switch",   "typedef",  "union",   "unsigned",
        "void",     "while",  "volatile", "loop",   "compute",  "on_close", "NULL",    "work",
        "question", "LOW",  "HIGH",
    };

    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        if (strcmp(name, reserved[i]) == 0)
            return true;
    }
    return false;
}

/* A name as an identifier. */
static const char *word(const char *name, char room[NAME_MAX_BYTES + 1])
{
    size_t i = 0;

    for (; name[i] != '\0'; i++)
        room[i] = name[i] == '-' ? '_' : name[i];
    if (is_reserved(name))
        room[i++] = '_';
    room[i] = '\0';
    return room;
}

/* ---- what is declared ---- */

static void put_variables(writer *to, const task_text *what)
{
    char room[NAME_MAX_BYTES + 1];
    const char *name = word(what->name, room);

    switch (what->kind) {
    case TASK_DEFER: put(to, "static gyre_deferred %s;\n", name); break;
    case TASK_TIMER:
    case TASK_CLOSE:
    case TASK_SLOW: put(to, "static gyre_timer %s;\n", name); break;
    case TASK_IDLE:
    case TASK_CHECK: put(to, "static gyre_hook %s;\n", name); break;
    case TASK_SOCKET: put(to, "static gyre_tcp %s;\n", name); break;
    case TASK_CROWD: put(to, "static gyre_tcp %s[%u];\n", name, what->numbers[0]); break;
    case TASK_SLICES:
        put(to, "static gyre_timer %s;\nstatic gyre_slice %s_slice;\n", name, name);
        break;
    case TASK_POOL:
        put(to, "static gyre_timer %s;\nstatic gyre_work %s_work;\n", name, name);
        break;
    case TASK_WORKER:
    case TASK_FLOOD:
        put(to, "static gyre_timer %s;\nstatic gyre_tcp %s_peer;\n", name, name);
        break;
    case TASK_POST: put(to, "static gyre_post_node %s;\n", name); break;
    case TASK_SYNC:
    case TASK_KINDS: break;
    }
}

static bool has_kind(const program_text *program, uint32_t kinds)
{
    for (uint32_t i = 0; i < program->count; i++) {
        if ((1U << program->tasks[i].kind & kinds) != 0)
            return true;
    }
    return false;
}

static void put_declarations(writer *to, const program_text *program)
{
    const uint32_t sockets =
        1U << TASK_SOCKET | 1U << TASK_CROWD | 1U << TASK_WORKER | 1U << TASK_FLOOD;

    put(to, "#include <gyre.h>\n\n");
    if (has_kind(program, 1U << TASK_SLOW | 1U << TASK_POOL))
        put(to, "void compute(void); /* no matter what */\n");
    if (has_kind(program, 1U << TASK_SLICES))
        put(to, "int compute_a_millisecond(void); /* 1: there is more */\n");
    if (program->calls > 1)
        put(to, "void work(void); /* main's own */\n");
    if (has_kind(program, 1U << TASK_FLOOD))
        put(to, "enum { LOW = 4096, HIGH = 12288 }; /* marks of the queue */\n");
    put(to, "%sstatic gyre_loop *loop;\n", to->line > 3 ? "\n" : "");
    for (uint32_t i = 0; i < program->count; i++)
        put_variables(to, &program->tasks[i]);
    put(to, "\n");
    if (has_kind(program, sockets))
        put(to, "static void on_close(gyre_handle *handle)\n{\n"
                "    /* the last callback: its memory may be freed */\n}\n\n");
}

/* ---- callbacks ---- */

static void put_callback(writer *to, const char *callback, const task_text *what,
                         const char *parameters, const char *body)
{
    char room[NAME_MAX_BYTES + 1];

    put(to, "static void %s_%s(%s)\n{\n", word(what->name, room), callback, parameters);
    mark(to, callback, what->name);
    put(to, "    %s\n}\n\n", body);
}

static void put_reader(writer *to, const task_text *what)
{
    char room[NAME_MAX_BYTES + 1];

    put(to,
        "static void %s_on_read(gyre_stream *client,\n"
        "        int64_t nread, const gyre_buf *buf)\n{\n    if (nread < 0)\n",
        word(what->name, room));
    mark(to, "on_close", what->name);
    put(to, "        gyre_close(&client->handle, on_close);\n    else\n");
    mark(to, "on_read", what->name);
    put(to, "        %s\n}\n\n",
        what->kind == TASK_WORKER ? "gyre_stream_finish(client, on_close); /* the result */"
                                  : "gyre_write_copy(client, buf->base, buf->len);");
}

static void put_slices(writer *to, const task_text *what)
{
    char room[NAME_MAX_BYTES + 1];
    const char *name = word(what->name, room);

    put(to, "static int %s_on_slice(gyre_slice *slice)\n{\n", name);
    mark(to, "on_slice", what->name);
    put(to, "    return compute_a_millisecond();\n}\n\n");
    put_callback(to, "on_slice_done", what, "gyre_slice *slice, int status", "/* computed */");
    put(to, "static void %s_on_begin(gyre_timer *timer)\n{\n", name);
    mark(to, "on_begin", what->name);
    put(to, "    gyre_slice_start(loop, &%s_slice, 2 * GYRE_MILLISECOND,\n", name);
    put(to, "                     %s_on_slice, %s_on_slice_done);\n}\n\n", name, name);
}

static void put_pool(writer *to, const task_text *what)
{
    char room[NAME_MAX_BYTES + 1];
    const char *name = word(what->name, room);

    put(to, "static void %s_compute(gyre_work *job)\n{\n", name);
    put(to, "    compute(); /* in a thread of the pool */\n}\n\n");
    put_callback(to, "on_done", what, "gyre_work *job, int status", "/* the result is here */");
    put(to, "static void %s_on_submit(gyre_timer *timer)\n{\n", name);
    mark(to, "on_submit", what->name);
    put(to, "    gyre_work_submit(loop, &%s_work, NULL,\n", name);
    put(to, "                     %s_compute, %s_on_done);\n}\n\n", name, name);
}

static void put_ask(writer *to, const task_text *what)
{
    char room[NAME_MAX_BYTES + 1];

    put_reader(to, what);
    put(to, "static void %s_on_ask(gyre_timer *timer)\n{\n", word(what->name, room));
    mark(to, "on_ask", what->name);
    put(to, "    gyre_write_copy(&%s_peer.stream, \"question\", 8);\n}\n\n", room);
}

static void put_flood(writer *to, const task_text *what)
{
    char room[NAME_MAX_BYTES + 1];
    const char *name = word(what->name, room);

    put(to, "static void %s_write(gyre_stream *peer)\n{\n", name);
    put(to, "    static const char piece[4096];\n    static int left = %u;\n\n",
        (what->numbers[1] + 3) / 4);
    put(to, "    for (; left > 0 && gyre_queued_bytes(peer) <= HIGH; left--)\n");
    put(to, "        gyre_write_copy(peer, piece, sizeof(piece));\n    if (left == 0)\n");
    mark(to, "on_close", what->name);
    put(to, "        gyre_stream_finish(peer, on_close);\n}\n\n");
    put(to, "static void %s_on_drain(gyre_stream *peer, int status)\n{\n", name);
    mark(to, "on_drain", what->name);
    put(to, "    %s_write(peer);\n}\n\n", name);
    put(to, "static void %s_on_flood(gyre_timer *timer)\n{\n", name);
    put(to, "    gyre_stream_set_budget(&%s_peer.stream,\n", name);
    put(to, "                           LOW, HIGH, 0, %s_on_drain);\n", name);
    mark(to, "on_flood", what->name);
    put(to, "    %s_write(&%s_peer.stream);\n}\n\n", name, name);
}

static void put_functions(writer *to, const task_text *what)
{
    char body[64];

    switch (what->kind) {
    case TASK_SYNC: put_callback(to, "now", what, "void", "/* ordinary code */"); break;
    case TASK_DEFER:
        put_callback(to, "on_deferred", what, "gyre_deferred *deferred", "/* put off */");
        break;
    case TASK_TIMER:
        put_callback(to, "on_timer", what, "gyre_timer *timer", "/* it is time */");
        break;
    case TASK_IDLE:
        put_callback(to, "on_idle", what, "gyre_hook *hook", "/* once a turn */");
        break;
    case TASK_CHECK:
        put_callback(to, "on_check", what, "gyre_hook *hook", "/* the kernel was asked */");
        break;
    case TASK_CLOSE:
        put_callback(to, "on_close", what, "gyre_handle *handle", "/* its memory is ours */");
        break;
    case TASK_SOCKET:
    case TASK_CROWD: put_reader(to, what); break;
    case TASK_SLOW:
        snprintf(body, sizeof(body), "compute(); /* for %u ms */", what->numbers[1]);
        put_callback(to, "on_slow", what, "gyre_timer *timer", body);
        break;
    case TASK_SLICES: put_slices(to, what); break;
    case TASK_POOL: put_pool(to, what); break;
    case TASK_WORKER: put_ask(to, what); break;
    case TASK_POST:
        put_callback(to, "on_post", what, "gyre_post_node *node, int status", "/* a message */");
        break;
    case TASK_FLOOD: put_flood(to, what); break;
    case TASK_KINDS: break;
    }
}

/* ---- main ---- */

static void put_timer(writer *to, const task_text *what, const char *callback)
{
    const uint32_t every = what->kind == TASK_TIMER ? what->numbers[1] : 0;
    char room[NAME_MAX_BYTES + 1];
    const char *name = word(what->name, room);

    put(to, "    gyre_timer_init(loop, &%s);\n", name);
    put(to, "    gyre_timer_start(&%s, %u * GYRE_MILLISECOND,\n", name, what->numbers[0]);
    if (every > 0)
        put(to, "                     %u * GYRE_MILLISECOND, %s_%s);\n", every, name, callback);
    else
        put(to, "                     0, %s_%s);\n", name, callback);
}

static void put_hook(writer *to, const task_text *what, const char *phase, const char *callback)
{
    char room[NAME_MAX_BYTES + 1];
    const char *name = word(what->name, room);

    put(to, "    gyre_hook_init(loop, &%s, %s);\n", name, phase);
    put(to, "    gyre_hook_start(&%s, %s_%s);\n", name, name, callback);
}

static void put_start(writer *to, const task_text *what)
{
    char room[NAME_MAX_BYTES + 1];
    const char *name = word(what->name, room);

    switch (what->kind) {
    case TASK_SYNC:
        mark(to, "sync", what->name);
        put(to, "    %s_now();\n", name);
        break;
    case TASK_DEFER: put(to, "    gyre_defer(loop, &%s, %s_on_deferred);\n", name, name); break;
    case TASK_TIMER: put_timer(to, what, "on_timer"); break;
    case TASK_IDLE: put_hook(to, what, "GYRE_HOOK_IDLE", "on_idle"); break;
    case TASK_CHECK: put_hook(to, what, "GYRE_HOOK_CHECK", "on_check"); break;
    case TASK_CLOSE:
        put(to, "    gyre_timer_init(loop, &%s);\n", name);
        put(to, "    gyre_close(&%s.handle, %s_on_close);\n", name, name);
        break;
    case TASK_SOCKET: put(to, "    gyre_read_start(&%s.stream, %s_on_read);\n", name, name); break;
    case TASK_CROWD:
        put(to, "    for (int i = 0; i < %u; i++)\n", what->numbers[0]);
        put(to, "        gyre_read_start(&%s[i].stream, %s_on_read);\n", name, name);
        break;
    case TASK_SLOW: put_timer(to, what, "on_slow"); break;
    case TASK_SLICES: put_timer(to, what, "on_begin"); break;
    case TASK_POOL: put_timer(to, what, "on_submit"); break;
    case TASK_FLOOD: put_timer(to, what, "on_flood"); break;
    case TASK_WORKER:
        put(to, "    gyre_read_start(&%s_peer.stream, %s_on_read);\n", name, name);
        put_timer(to, what, "on_ask");
        break;
    case TASK_POST:
        put(to, "    /* another thread: gyre_post(remote, &%s, %s_on_post) */\n", name, name);
        break;
    case TASK_KINDS: break;
    }
}

static void put_run(writer *to, const program_text *program)
{
    static const char *const modes[] = {"GYRE_RUN_DEFAULT", "GYRE_RUN_ONCE", "GYRE_RUN_NOWAIT"};
    const char *mode = modes[program->mode];

    if (program->calls == 1) {
        to->run = to->line;
        put(to, "    gyre_loop_run(loop, %s);\n", mode);
        return;
    }
    put(to, "    for (int i = 0; i < %u; i++) {\n", program->calls);
    to->run = to->line;
    put(to, "        gyre_loop_run(loop, %s);\n", mode);
    if (to->wanted != NULL && strcmp(to->wanted, "work") == 0)
        to->found = to->line;
    put(to, "        work(); /* %u ms */\n    }\n", program->work_ms);
}

static void put_program(writer *to, const program_text *program)
{
    to->line = 1;
    put_declarations(to, program);
    for (uint32_t i = 0; i < program->count; i++)
        put_functions(to, &program->tasks[i]);
    put(to, "int main(void)\n{\n    gyre_loop_init(&loop, NULL);\n");
    if (has_kind(program, 1U << TASK_SOCKET | 1U << TASK_CROWD | 1U << TASK_WORKER |
                              1U << TASK_FLOOD))
        put(to, "    /* the sockets are connected, by gyre_accept */\n");
    for (uint32_t i = 0; i < program->count; i++)
        put_start(to, &program->tasks[i]);
    put_run(to, program);
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
        if (of == NULL && strcmp(ran, "work") == 0)
            snprintf(wanted, sizeof(wanted), "work");
        else
            snprintf(wanted, sizeof(wanted), "%s %s", ran, of != NULL ? of->text->name : "crowd");
        to.wanted = wanted;
    }
    put_program(&to, program);
    return to.found > 0 ? to.found : to.run;
}
