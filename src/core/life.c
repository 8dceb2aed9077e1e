/*
 * A loop's life: options, init, close, shutdown, fork, and the frame around every callback.
 */
#include "core/async.h"
#include "core/loop.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    RING_ENTRIES = 256,
    RING_ENTRIES_MIN = 8,
    RING_ENTRIES_MAX = 32768,
    RUN_MAX = 4096,
    READ_BUFFER_BYTES = 65536,
    READ_BUFFER_MIN = 4096,
    READ_BUFFER_MAX = 1 << 20,
    READ_BUFFERS_MIN = 2,
    READ_BUFFERS_MAX = 64,
    READ_KEEP_MAX = 16,
    QUEUED_BYTES_MAX = 16 << 20,
    LOG_LINE_MAX = 256,
    FORK_PAGE_BYTES = 4096
};

/* ---- what backends ask of the loop ---- */

const gyrei_env *gyrei_loop_env(const gyre_loop *loop)
{
    return loop->env;
}

void *gyrei_loop_alloc(const gyre_loop *loop, size_t bytes)
{
    return gyrei_alloc(&loop->allocator, bytes);
}

void gyrei_loop_free(const gyre_loop *loop, void *pointer, size_t bytes)
{
    if (pointer != NULL)
        gyrei_free(&loop->allocator, pointer, bytes);
}

uint32_t gyrei_loop_depth(const gyre_loop *loop)
{
    return loop->depth;
}

static void log_to_stderr(void *ctx, const char *line)
{
    (void)ctx;
    fprintf(stderr, "%s\n", line);
}

void gyrei_log(const gyre_loop *loop, const char *format, ...)
{
    char line[LOG_LINE_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    loop->log(loop->log_ctx, line);
}

/* ---- options ---- */

static bool in_range(uint32_t value, uint32_t min, uint32_t max)
{
    return value == 0 || (value >= min && value <= max);
}

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value != 0 ? value : fallback;
}

static int check_options(const gyre_loop_options *options)
{
    if (options->size != sizeof(*options))
        return GYRE_EINVAL;
    if (!in_range(options->ring_entries, RING_ENTRIES_MIN, RING_ENTRIES_MAX) ||
        !in_range(options->read_buffer_bytes, READ_BUFFER_MIN, READ_BUFFER_MAX) ||
        !in_range(options->read_buffers, READ_BUFFERS_MIN, READ_BUFFERS_MAX))
        return GYRE_EINVAL;
    if (options->allocator != NULL && options->allocator->resize == NULL)
        return GYRE_EINVAL;
    return 0;
}

/* ---- init ---- */

static void init_lists(gyre_loop *loop)
{
    gyrei_list_init(&loop->runnable);
    gyrei_list_init(&loop->queued);
    gyrei_list_init(&loop->tasks);
    gyrei_list_init(&loop->due);
    gyrei_list_init(&loop->closing);
    gyrei_list_init(&loop->handles);
    gyrei_list_init(&loop->services);
    for (int phase = 0; phase < GYREI_HOOK_PHASES; phase++) {
        gyrei_list_init(&loop->hooks[phase]);
        loop->hook_next[phase] = &loop->hooks[phase];
    }
    gyrei_heap_init(&loop->timers, &loop->allocator);
    gyrei_slots_init(&loop->slots, &loop->allocator);
}

static int init_records(gyre_loop *loop)
{
    loop->records = gyrei_loop_alloc(loop, GYREI_RECORDS * sizeof(gyrei_record));
    if (loop->records == NULL)
        return GYRE_ENOMEM;
    for (uint32_t i = 0; i < GYREI_RECORDS; i++) {
        loop->records[i].next = loop->records_free;
        loop->records_free = &loop->records[i];
    }
    return 0;
}

/*
 * A page that the kernel wipes in a child: how the loop knows that it was forked, without a hidden
 * global.
 */
static int init_fork_word(gyre_loop *loop)
{
    const gyrei_sys *sys = loop->env->sys;

    loop->fork_word = sys->map(loop->env, FORK_PAGE_BYTES);
    if (loop->fork_word == NULL)
        return GYRE_ENOMEM;
    *loop->fork_word = 1;
    return sys->wipe_on_fork(loop->env, loop->fork_word, FORK_PAGE_BYTES);
}

static int init_backend(gyre_loop *loop, const gyre_loop_options *options)
{
    const char *name = loop->env->variable(loop->env, "GYRE_BACKEND");
    const char *strict = loop->env->variable(loop->env, "GYRE_BACKEND_STRICT");
    const gyrei_backend_config config = {
        .wake_fd = gyrei_remote_wake_fd(loop->remote),
        .ring_entries = or_default(options->ring_entries, RING_ENTRIES),
        .read_buffer_bytes = or_default(options->read_buffer_bytes, READ_BUFFER_BYTES),
        .read_buffers = options->read_buffers,
        .read_keep_max = or_default(options->read_keep_max, READ_KEEP_MAX),
    };

    if (loop->env->backend != NULL) {
        loop->ops = loop->env->backend;
        return loop->ops->open(loop, &config, &loop->backend);
    }
    if (name == NULL || name[0] == '\0')
        name = options->backend != NULL ? options->backend : "auto";
    return gyrei_backend_select(loop, name, strict != NULL && strcmp(strict, "1") == 0, &config,
                                &loop->ops, &loop->backend);
}

/* Gives back whatever of the loop exists. The backend goes before the eventfd that it watches. */
static void destroy(gyre_loop *loop)
{
    const gyre_allocator allocator = loop->allocator;
    gyre_remote *remote = loop->remote;

    gyrei_services_close(loop);
    if (remote != NULL)
        gyrei_remote_shut(loop);
    if (loop->signals_close != NULL)
        loop->signals_close(loop);
    if (loop->streams_close != NULL)
        loop->streams_close(loop);
    if (loop->backend != NULL)
        loop->ops->close(loop->backend);
    gyre_remote_unref(remote);
    if (loop->fork_word != NULL)
        loop->env->sys->unmap(loop->env, loop->fork_word, FORK_PAGE_BYTES);
    gyrei_loop_free(loop, loop->records, GYREI_RECORDS * sizeof(gyrei_record));
    gyrei_heap_close(&loop->timers);
    gyrei_slots_close(&loop->slots);
    gyrei_free(&allocator, loop, sizeof(*loop));
}

static int init_parts(gyre_loop *loop, const gyre_loop_options *options)
{
    int error = init_records(loop);

    if (error == 0)
        error = init_fork_word(loop);
    if (error == 0)
        error = gyrei_remote_open(loop);
    if (error == 0)
        error = init_backend(loop, options);
    return error;
}

int gyre_loop_init(gyre_loop **out, const gyre_loop_options *options)
{
    static const gyre_loop_options defaults = {.size = sizeof(defaults)};
    const gyre_allocator *allocator = &gyrei_allocator_default;
    gyre_loop *loop;
    int error;

    GYRE_ASSERT(out != NULL);
    if (options == NULL)
        options = &defaults;
    error = check_options(options);
    if (error != 0)
        return error;
    if (options->allocator != NULL)
        allocator = options->allocator;
    loop = gyrei_alloc(allocator, sizeof(*loop));
    if (loop == NULL)
        return GYRE_ENOMEM;
    loop->allocator = *allocator;
    loop->fd_to_close = -1;
    loop->env = options->env != NULL ? options->env : &gyrei_env_os;
    loop->log = options->log != NULL ? options->log : log_to_stderr;
    loop->log_ctx = options->log_ctx;
    loop->run_max = or_default(options->run_max, RUN_MAX);
    loop->queued_bytes_max = or_default(options->queued_bytes_max, QUEUED_BYTES_MAX);
    init_lists(loop);
    error = init_parts(loop, options);
    if (error != 0) {
        destroy(loop);
        return error;
    }
    gyre_loop_update_now(loop);
    *out = loop;
    return 0;
}

/* ---- the end ---- */

/* A child that was never told of the fork may close: it only lets go of what is its own. */
bool gyrei_loop_is_forked(const gyre_loop *loop)
{
    return *loop->fork_word == 0;
}

/* Whether somebody still waits for a callback of the loop. */
static bool is_busy(const gyre_loop *loop)
{
    return loop->handle_count > 0 || loop->alive > loop->holds || loop->runnable_count > 0 ||
           loop->task_count > 0 || !gyrei_list_empty(&loop->queued);
}

int gyre_loop_close(gyre_loop *loop)
{
    if (gyrei_loop_is_forked(loop)) {
        /* Its handles are the parent's: this copy of them is forgotten, with the room they took. */
        loop->timers.count = 0;
        loop->timers.reserved = 0;
        loop->slots.used = 0;
        loop->slots.reserved = 0;
    } else {
        GYRE_ASSERT(loop->depth == 0);
        gyrei_loop_check(loop);
        if (is_busy(loop))
            return GYRE_EBUSY;
    }
    destroy(loop);
    return 0;
}

static void close_handle(gyre_handle *handle, void *ctx)
{
    (void)ctx;
    if (!gyrei_handle_is_closing(handle))
        gyre_close(handle, NULL);
}

static void cancel_requests(gyre_loop *loop)
{
    uint32_t position = 0;
    gyre_op *op;

    while ((op = gyrei_op_next(loop, &position)) != NULL)
        gyrei_op_cancel(loop, op);
    gyrei_services_cancel(loop);
}

/* A turn whose wait failed. False: nothing came of it, and nothing can. */
static bool wait_without_kernel(gyre_loop *loop)
{
    if (gyrei_loop_unwind(loop))
        return true;
    if (!gyrei_services_out(loop))
        return false;
    (void)loop->env->sys->poll(loop->env, NULL, 0, GYRE_MILLISECOND);
    return true;
}

int gyre_loop_shutdown(gyre_loop *loop, uint64_t timeout_ns)
{
    const uint64_t start_ns = loop->env->now_ns(loop->env);
    uint64_t turns = 0;

    GYRE_ASSERT(loop->depth == 0);
    for (;;) {
        const uint64_t callbacks = loop->callbacks;
        const uint64_t handles = loop->handle_count;
        int error;

        gyre_loop_walk(loop, close_handle, NULL);
        cancel_requests(loop);
        if (gyre_loop_close(loop) == 0)
            return 0;
        if (turns++ > 0 && loop->env->now_ns(loop->env) - start_ns >= timeout_ns)
            return GYRE_ETIMEDOUT;
        loop->stop = false;
        /* Held, so that the turn is run even when only results that nobody waits for are left. */
        gyre_loop_hold(loop);
        error = gyre_loop_run(loop, GYRE_RUN_ONCE);
        gyre_loop_release(loop);
        if (error < 0 && loop->callbacks == callbacks && loop->handle_count == handles &&
            !wait_without_kernel(loop))
            return error;
    }
}

/* What was in the parent's kernel objects is not in ours: it ends here. */
static void end_kernel_ops(gyre_loop *loop)
{
    uint32_t position = 0;
    gyre_op *op;

    while ((op = gyrei_op_next(loop, &position)) != NULL) {
        if (op->state == GYREI_OP_IN_KERNEL)
            gyrei_op_lose(loop, op);
    }
}

int gyre_loop_forked(gyre_loop *loop)
{
    int error;

    GYRE_ASSERT(gyrei_loop_is_forked(loop));
    error = gyrei_remote_forked(loop);
    if (error != 0)
        return error;
    error = loop->ops->forked(loop->backend);
    if (error != 0)
        return error;
    *loop->fork_word = 1;
    end_kernel_ops(loop);
    gyrei_services_forked(loop);
    loop->owner = loop->enabled ? gyrei_thread_self() : 0;
    return 0;
}

_Thread_local char gyrei_thread_mark;

/* ---- the frame around a callback ---- */

void gyrei_trace_callback(gyre_loop *loop, gyre_trace_type type, const void *object)
{
    gyre_trace_event event = {
        .now_ns = gyrei_loop_now_ns(loop),
        .type = type,
        .phase = loop->phase,
        .kind = (gyre_handle_kind)loop->place.kind,
        .name = loop->place.name,
        .object = object,
    };

    loop->trace(loop->trace_ctx, &event);
}

void gyrei_trace_phase(gyre_loop *loop, gyre_trace_type type)
{
    gyre_trace_event event = {
        .now_ns = gyrei_loop_now_ns(loop), .type = type, .phase = loop->phase};

    loop->trace(loop->trace_ctx, &event);
}

void gyre_loop_set_trace(gyre_loop *loop, gyre_trace_cb cb, void *ctx)
{
    gyrei_loop_check(loop);
    loop->trace = cb;
    loop->trace_ctx = ctx;
}

void gyre_loop_position_get(const gyre_loop *loop, gyre_loop_position *position)
{
    position->callbacks = __atomic_load_n(&loop->callbacks, __ATOMIC_RELAXED);
    position->phase = (gyre_phase)__atomic_load_n(&loop->phase, __ATOMIC_RELAXED);
    position->kind = (gyre_handle_kind)__atomic_load_n(&loop->place.kind, __ATOMIC_RELAXED);
    position->name = __atomic_load_n(&loop->place.name, __ATOMIC_RELAXED);
}
