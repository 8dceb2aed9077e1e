/*
 * Moving a connection to another loop: out of a stream of the one, into a stream of the other.
 *
 *   detach --> receive taken back, queue sent --> nothing in flight --> task: the callback
 *                 (late bytes are stashed)          (gyrei_move_settle)
 *   attach --> a stream whose stash is what was unread
 *
 * Invariant: a gyre_detached that holds a connection has nothing of its old loop but the allocator
 * of the unread bytes, which are freed by the thread that takes them. The bytes travel as one run,
 * so that a program may also look at them, or send them to another process.
 */
#include "net/stream.h"

/* What the new stream has to know of the connection's past. */
#define CARRIED_FLAGS                                                                              \
    ((uint32_t)GYREI_STREAM_EOF | (uint32_t)GYREI_STREAM_SHUT | (uint32_t)GYREI_STREAM_NAGLE)

/* ---- out ---- */

/* Nothing is in flight: the stream becomes what it was after its init. */
static void give_socket(gyre_stream *stream, gyre_detached *detached)
{
    gyre_loop *loop = stream->handle.loop;
    const int fd = gyrei_stream_fd(stream);

    GYRE_ASSERT(gyrei_op_is_idle(&stream->in) && gyrei_op_is_idle(&stream->out));
    GYRE_ASSERT(gyrei_list_empty(&stream->writes) && stream->queued_bytes == 0);
    loop->ops->leave(loop->backend, fd);
    detached->fd = fd;
    detached->kind = stream->handle.kind;
    detached->flags = stream->flags & CARRIED_FLAGS;
    stream->in.fd = -1;
    stream->out.fd = -1;
    stream->flags &= (uint32_t)GYREI_STREAM_UNIX | (uint32_t)GYREI_STREAM_FLUSH;
}

static int take_connection(gyre_stream *stream, gyre_detached *detached)
{
    char *unread;
    int error = stream->error;

    if (gyrei_handle_is_closing(&stream->handle))
        return GYRE_ECANCELED;
    if (error == 0)
        error = gyrei_read_take_unread(stream, &unread, &detached->unread_bytes, &detached->end);
    if (error != 0)
        return error;
    detached->unread = unread;
    give_socket(stream, detached);
    return 0;
}

static void run_detached(gyre_loop *loop, gyre_task *task)
{
    gyre_detached *detached = GYRE_CONTAINER_OF(task, gyre_detached, task);
    gyre_stream *stream = detached->stream;
    gyrei_frame frame;
    int status;

    GYRE_ASSERT(stream->extra->detached == detached);
    stream->extra->detached = NULL;
    stream->flags &= ~(uint32_t)GYREI_STREAM_DETACHING;
    status = take_connection(stream, detached);
    gyrei_request_end(loop);
    gyrei_callback_enter(loop, &frame, stream->handle.kind, stream, stream->handle.name);
    detached->cb(detached, status);
    gyrei_callback_leave(loop, &frame);
    gyrei_handle_release(&stream->handle);
}

static void submit(gyre_stream *stream)
{
    gyre_detached *detached = stream->extra->detached;

    if (detached->task.run != NULL)
        return;
    detached->task.run = run_detached;
    gyrei_task_submit(stream->handle.loop, &detached->task);
}

void gyrei_move_settle(gyre_stream *stream)
{
    if (gyrei_op_is_idle(&stream->in) && gyrei_op_is_idle(&stream->out) &&
        gyrei_list_empty(&stream->writes))
        submit(stream);
}

void gyrei_move_close(gyre_stream *stream)
{
    if ((stream->flags & GYREI_STREAM_DETACHING) != 0)
        submit(stream);
}

static int check_detachable(const gyre_stream *stream)
{
    const int error = gyrei_stream_check(stream);

    if (error != 0)
        return error;
    if ((stream->flags & GYREI_STREAM_CONNECTED) == 0)
        return GYRE_ENOTCONN;
    if ((stream->flags & GYREI_STREAM_DETACHING) != 0)
        return GYRE_EALREADY;
    if ((stream->flags & GYREI_STREAM_FINISHING) != 0)
        return GYRE_EINVAL;
    return stream->error;
}

int gyre_stream_detach(gyre_stream *stream, gyre_detached *detached, gyre_detach_cb cb)
{
    gyre_loop *loop = stream->handle.loop;
    int error = check_detachable(stream);

    GYRE_ASSERT(cb != NULL);
    if (error == 0)
        error = gyrei_stream_need_extra(stream);
    if (error != 0)
        return error;
    *detached = (gyre_detached){.data = detached->data,
                                .fd = -1,
                                .stream = stream,
                                .cb = cb,
                                .allocator = loop->allocator,
                                .env = loop->env};
    stream->extra->detached = detached;
    gyrei_request_begin(loop);
    gyrei_handle_hold(&stream->handle);
    gyre_read_stop(stream);
    gyrei_write_uncork(stream);
    stream->flags |= GYREI_STREAM_DETACHING;
    gyrei_op_cancel(loop, &stream->in);
    gyrei_move_settle(stream);
    return 0;
}

/* ---- in ---- */

static void free_unread(gyre_detached *detached)
{
    union {
        const char *lent;
        char *ours;
    } unread = {.lent = detached->unread};

    if (unread.ours != NULL)
        gyrei_free(&detached->allocator, unread.ours, detached->unread_bytes);
    detached->unread = NULL;
    detached->unread_bytes = 0;
}

int gyre_stream_attach(gyre_stream *stream, gyre_detached *detached)
{
    int error = gyrei_stream_check(stream);

    GYRE_ASSERT(detached->fd >= 0);
    if (error == 0 && gyrei_stream_fd(stream) >= 0)
        error = GYRE_EBUSY;
    else if (error == 0 && stream->handle.kind != detached->kind)
        error = GYRE_EINVAL;
    if (error == 0)
        error =
            gyrei_read_put_unread(stream, detached->unread, detached->unread_bytes, detached->end);
    if (error != 0)
        return error;
    error = gyrei_stream_set_fd(stream, detached->fd);
    if (error != 0) {
        if (stream->extra != NULL)
            gyrei_read_finish(stream);
        return error;
    }
    stream->flags |= detached->flags | (uint32_t)GYREI_STREAM_CONNECTED;
    free_unread(detached);
    detached->fd = -1;
    return 0;
}

void gyre_detached_close(gyre_detached *detached)
{
    if (detached->fd >= 0)
        (void)detached->env->sys->close(detached->env, detached->fd);
    detached->fd = -1;
    free_unread(detached);
}
