/*
 * What bounds a stream: the byte budget of its queue, and its idle and write deadlines.
 *
 * Deadlines cost nothing per operation but a store: one timer a stream, started when it is needed
 * and moved only when it fires too early. The clock is read anew for each store, because the loop's
 * time may be old inside a long callback, and a deadline must not pass early.
 */
#include "net/stream.h"

static uint64_t clock_ns(const gyre_stream *stream)
{
    const gyrei_env *env = stream->handle.loop->env;

    return env->now_ns(env);
}

/* ---- deadlines ---- */

static uint64_t idle_deadline(const gyre_stream *stream)
{
    const gyrei_stream_extra *extra = stream->extra;

    if (extra->idle_ns == 0 || (stream->flags & GYREI_STREAM_READING) == 0)
        return UINT64_MAX;
    return gyrei_time_add(extra->active_ns, extra->idle_ns);
}

static uint64_t write_deadline(const gyre_stream *stream)
{
    const gyrei_stream_extra *extra = stream->extra;

    if (extra->write_ns == 0 || gyrei_op_is_idle(&stream->out) ||
        (stream->flags & GYREI_STREAM_CONNECTED) == 0)
        return UINT64_MAX;
    return gyrei_time_add(extra->progress_ns, extra->write_ns);
}

/* Makes sure that the timer fires no later than the nearer deadline. */
static void start_timer(gyre_stream *stream)
{
    gyrei_stream_extra *extra = stream->extra;
    const uint64_t idle = idle_deadline(stream);
    const uint64_t write = write_deadline(stream);
    const uint64_t next = idle < write ? idle : write;

    if (next == UINT64_MAX || gyrei_handle_is_closing(&stream->handle))
        return;
    if (!gyrei_timer_node_started(&extra->timer) || extra->timer.deadline_ns > next)
        gyrei_timer_node_start(stream->handle.loop, &extra->timer, next, 0);
}

void gyrei_limits_restart(gyre_stream *stream)
{
    if (stream->extra->idle_ns == 0)
        return;
    stream->extra->active_ns = clock_ns(stream);
    start_timer(stream);
}

void gyrei_limits_progress(gyre_stream *stream)
{
    if (stream->extra == NULL || stream->extra->write_ns == 0)
        return;
    stream->extra->progress_ns = clock_ns(stream);
    start_timer(stream);
}

void gyrei_limits_fire(gyre_loop *loop, gyre_timer_node *node)
{
    gyrei_stream_extra *extra = GYRE_CONTAINER_OF(node, gyrei_stream_extra, timer);
    gyre_stream *stream = extra->stream;

    if ((stream->flags & GYREI_STREAM_LISTENING) != 0) {
        gyrei_listen_retry(stream);
        return;
    }
    /* Held: the read callback may close the stream. */
    gyrei_handle_hold(&stream->handle);
    if (write_deadline(stream) <= gyrei_loop_now_ns(loop))
        gyrei_write_fail(stream, GYRE_ETIMEDOUT);
    if (idle_deadline(stream) <= gyrei_loop_now_ns(loop))
        gyrei_read_fail(stream, GYRE_ETIMEDOUT);
    if (!gyrei_handle_is_closing(&stream->handle))
        start_timer(stream);
    gyrei_handle_release(&stream->handle);
    gyrei_loop_close_fd_now(loop);
}

int gyre_stream_set_deadlines(gyre_stream *stream, uint64_t idle_ns, uint64_t write_ns)
{
    int error = gyrei_stream_check(stream);

    if (error == 0 && (stream->flags & GYREI_STREAM_LISTENING) != 0)
        error = GYRE_EINVAL;
    if (error == 0 && (idle_ns | write_ns) != 0)
        error = gyrei_stream_need_extra(stream);
    if (error != 0 || stream->extra == NULL)
        return error;
    stream->extra->idle_ns = idle_ns;
    stream->extra->write_ns = write_ns;
    gyrei_limits_restart(stream);
    gyrei_limits_progress(stream);
    return 0;
}

/* ---- budget ---- */

int gyrei_limits_admit(gyre_stream *stream, uint64_t bytes)
{
    const gyrei_stream_extra *extra = stream->extra;
    uint64_t max = stream->handle.loop->queued_bytes_max;

    if (extra != NULL && extra->queued_bytes_max != 0)
        max = extra->queued_bytes_max;
    /* An empty queue takes a write of any length: else it could never be sent. */
    if (stream->queued_bytes == 0 ||
        bytes <= max - (stream->queued_bytes < max ? stream->queued_bytes : max))
        return 0;
    return GYRE_ENOBUFS;
}

static void run_drain(gyre_loop *loop, gyre_task *task)
{
    gyrei_stream_extra *extra = GYRE_CONTAINER_OF(task, gyrei_stream_extra, drain_task);
    gyre_stream *stream = extra->stream;
    const int status = extra->drain_status;
    gyrei_frame frame;

    extra->drain_due = false;
    extra->drain_status = 0;
    if (extra->drain_cb != NULL) {
        gyrei_callback_enter(loop, &frame, stream->handle.kind, stream, stream->handle.name);
        extra->drain_cb(stream, status);
        gyrei_callback_leave(loop, &frame);
    }
    gyrei_handle_release(&stream->handle);
}

static void want_drain_cb(gyre_stream *stream, int status)
{
    gyrei_stream_extra *extra = stream->extra;

    if (status != 0)
        extra->drain_status = status;
    if (extra->drain_due || extra->drain_cb == NULL || gyrei_handle_is_closing(&stream->handle))
        return;
    extra->drain_due = true;
    extra->drain_task.run = run_drain;
    gyrei_handle_hold(&stream->handle);
    gyrei_task_submit(stream->handle.loop, &extra->drain_task);
}

void gyrei_limits_watch_queue(gyre_stream *stream)
{
    gyrei_stream_extra *extra = stream->extra;

    if (extra->high_bytes == 0)
        return;
    if (stream->queued_bytes > extra->high_bytes) {
        extra->above_high = true;
    } else if (extra->above_high && stream->queued_bytes <= extra->low_bytes) {
        extra->above_high = false;
        want_drain_cb(stream, 0);
    }
}

void gyrei_limits_copy_failed(gyre_stream *stream, int status)
{
    if (stream->extra != NULL)
        want_drain_cb(stream, status);
}

int gyre_stream_set_budget(gyre_stream *stream, uint32_t low_bytes, uint32_t high_bytes,
                           uint32_t queued_bytes_max, gyre_drain_cb cb)
{
    int error = gyrei_stream_check(stream);

    if (error == 0 && low_bytes > high_bytes)
        error = GYRE_EINVAL;
    if (error == 0)
        error = gyrei_stream_need_extra(stream);
    if (error != 0)
        return error;
    stream->extra->low_bytes = low_bytes;
    stream->extra->high_bytes = high_bytes;
    stream->extra->queued_bytes_max = queued_bytes_max;
    stream->extra->drain_cb = cb;
    gyrei_limits_queue_changed(stream);
    return 0;
}

void gyrei_limits_close(gyre_stream *stream)
{
    gyrei_stream_extra *extra = stream->extra;

    if (extra == NULL)
        return;
    gyrei_timer_node_stop(stream->handle.loop, &extra->timer);
    if (!extra->drain_due)
        return;
    extra->drain_due = false;
    gyrei_task_cancel(stream->handle.loop, &extra->drain_task);
    gyrei_handle_release(&stream->handle);
}
