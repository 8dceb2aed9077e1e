/*
 * Connecting: one operation, perhaps with a deadline, and the request's callback once.
 *
 * The stream's `extra` knows the request, so that close and cancel find it. A connect that failed
 * leaves the stream as it was before, without a socket: it may try again.
 */
#include "net/stream.h"

enum { CONNECT_IN_PROGRESS = 1, CONNECT_HAS_TIMER = 2, CONNECT_TIMED_OUT = 4 };

static void finish(gyre_stream *stream, gyre_connect_req *req, int status)
{
    gyre_loop *loop = stream->handle.loop;
    gyrei_frame frame;

    if ((req->flags & CONNECT_HAS_TIMER) != 0)
        gyrei_timer_node_close(loop, &req->timer);
    stream->extra->connect = NULL;
    stream->flags &= ~(uint32_t)GYREI_STREAM_CONNECTING;
    if (status == 0)
        stream->flags |= GYREI_STREAM_CONNECTED;
    else
        gyrei_stream_close_fd(stream);
    gyrei_stream_update_active(stream);
    gyrei_request_end(loop);
    req->status = status;
    req->flags = 0;
    gyrei_callback_enter(loop, &frame, stream->handle.kind, stream, stream->handle.name);
    req->cb(req, status);
    gyrei_callback_leave(loop, &frame);
}

static void on_connected(gyre_loop *loop, gyre_op *op, const gyrei_result *result)
{
    gyre_stream *stream = GYRE_CONTAINER_OF(op, gyre_stream, out);
    gyre_connect_req *req = stream->extra->connect;
    int status = result->value;

    (void)loop;
    gyrei_handle_hold(&stream->handle);
    gyrei_stream_op_ended(stream);
    if (gyrei_handle_is_closing(&stream->handle))
        status = GYRE_ECANCELED;
    else if (status == GYRE_ECANCELED && (req->flags & CONNECT_TIMED_OUT) != 0)
        status = GYRE_ETIMEDOUT;
    finish(stream, req, status);
    gyrei_handle_release(&stream->handle);
}

static void timed_out(gyre_loop *loop, gyre_timer_node *node)
{
    gyre_connect_req *req = GYRE_CONTAINER_OF(node, gyre_connect_req, timer);

    req->flags |= CONNECT_TIMED_OUT;
    gyrei_op_cancel(loop, &req->stream->out);
}

static int start_timer(gyre_loop *loop, gyre_connect_req *req, uint64_t timeout_ns)
{
    int error;

    if (timeout_ns == 0)
        return 0;
    error = gyrei_timer_node_init(loop, &req->timer, timed_out);
    if (error != 0)
        return error;
    req->flags |= CONNECT_HAS_TIMER;
    gyrei_timer_node_start(loop, &req->timer,
                           gyrei_time_add(loop->env->now_ns(loop->env), timeout_ns), 0);
    return 0;
}

static int check(const gyre_stream *stream)
{
    const int error = gyrei_stream_check(stream);

    if (error != 0)
        return error;
    if ((stream->flags & GYREI_STREAM_LISTENING) != 0)
        return GYRE_EINVAL;
    if ((stream->flags & GYREI_STREAM_CONNECTED) != 0)
        return GYRE_EISCONN;
    return (stream->flags & GYREI_STREAM_CONNECTING) != 0 ? GYRE_EALREADY : 0;
}

int gyrei_connect_start(gyre_stream *stream, gyre_connect_req *req, uint64_t timeout_ns,
                        gyre_connect_cb cb)
{
    gyre_loop *loop = stream->handle.loop;
    const bool fresh = gyrei_stream_fd(stream) < 0;
    int error = check(stream);

    GYRE_ASSERT(cb != NULL);
    if (error == 0)
        error = gyrei_stream_need_extra(stream);
    if (error == 0 && fresh)
        error = gyrei_stream_socket(stream, req->address.u.any.sa_family);
    if (error != 0)
        return error;
    req->flags = 0;
    error = start_timer(loop, req, timeout_ns);
    if (error != 0) {
        if (fresh)
            gyrei_stream_close_fd(stream);
        return error;
    }
    req->stream = stream;
    req->cb = cb;
    req->flags |= CONNECT_IN_PROGRESS;
    stream->extra->connect = req;
    stream->flags |= GYREI_STREAM_CONNECTING;
    gyrei_stream_update_active(stream);
    gyrei_request_begin(loop);
    gyrei_op_prepare(&stream->out, GYREI_OP_CONNECT, gyrei_stream_fd(stream), 0, on_connected);
    stream->out.pointer = &req->address.u;
    stream->out.arg32 = req->address.len;
    gyrei_stream_submit(stream, &stream->out);
    return 0;
}

int gyre_connect_cancel(gyre_connect_req *req)
{
    gyre_stream *stream = req->stream;

    if ((req->flags & CONNECT_IN_PROGRESS) == 0) /* the stream may be gone then */
        return GYRE_ENOENT;
    gyrei_loop_check(stream->handle.loop);
    gyrei_op_cancel(stream->handle.loop, &stream->out);
    return 0;
}

void gyrei_connect_close(gyre_stream *stream)
{
    gyrei_stream_extra *extra = stream->extra;

    if (extra != NULL && extra->connect != NULL && (extra->connect->flags & CONNECT_HAS_TIMER) != 0)
        gyrei_timer_node_stop(stream->handle.loop, &extra->connect->timer);
}
