/*
 * A stream's life: init, its descriptor, what makes it active, close; and what the loop calls to
 * flush.
 *
 * Invariant: the handle is held once for each operation in flight and each request whose callback
 * is due, so that `finish` runs when the kernel and the queues know nothing of the stream any more.
 */
#include "net/stream.h"

#include "base/hot.h"

static void stream_close(gyre_loop *loop, gyre_handle *handle);
static void stream_finish(gyre_loop *loop, gyre_handle *handle);

static const gyrei_handle_class tcp_class = {
    .kind = GYRE_HANDLE_TCP,
    .bytes = sizeof(gyre_tcp),
    .close = stream_close,
    .finish = stream_finish,
};
static const gyrei_handle_class pipe_class = {
    .kind = GYRE_HANDLE_PIPE,
    .bytes = sizeof(gyre_pipe),
    .close = stream_close,
    .finish = stream_finish,
};

static gyre_stream *stream_of(gyre_handle *handle)
{
    return GYRE_CONTAINER_OF(handle, gyre_stream, handle);
}

/* ---- what a loop keeps ---- */

/* The usual state of a stream that has just written: a receive is in flight, and nothing waits. */
static bool is_receiving(const gyre_stream *stream)
{
    return (stream->flags & GYREI_STREAM_READING) != 0 && !gyrei_op_is_idle(&stream->in) &&
           stream->extra == NULL;
}

GYREI_HOT static bool send_begin(gyre_loop *loop, gyrei_send_call *call)
{
    gyre_stream *stream = loop->flush_first;

    loop->flush_first = stream->flush_next;
    stream->flags &= ~(uint32_t)GYREI_STREAM_FLUSH;
    if (gyrei_handle_is_closing(&stream->handle))
        return false;
    if ((stream->flags & GYREI_STREAM_LISTENING) != 0)
        gyrei_listen_settle(stream);
    else if ((stream->flags & GYREI_STREAM_CONNECTED) != 0 && !is_receiving(stream))
        gyrei_read_settle(stream);
    return gyrei_write_begin(stream, call);
}

/* What is left goes with the next call, before any other stream's. */
GYREI_HOT static void send_end(gyre_loop *loop, const gyrei_send_call *call, int64_t sent)
{
    (void)loop;
    if (gyrei_write_end(call, sent))
        gyrei_stream_want_flush(call->stream);
}

/* A stream whose memory goes before the next flush: made so outside of callbacks and of waits. */
static void forget_flush(gyre_loop *loop, gyre_stream *stream)
{
    gyre_stream **link = &loop->flush_first;

    while (*link != stream)
        link = &(*link)->flush_next;
    *link = stream->flush_next;
    stream->flags &= ~(uint32_t)GYREI_STREAM_FLUSH;
}

static void streams_close(gyre_loop *loop)
{
    gyrei_blocks_free(loop);
    gyrei_loop_free(loop, loop->streams, sizeof(gyrei_streams));
    loop->streams = NULL;
}

static int need_streams(gyre_loop *loop)
{
    gyrei_streams *streams;

    if (loop->streams != NULL)
        return 0;
    streams = gyrei_loop_alloc(loop, sizeof(*streams));
    if (streams == NULL)
        return GYRE_ENOMEM;
    gyrei_list_init(&streams->paused);
    loop->streams = streams;
    loop->streams_close = streams_close;
    loop->send_begin = send_begin;
    loop->send_end = send_end;
    return 0;
}

/* ---- init ---- */

int gyrei_stream_init(gyre_loop *loop, gyre_stream *stream, gyre_handle_kind kind)
{
    int error = need_streams(loop);

    if (error == 0)
        error = gyrei_op_init(loop, &stream->in);
    if (error != 0)
        return error;
    error = gyrei_op_init(loop, &stream->out);
    if (error != 0) {
        gyrei_op_close(loop, &stream->in);
        return error;
    }
    gyrei_handle_init(loop, &stream->handle, kind == GYRE_HANDLE_TCP ? &tcp_class : &pipe_class);
    gyrei_list_init(&stream->writes);
    stream->cb.read = NULL;
    stream->extra = NULL;
    stream->flush_next = NULL;
    stream->queued_bytes = 0;
    stream->flags = kind == GYRE_HANDLE_TCP ? 0 : GYREI_STREAM_UNIX;
    stream->error = 0;
    return 0;
}

int gyrei_stream_need_extra(gyre_stream *stream)
{
    gyre_loop *loop = stream->handle.loop;
    gyrei_stream_extra *extra;

    if (stream->extra != NULL)
        return 0;
    extra = gyrei_loop_alloc(loop, sizeof(*extra));
    if (extra == NULL)
        return GYRE_ENOMEM;
    if (gyrei_timer_node_init(loop, &extra->timer, gyrei_limits_fire) != 0) {
        gyrei_loop_free(loop, extra, sizeof(*extra));
        return GYRE_ENOMEM;
    }
    extra->stream = stream;
    gyrei_list_init(&extra->stash);
    gyrei_list_init(&extra->paused);
    stream->extra = extra;
    return 0;
}

/* ---- the descriptor ---- */

int gyrei_stream_set_fd(gyre_stream *stream, int fd)
{
    gyre_loop *loop = stream->handle.loop;
    const int error = loop->ops->attach(loop->backend, fd, false);

    GYRE_ASSERT(gyrei_stream_fd(stream) < 0);
    if (error != 0)
        return error;
    stream->in.fd = fd;
    stream->out.fd = fd;
    return 0;
}

int gyrei_stream_socket(gyre_stream *stream, int family)
{
    gyre_loop *loop = stream->handle.loop;
    const gyrei_sys *sys = loop->env->sys;
    const int fd = sys->socket(loop->env, family, SOCK_STREAM, 0);
    int error;

    if (fd < 0)
        return fd;
    error = gyrei_stream_set_fd(stream, fd);
    if (error != 0) {
        sys->close(loop->env, fd);
        return error;
    }
    if ((stream->flags & GYREI_STREAM_UNIX) == 0)
        error = gyrei_tcp_prepare(stream);
    if (error != 0)
        gyrei_stream_close_fd(stream);
    return error;
}

/* SO_LINGER with no time makes close send RST and drop what is unsent (socket(7)). */
static void ask_for_reset(gyre_stream *stream)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};
    gyre_loop *loop = stream->handle.loop;

    (void)loop->env->sys->set_option(loop->env, gyrei_stream_fd(stream), SOL_SOCKET, SO_LINGER,
                                     &linger, sizeof(linger));
}

/* Lets go of the descriptor, which is closed next. */
static int take_fd(gyre_stream *stream)
{
    gyre_loop *loop = stream->handle.loop;
    const int fd = gyrei_stream_fd(stream);

    GYRE_ASSERT(gyrei_op_is_idle(&stream->in) && gyrei_op_is_idle(&stream->out));
    if ((stream->flags & GYREI_STREAM_RESET) != 0)
        ask_for_reset(stream);
    loop->ops->forget(loop->backend, fd);
    stream->in.fd = -1;
    stream->out.fd = -1;
    return fd;
}

void gyrei_stream_close_fd(gyre_stream *stream)
{
    gyre_loop *loop = stream->handle.loop;

    if (gyrei_stream_fd(stream) < 0)
        return;
    (void)loop->env->sys->close(loop->env, take_fd(stream)); /* gone whatever close says */
    gyrei_listen_resume(loop);
}

static int option(const gyre_loop *loop, int fd, int name, int *value)
{
    uint32_t len = sizeof(*value);

    return loop->env->sys->get_option(loop->env, fd, SOL_SOCKET, name, value, &len);
}

int gyrei_stream_adopt(gyre_stream *stream, int fd, int family, int other_family)
{
    gyre_loop *loop = stream->handle.loop;
    const gyrei_sys *sys = loop->env->sys;
    gyre_address peer;
    int listening = 0;
    int type = 0;
    int domain = 0;
    int error = gyrei_stream_check(stream);

    if (error == 0 && gyrei_stream_fd(stream) >= 0)
        error = GYRE_EBUSY;
    if (error == 0)
        error = option(loop, fd, SO_TYPE, &type);
    if (error == 0)
        error = option(loop, fd, SO_DOMAIN, &domain);
    if (error == 0 && (type != SOCK_STREAM || (domain != family && domain != other_family)))
        error = GYRE_EINVAL;
    if (error == 0)
        error = option(loop, fd, SO_ACCEPTCONN, &listening);
    if (error == 0)
        error = sys->adopt(loop->env, fd);
    if (error == 0)
        error = gyrei_stream_set_fd(stream, fd);
    if (error != 0)
        return error;
    if (listening == 0 && sys->peer_address(loop->env, fd, &peer) == 0)
        stream->flags |= GYREI_STREAM_CONNECTED;
    else
        stream->flags |= GYREI_STREAM_BOUND;
    return 0;
}

int gyre_stream_fd(const gyre_stream *stream)
{
    return gyrei_stream_fd(stream) >= 0 ? gyrei_stream_fd(stream) : GYRE_EBADF;
}

int gyre_stream_local_address(const gyre_stream *stream, gyre_address *address)
{
    const gyre_loop *loop = stream->handle.loop;

    if (gyrei_stream_fd(stream) < 0)
        return GYRE_EBADF;
    return loop->env->sys->local_address(loop->env, gyrei_stream_fd(stream), address);
}

int gyre_stream_peer_address(const gyre_stream *stream, gyre_address *address)
{
    const gyre_loop *loop = stream->handle.loop;

    if (gyrei_stream_fd(stream) < 0)
        return GYRE_EBADF;
    return loop->env->sys->peer_address(loop->env, gyrei_stream_fd(stream), address);
}

/* ---- operations ---- */

void gyrei_stream_submit(gyre_stream *stream, gyre_op *op)
{
    gyrei_handle_hold(&stream->handle);
    gyrei_op_submit(stream->handle.loop, op);
}

/* ---- the end ---- */

/* Ends what a stream may have beside its receive. */
static void close_rest(gyre_loop *loop, gyre_stream *stream)
{
    gyrei_op_cancel(loop, &stream->out);
    gyrei_write_fail(stream, GYRE_ECANCELED);
    gyrei_connect_close(stream);
    gyrei_move_close(stream);
    gyrei_read_close(stream);
    gyrei_limits_close(stream);
    gyrei_listen_close(stream);
}

/* Called by gyre_close. Writes that were made just before are tried once; the rest is cancelled. */
static void stream_close(gyre_loop *loop, gyre_handle *handle)
{
    gyre_stream *stream = stream_of(handle);

    gyrei_write_uncork(stream);
    if ((stream->flags & (GYREI_STREAM_FLUSH | GYREI_STREAM_RESET)) == GYREI_STREAM_FLUSH &&
        !gyrei_list_empty(&stream->writes))
        gyrei_write_send(stream);
    stream->flags &= ~(uint32_t)GYREI_STREAM_READING;
    gyrei_op_cancel(loop, &stream->in);
    /* What listens, connects, moves or has limits has an `extra`; what is sent is in `writes`. */
    if (stream->extra != NULL || !gyrei_list_empty(&stream->writes))
        close_rest(loop, stream);
}

static void free_extra(gyre_loop *loop, gyre_stream *stream)
{
    gyrei_stream_extra *extra = stream->extra;

    gyrei_timer_node_close(loop, &extra->timer);
    gyrei_read_finish(stream);
    gyrei_loop_free(loop, extra->accepted, extra->accepted_room * sizeof(int));
    if (extra->path != NULL)
        (void)loop->env->sys->unlink(loop->env, extra->path);
    gyrei_loop_free(loop, extra->path, extra->path_bytes);
    gyrei_loop_free(loop, extra, sizeof(*extra));
    stream->extra = NULL;
}

static void stream_finish(gyre_loop *loop, gyre_handle *handle)
{
    gyre_stream *stream = stream_of(handle);

    GYRE_ASSERT(gyrei_list_empty(&stream->writes));
    if ((stream->flags & GYREI_STREAM_FLUSH) != 0)
        forget_flush(loop, stream);
    if (stream->extra != NULL)
        free_extra(loop, stream);
    gyrei_op_close(loop, &stream->in);
    gyrei_op_close(loop, &stream->out);
    if (gyrei_listen_any_paused(loop))
        gyrei_stream_close_fd(stream);
    else if (gyrei_stream_fd(stream) >= 0)
        gyrei_loop_close_fd(loop, take_fd(stream));
}

void gyre_reset(gyre_stream *stream, gyre_close_cb cb)
{
    if ((stream->flags & GYREI_STREAM_CONNECTED) != 0)
        stream->flags |= GYREI_STREAM_RESET;
    gyre_close(&stream->handle, cb);
}
