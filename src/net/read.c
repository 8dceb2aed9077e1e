/*
 * Reading: one multishot receive while the user wants bytes, and a stash for those that come after.
 *
 *   read_start --> receive in flight --result--> read callback
 *                        |
 *   read_stop ---> (taken back when the callback returns) --late result--> stash --read_start-->
 *
 * Stopping is lazy: a read_start in the same callback finds the receive still in flight. What the
 * kernel delivered before it heard of the stop is copied out of the loop's buffers, and delivered
 * first, in order, by the next read_start. Bytes are lost only by close.
 */
#include "net/stream.h"

#include "base/hot.h"

#include <string.h>

static void on_received(gyre_loop *loop, gyre_op *op, const gyrei_result *result);

static bool wants(const gyre_stream *stream)
{
    return (stream->flags & GYREI_STREAM_READING) != 0;
}

/* What must be delivered before anything that the kernel brings now. */
static bool has_stash(const gyre_stream *stream)
{
    const gyrei_stream_extra *extra = stream->extra;

    return extra != NULL && (!gyrei_list_empty(&extra->stash) || extra->stash_end != 0);
}

static void receive(gyre_stream *stream)
{
    gyrei_op_prepare(&stream->in, GYREI_OP_RECV, gyrei_stream_fd(stream), GYREI_OP_MULTISHOT,
                     on_received);
    gyrei_stream_submit(stream, &stream->in);
}

/* ---- the read callback ---- */

/* `base` is what gyre_buf_keep may keep meanwhile, unless the bytes are a copy of the stash's. */
static inline void call_back(gyre_stream *stream, int64_t nread, char *base, bool from_stash)
{
    gyre_loop *loop = stream->handle.loop;
    gyre_buf buf;
    gyrei_frame frame;

    buf.base = base;
    buf.len = nread > 0 ? (size_t)nread : 0;
    loop->reading = (gyrei_reading){.stream = stream, .base = base, .from_stash = from_stash};
    gyrei_callback_enter(loop, &frame, stream->handle.kind, stream, stream->handle.name);
    stream->cb.read(stream, nread, nread > 0 ? &buf : NULL);
    gyrei_callback_leave(loop, &frame);
    loop->reading.stream = NULL;
}

/* The same where it need not be quick, also inside another read callback: in a nested turn. */
static __attribute__((noinline)) void call_back_inside(gyre_stream *stream, int64_t nread,
                                                       char *base, bool from_stash)
{
    gyre_loop *loop = stream->handle.loop;
    const gyrei_reading outer = loop->reading;

    call_back(stream, nread, base, from_stash);
    loop->reading = outer;
}

void gyrei_read_fail(gyre_stream *stream, int status)
{
    GYRE_ASSERT(wants(stream));
    stream->flags &= ~(uint32_t)GYREI_STREAM_READING;
    if (status == GYRE_EOF)
        stream->flags |= GYREI_STREAM_EOF;
    gyrei_stream_update_active(stream);
    if (!gyrei_op_is_idle(&stream->in)) /* a receive that is out is taken back */
        gyrei_stream_want_flush(stream);
    gyrei_loop_close_fd_now(stream->handle.loop); /* a flush before this one may have let one go */
    call_back_inside(stream, status, NULL, false);
}

/* ---- the stash ---- */

/* Delivers what waits, oldest first, while the user wants it. */
static void deliver_stash(gyre_stream *stream)
{
    gyre_loop *loop = stream->handle.loop;
    gyrei_stream_extra *extra = stream->extra;

    while (wants(stream) && !gyrei_list_empty(&extra->stash)) {
        gyrei_stash *chunk = GYRE_CONTAINER_OF(gyrei_list_pop(&extra->stash), gyrei_stash, link);

        call_back_inside(stream, (int64_t)chunk->len, chunk->bytes, true);
        gyrei_loop_free(loop, chunk, chunk->room);
    }
    if (wants(stream) && extra->stash_end != 0) {
        const int end = extra->stash_end;

        extra->stash_end = 0;
        gyrei_read_fail(stream, end);
    }
    gyrei_read_settle(stream);
}

static void run_stash(gyre_loop *loop, gyre_task *task)
{
    gyrei_stream_extra *extra = GYRE_CONTAINER_OF(task, gyrei_stream_extra, stash_task);
    gyre_stream *stream = extra->stream;

    (void)loop;
    extra->stash_due = false;
    if (!gyrei_handle_is_closing(&stream->handle))
        deliver_stash(stream);
    gyrei_handle_release(&stream->handle);
}

static void want_stash_run(gyre_stream *stream)
{
    gyrei_stream_extra *extra = stream->extra;

    if (extra->stash_due)
        return;
    extra->stash_due = true;
    extra->stash_task.run = run_stash;
    gyrei_handle_hold(&stream->handle);
    gyrei_task_submit(stream->handle.loop, &extra->stash_task);
}

static int append_stash(gyre_stream *stream, const char *base, size_t len)
{
    const size_t room = sizeof(gyrei_stash) + len;
    gyrei_stash *chunk = NULL;

    if (gyrei_stream_need_extra(stream) == 0)
        chunk = gyrei_loop_alloc(stream->handle.loop, room);
    if (chunk == NULL)
        return GYRE_ENOMEM;
    chunk->room = room;
    chunk->len = len;
    memcpy(chunk->bytes, base, len);
    gyrei_list_append(&stream->extra->stash, &chunk->link);
    return 0;
}

/* Copies bytes that nobody wants now. Without memory for them the stream cannot go on. */
static void stash(gyre_stream *stream, const char *base, size_t len)
{
    if (append_stash(stream, base, len) != 0)
        stream->error = GYRE_ENOMEM;
}

static void stash_end(gyre_stream *stream, int status)
{
    if (gyrei_stream_need_extra(stream) != 0) {
        stream->error = GYRE_ENOMEM;
        return;
    }
    stream->extra->stash_end = status;
    if (wants(stream))
        want_stash_run(stream);
}

/* ---- results ---- */

/* Bytes for a stream with limits, in a nested turn, or that nobody wants now. */
static __attribute__((noinline)) void take_bytes_slowly(gyre_stream *stream,
                                                        const gyrei_result *result)
{
    gyrei_limits_active(stream);
    if (wants(stream) && !has_stash(stream))
        call_back_inside(stream, result->value, result->base, false);
    else
        stash(stream, result->base, (size_t)result->value);
}

static inline void take_bytes(gyre_stream *stream, const gyrei_result *result)
{
    if (wants(stream) && stream->extra == NULL && stream->handle.loop->reading.stream == NULL)
        call_back(stream, result->value, result->base, false);
    else
        take_bytes_slowly(stream, result);
}

static void take_end(gyre_stream *stream, int status)
{
    if (status == GYRE_EOF)
        stream->flags |= GYREI_STREAM_EOF;
    else if (stream->error == 0)
        stream->error = status;
    if (wants(stream) && !has_stash(stream))
        gyrei_read_fail(stream, status);
    else
        stash_end(stream, status);
}

/* A result that ends the receive, or is no bytes. */
static __attribute__((noinline)) void take_last(gyre_stream *stream, const gyrei_result *result)
{
    const bool last = (result->flags & GYREI_RESULT_MORE) == 0;

    /* Held until the end, by the receive that was: the callbacks may close the stream. */
    if (!last)
        gyrei_handle_hold(&stream->handle);
    if (!gyrei_handle_is_closing(&stream->handle)) {
        if (result->value > 0)
            take_bytes_slowly(stream, result);
        else if (result->value == 0)
            take_end(stream, GYRE_EOF);
        else if (result->value != GYRE_ECANCELED)
            take_end(stream, result->value);
        if (last)
            gyrei_read_settle(stream);
    }
    if ((stream->flags & GYREI_STREAM_DETACHING) != 0)
        gyrei_move_settle(stream);
    gyrei_handle_release(&stream->handle);
}

GYREI_HOT static void on_received(gyre_loop *loop, gyre_op *op, const gyrei_result *result)
{
    gyre_stream *stream = GYRE_CONTAINER_OF(op, gyre_stream, in);

    (void)loop;
    /* A receive that goes on holds the handle, whatever the callback does. */
    if ((result->flags & GYREI_RESULT_MORE) == 0 || result->value <= 0)
        take_last(stream, result);
    else if (!gyrei_handle_is_closing(&stream->handle))
        take_bytes(stream, result);
}

void gyrei_read_settle(gyre_stream *stream)
{
    const bool idle = gyrei_op_is_idle(&stream->in);
    const uint32_t flags = stream->flags;

    if (gyrei_handle_is_closing(&stream->handle))
        return;
    if (!wants(stream)) {
        gyrei_op_cancel(stream->handle.loop, &stream->in);
    } else if (has_stash(stream)) {
        want_stash_run(stream);
    } else if (idle && (flags & GYREI_STREAM_EOF) == 0) {
        if (stream->error == GYRE_ENOMEM)
            gyrei_read_fail(stream, GYRE_ENOMEM);
        else
            receive(stream);
    }
}

/* ---- the user's side ---- */

int gyre_read_start(gyre_stream *stream, gyre_read_cb cb)
{
    const uint32_t barred =
        GYREI_STREAM_LISTENING | GYREI_STREAM_FINISHING | GYREI_STREAM_DETACHING;
    int error = gyrei_stream_check(stream);

    GYRE_ASSERT(cb != NULL);
    if (error == 0 && (stream->flags & barred) != 0)
        error = GYRE_EINVAL;
    else if (error == 0 && (stream->flags & GYREI_STREAM_CONNECTED) == 0)
        error = GYRE_ENOTCONN;
    else if (error == 0 && (stream->flags & GYREI_STREAM_EOF) != 0 && !has_stash(stream))
        error = GYRE_EOF;
    else if (error == 0 && stream->error == GYRE_ENOMEM)
        error = GYRE_ENOMEM; /* bytes were lost for want of memory: nothing may follow them */
    if (error != 0)
        return error;
    stream->cb.read = cb;
    if (wants(stream))
        return 0;
    stream->flags |= GYREI_STREAM_READING;
    gyrei_stream_update_active(stream);
    gyrei_limits_active(stream);
    if (has_stash(stream))
        want_stash_run(stream);
    else if (gyrei_op_is_idle(&stream->in))
        receive(stream);
    return 0;
}

void gyre_read_stop(gyre_stream *stream)
{
    gyrei_loop_check(stream->handle.loop);
    if (!wants(stream))
        return;
    stream->flags &= ~(uint32_t)GYREI_STREAM_READING;
    gyrei_stream_update_active(stream);
    gyrei_stream_want_flush(stream);
}

int gyre_buf_keep(gyre_stream *stream, const gyre_buf *buf)
{
    gyre_loop *loop = stream->handle.loop;
    int error;

    gyrei_loop_check(loop);
    if (loop->reading.stream != stream || buf == NULL || buf->base == NULL ||
        buf->base != loop->reading.base)
        return GYRE_EINVAL;
    /* Bytes of the stash are in no buffer of the pool: the budget cannot pay for them. */
    if (loop->reading.from_stash)
        return GYRE_ENOBUFS;
    error = loop->ops->buf_keep(loop->backend, buf->base);
    if (error == 0)
        loop->reading.base = NULL; /* it is kept once: one release gives it back */
    return error;
}

void gyre_buf_release(gyre_loop *loop, const void *base)
{
    gyrei_loop_check(loop);
    loop->ops->buf_unkeep(loop->backend, base);
}

/* ---- the end ---- */

void gyrei_read_close(gyre_stream *stream)
{
    gyrei_stream_extra *extra = stream->extra;

    if (extra == NULL || !extra->stash_due)
        return;
    extra->stash_due = false;
    gyrei_task_cancel(stream->handle.loop, &extra->stash_task);
    gyrei_handle_release(&stream->handle);
}

void gyrei_read_finish(gyre_stream *stream)
{
    gyre_loop *loop = stream->handle.loop;
    gyre_link *link;

    while ((link = gyrei_list_pop(&stream->extra->stash)) != NULL) {
        gyrei_stash *chunk = GYRE_CONTAINER_OF(link, gyrei_stash, link);

        gyrei_loop_free(loop, chunk, chunk->room);
    }
    stream->extra->stash_end = 0;
}

/* ---- from loop to loop ---- */

static size_t stash_bytes(const gyrei_stream_extra *extra)
{
    size_t bytes = 0;

    for (const gyre_link *link = extra->stash.next; link != &extra->stash; link = link->next)
        bytes += GYRE_CONTAINER_OF(link, gyrei_stash, link)->len;
    return bytes;
}

static void copy_stash(const gyrei_stream_extra *extra, char *to)
{
    for (const gyre_link *link = extra->stash.next; link != &extra->stash; link = link->next) {
        const gyrei_stash *chunk = GYRE_CONTAINER_OF(link, gyrei_stash, link);

        GYRE_ASSERT(to != NULL); /* a chunk has bytes, and so has the sum */
        memcpy(to, chunk->bytes, chunk->len);
        to += chunk->len;
    }
}

int gyrei_read_take_unread(gyre_stream *stream, char **bytes, size_t *len, int32_t *end)
{
    gyrei_stream_extra *extra = stream->extra;

    *len = stash_bytes(extra);
    *bytes = NULL;
    if (*len > 0) {
        *bytes = gyrei_loop_alloc(stream->handle.loop, *len);
        if (*bytes == NULL)
            return GYRE_ENOMEM;
        copy_stash(extra, *bytes);
    }
    *end = extra->stash_end;
    gyrei_read_finish(stream);
    return 0;
}

int gyrei_read_put_unread(gyre_stream *stream, const char *bytes, size_t len, int32_t end)
{
    GYRE_ASSERT(!has_stash(stream));
    if (len == 0 && end == 0)
        return 0;
    if (gyrei_stream_need_extra(stream) != 0)
        return GYRE_ENOMEM;
    if (len > 0 && append_stash(stream, bytes, len) != 0)
        return GYRE_ENOMEM;
    stream->extra->stash_end = end;
    return 0;
}
