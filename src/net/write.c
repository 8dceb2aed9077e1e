/*
 * Writing: a queue of requests, sent together.
 *
 *   write --> queue --(callback returns, or before the wait)--> one send --> all gone: done
 *                                                                |
 *                                     would block: SEND operation for the rest, then again
 *
 * All that is queued goes out in one vectored send, which is tried at once on every backend,
 * because a socket nearly always has room; only what does not fit costs an operation. A request
 * that is done has its callback called from the pending queue, never from inside a call. A copied
 * write is a request of our own in a block that is used again. Invariant: while `out` is in flight
 * it refers to the first request's buffers, which do not change until it has ended.
 *
 * The usual case has a shorter way, the cork: what a read callback copies to its own stream, whose
 * queue is empty, gathers in one block of the loop's and is sent when the callback returns. It
 * becomes a request only if the kernel does not take it whole, or if something is to follow it.
 */
#include "net/stream.h"

#include "base/hot.h"
#include "os/here.h"

#include <string.h>

enum {
    VECTORS_MAX = 1024,    /* buffers of one request in one send: Linux's IOV_MAX */
    CORK_BYTES = 8192,     /* to copy more costs more than the turn's send saves (os/here.h) */
    COPY_TRY_BYTES = 3072, /* what goes into the queue is tried first from here on */
};

static void on_sent(gyre_loop *loop, gyre_op *op, const gyrei_result *result);

static gyre_write_req *first_write(const gyre_stream *stream)
{
    return gyrei_list_empty(&stream->writes)
               ? NULL
               : GYRE_CONTAINER_OF(stream->writes.next, gyre_write_req, task.link);
}

static gyre_write_req *last_write(const gyre_stream *stream)
{
    return gyrei_list_empty(&stream->writes)
               ? NULL
               : GYRE_CONTAINER_OF(stream->writes.prev, gyre_write_req, task.link);
}

/* ---- requests that are done ---- */

static void run_done(gyre_loop *loop, gyre_task *task)
{
    gyre_write_req *req = GYRE_CONTAINER_OF(task, gyre_write_req, task);
    gyre_stream *stream = req->stream;
    gyrei_frame frame;

    gyrei_request_end(loop);
    if (req->cb != NULL) {
        gyrei_callback_enter(loop, &frame, stream->handle.kind, stream, stream->handle.name);
        req->cb(req, req->status);
        gyrei_callback_leave(loop, &frame);
    }
    gyrei_handle_release(&stream->handle);
}

/* The first request of the queue has ended. */
static void finish_first(gyre_stream *stream, int status)
{
    gyre_loop *loop = stream->handle.loop;
    gyre_write_req *req = first_write(stream);

    gyrei_list_remove(&req->task.link);
    stream->queued_bytes -= req->bytes;
    if (req->kind == GYREI_WRITE_COPY) {
        gyrei_block_give(loop, gyrei_block_of(req));
        gyrei_request_end(loop);
        if (status != 0)
            gyrei_limits_copy_failed(stream, status);
        gyrei_handle_release(&stream->handle);
        return;
    }
    req->status = status;
    req->task.run = run_done;
    gyrei_task_submit(loop, &req->task);
}

/* A stream that was to be closed, or given away, when its queue is empty. */
static void close_if_finished(gyre_stream *stream)
{
    if ((stream->flags & GYREI_STREAM_DETACHING) != 0)
        gyrei_move_settle(stream);
    if ((stream->flags & GYREI_STREAM_FINISHING) == 0 || !gyrei_list_empty(&stream->writes) ||
        !gyrei_op_is_idle(&stream->out) || gyrei_handle_is_closing(&stream->handle))
        return;
    gyre_close(&stream->handle, stream->handle.close_cb);
}

static void fail_queue(gyre_stream *stream, int error)
{
    /* Held meanwhile: a copied write that ends releases the handle. */
    gyrei_handle_hold(&stream->handle);
    while (!gyrei_list_empty(&stream->writes))
        finish_first(stream, error);
    gyrei_limits_queue_changed(stream);
    gyrei_stream_update_active(stream);
    close_if_finished(stream);
    gyrei_handle_release(&stream->handle);
}

void gyrei_write_fail(gyre_stream *stream, int error)
{
    if (stream->error == 0)
        stream->error = error;
    if (gyrei_op_is_idle(&stream->out) || (stream->flags & GYREI_STREAM_CONNECTING) != 0) {
        fail_queue(stream, error);
        return;
    }
    /* The kernel still reads the buffers: they go back when the send has ended. */
    stream->flags |= GYREI_STREAM_FAILED;
    gyrei_op_cancel(stream->handle.loop, &stream->out);
}

/* ---- sending ---- */

/* Takes `sent` bytes off the queue; requests that are gone wholly are done. */
static void consume(gyre_stream *stream, uint64_t sent)
{
    gyre_write_req *req;

    while ((req = first_write(stream)) != NULL && req->kind != GYREI_WRITE_SHUTDOWN) {
        while (req->buf_count > 0 && req->bufs->len <= sent) {
            sent -= req->bufs->len;
            req->bytes -= req->bufs->len;
            stream->queued_bytes -= req->bufs->len;
            req->bufs++;
            req->buf_count--;
        }
        if (req->buf_count > 0) {
            req->bufs->base += sent;
            req->bufs->len -= sent;
            req->bytes -= sent;
            stream->queued_bytes -= sent;
            return;
        }
        finish_first(stream, 0);
    }
}

/* The socket is full: the rest of the first request goes when there is room. */
static void send_later(gyre_stream *stream)
{
    gyre_write_req *req = first_write(stream);

    GYRE_ASSERT(req->buf_count > 0);
    gyrei_op_prepare(&stream->out, GYREI_OP_SEND, gyrei_stream_fd(stream), GYREI_OP_POLL_FIRST,
                     on_sent);
    stream->out.pointer = req->bufs;
    stream->out.arg32 = req->buf_count;
    gyrei_stream_submit(stream, &stream->out);
    gyrei_limits_progress(stream);
}

static void shut_down(gyre_stream *stream)
{
    const gyre_loop *loop = stream->handle.loop;

    finish_first(stream, loop->env->sys->shutdown(loop->env, gyrei_stream_fd(stream), SHUT_WR));
}

/* The buffers of requests at the queue's head, up to a shutdown. */
static void gather(gyre_stream *stream, gyrei_send_call *call)
{
    gyre_buf *vectors = gyrei_streams_of(stream->handle.loop)->vectors;

    call->bufs = vectors;
    for (gyre_link *link = stream->writes.next; link != &stream->writes; link = link->next) {
        const gyre_write_req *req = GYRE_CONTAINER_OF(link, gyre_write_req, task.link);

        if (req->kind == GYREI_WRITE_SHUTDOWN)
            return;
        for (uint32_t i = 0; i < req->buf_count; i++) {
            if (call->count == GYREI_WRITE_VECTORS)
                return;
            vectors[call->count++] = req->bufs[i];
            call->bytes += req->bufs[i].len;
        }
    }
}

/* One request as it is, as far as one call takes it, or short ones together. */
static void take_head(gyre_stream *stream, gyrei_send_call *call)
{
    const gyre_write_req *req = first_write(stream);

    GYRE_ASSERT(req != NULL);
    call->count = 0;
    call->bytes = 0;
    if (req != last_write(stream) && req->buf_count <= GYREI_WRITE_VECTORS) {
        gather(stream, call);
        return;
    }
    call->bufs = req->bufs;
    while (call->count < req->buf_count && call->count < VECTORS_MAX)
        call->bytes += req->bufs[call->count++].len;
}

/* Of `bytes` that were given to one call it has taken `sent`. False: no more can be done now. */
static bool account(gyre_stream *stream, uint64_t bytes, int64_t sent)
{
    if (sent < 0 && sent != GYRE_EAGAIN) {
        if (stream->error == 0)
            stream->error = (int32_t)sent;
        fail_queue(stream, (int)sent);
        return false;
    }
    if (sent > 0)
        gyrei_limits_active(stream);
    consume(stream, sent > 0 ? (uint64_t)sent : 0);
    if (sent >= 0 && (uint64_t)sent == bytes)
        return true;
    send_later(stream);
    return false;
}

/* Something of the queue is done, or all of it. */
static void queue_moved(gyre_stream *stream)
{
    gyrei_limits_queue_changed(stream);
    gyrei_stream_update_active(stream);
    close_if_finished(stream);
}

static bool can_send(const gyre_stream *stream)
{
    return !gyrei_list_empty(&stream->writes) && gyrei_op_is_idle(&stream->out) &&
           (stream->flags & GYREI_STREAM_CONNECTED) != 0;
}

/* Requests at the queue's head that need no send are done on the way. */
static bool begin_queued(gyre_stream *stream, gyrei_send_call *call)
{
    bool found = false;

    if (!can_send(stream))
        return false;
    gyrei_handle_hold(&stream->handle);
    while (!found && !gyrei_list_empty(&stream->writes)) {
        if (first_write(stream)->kind == GYREI_WRITE_SHUTDOWN) {
            shut_down(stream);
            continue;
        }
        take_head(stream, call);
        found = call->bytes > 0;
        if (!found)
            consume(stream, 0);
    }
    if (!found)
        queue_moved(stream);
    gyrei_handle_release(&stream->handle);
    return found;
}

static bool end_queued(gyre_stream *stream, const gyrei_send_call *call, int64_t sent)
{
    bool more;

    gyrei_handle_hold(&stream->handle);
    more = account(stream, call->bytes, sent) && can_send(stream);
    queue_moved(stream);
    gyrei_handle_release(&stream->handle);
    return more;
}

void gyrei_write_send(gyre_stream *stream)
{
    const gyre_loop *loop = stream->handle.loop;
    gyrei_send_call call = {.fd = gyrei_stream_fd(stream)};

    gyrei_handle_hold(&stream->handle);
    while (begin_queued(stream, &call) &&
           end_queued(stream, &call, gyrei_here_send(loop->env, &call)))
        ;
    queue_moved(stream);
    gyrei_handle_release(&stream->handle);
}

static void on_sent(gyre_loop *loop, gyre_op *op, const gyrei_result *result)
{
    gyre_stream *stream = GYRE_CONTAINER_OF(op, gyre_stream, out);

    (void)loop;
    gyrei_handle_hold(&stream->handle);
    gyrei_stream_op_ended(stream);
    if (result->value > 0) {
        gyrei_limits_active(stream);
        consume(stream, (uint64_t)result->value);
    }
    if ((stream->flags & GYREI_STREAM_FAILED) != 0) {
        stream->flags &= ~(uint32_t)GYREI_STREAM_FAILED;
        fail_queue(stream, stream->error);
    } else if (result->value < 0) {
        if (stream->error == 0)
            stream->error = result->value;
        fail_queue(stream, result->value);
    } else {
        gyrei_write_send(stream);
    }
    gyrei_handle_release(&stream->handle);
}

/* ---- entering the queue ---- */

static int check_writable(const gyre_stream *stream)
{
    const int error = gyrei_stream_check(stream);

    if (error != 0)
        return error;
    if ((stream->flags & GYREI_STREAM_CONNECTED) == 0)
        return GYRE_ENOTCONN;
    if ((stream->flags & GYREI_STREAM_DETACHING) != 0)
        return GYRE_EINVAL;
    if ((stream->flags & (GYREI_STREAM_SHUT | GYREI_STREAM_FINISHING)) != 0)
        return GYRE_ESHUTDOWN;
    return stream->error;
}

static void enqueue(gyre_stream *stream, gyre_write_req *req)
{
    gyrei_request_begin(stream->handle.loop);
    gyrei_handle_hold(&stream->handle);
    gyrei_list_append(&stream->writes, &req->task.link);
    stream->queued_bytes += req->bytes;
    gyrei_limits_queue_changed(stream);
    gyrei_stream_update_active(stream);
    gyrei_stream_want_flush(stream);
}

/* Queues the first `len` bytes of a block. */
static void enqueue_block(gyre_stream *stream, gyrei_write_block *block, size_t len)
{
    gyre_write_req *req = &block->req;

    req->stream = stream;
    req->cb = NULL;
    req->kind = GYREI_WRITE_COPY;
    req->bytes = len;
    req->inline_bufs[0] = (gyre_buf){.base = block->bytes, .len = len};
    req->bufs = req->inline_bufs;
    req->buf_count = 1;
    enqueue(stream, req);
}

/* ---- the cork ---- */

/* A healthy stream in its own read callback, with nothing queued; or one whose cork has room. */
static inline bool may_cork(const gyre_stream *stream, size_t len)
{
    const uint32_t state = GYREI_STREAM_CONNECTED | GYREI_STREAM_SHUT | GYREI_STREAM_FINISHING |
                           GYREI_STREAM_DETACHING;
    const gyre_loop *loop = stream->handle.loop;
    const gyrei_streams *streams = gyrei_streams_of(loop);

    if (streams->corked == stream)
        return len <= streams->cork->room - streams->cork_len &&
               stream->queued_bytes + len <= loop->queued_bytes_max;
    return loop->reading.stream == stream && streams->corked == NULL && streams->cork != NULL &&
           gyrei_list_empty(&stream->writes) && stream->extra == NULL &&
           (stream->flags & state) == GYREI_STREAM_CONNECTED && stream->error == 0 &&
           !gyrei_handle_is_closing(&stream->handle) && len <= CORK_BYTES;
}

static inline void cork(gyre_stream *stream, const void *base, size_t len)
{
    gyrei_streams *streams = gyrei_streams_of(stream->handle.loop);

    if (streams->corked != stream) {
        streams->corked = stream;
        streams->cork_len = 0;
        gyrei_stream_want_flush(stream);
    }
    memcpy(streams->cork->bytes + streams->cork_len, base, len);
    streams->cork_len += (uint32_t)len;
    stream->queued_bytes += len;
}

/* The corked bytes in a block of their own, or, without memory for one, in the cork itself. */
static gyrei_write_block *block_of_cork(gyre_loop *loop)
{
    gyrei_streams *streams = gyrei_streams_of(loop);
    gyrei_write_block *block = gyrei_block_take(loop, streams->cork_len);

    if (block != NULL) {
        memcpy(block->bytes, streams->cork->bytes, streams->cork_len);
        return block;
    }
    block = streams->cork;
    streams->cork = NULL;
    return block;
}

void gyrei_write_take_cork(gyre_stream *stream)
{
    gyrei_streams *streams = gyrei_streams_of(stream->handle.loop);

    streams->corked = NULL;
    stream->queued_bytes -= streams->cork_len;
    enqueue_block(stream, block_of_cork(stream->handle.loop), streams->cork_len);
}

static void begin_corked(gyrei_streams *streams, gyrei_send_call *call)
{
    streams->vectors[0] = (gyre_buf){.base = streams->cork->bytes, .len = streams->cork_len};
    call->bufs = streams->vectors;
    call->count = 1;
    call->bytes = streams->cork_len;
}

/* Corked bytes that are not gone whole are a request like others. */
static bool end_corked(gyre_stream *stream, const gyrei_send_call *call, int64_t sent)
{
    if (sent == (int64_t)call->bytes) {
        gyrei_streams_of(stream->handle.loop)->corked = NULL;
        stream->queued_bytes -= call->bytes;
        gyrei_limits_active(stream);
        gyrei_limits_queue_changed(stream);
        return false;
    }
    gyrei_write_uncork(stream);
    return end_queued(stream, call, sent);
}

GYREI_HOT bool gyrei_write_begin(gyre_stream *stream, gyrei_send_call *call)
{
    gyrei_streams *streams = gyrei_streams_of(stream->handle.loop);

    call->stream = stream;
    call->fd = gyrei_stream_fd(stream);
    if (streams->corked != stream)
        return begin_queued(stream, call);
    begin_corked(streams, call);
    return true;
}

GYREI_HOT bool gyrei_write_end(const gyrei_send_call *call, int64_t sent)
{
    gyre_stream *stream = call->stream;

    return gyrei_write_is_corked(stream) ? end_corked(stream, call, sent)
                                         : end_queued(stream, call, sent);
}

/* ---- the user's side ---- */

int gyre_write(gyre_stream *stream, gyre_write_req *req, const gyre_buf *bufs, uint32_t buf_count,
               gyre_write_cb cb)
{
    uint64_t bytes = 0;
    int error = check_writable(stream);

    GYRE_ASSERT(bufs != NULL || buf_count == 0);
    for (uint32_t i = 0; i < buf_count; i++)
        bytes += bufs[i].len;
    if (error == 0)
        error = gyrei_limits_admit(stream, bytes);
    if (error != 0)
        return error;
    req->stream = stream;
    req->cb = cb;
    req->kind = GYREI_WRITE_USER;
    req->bytes = bytes;
    req->buf_count = buf_count;
    if (buf_count <= GYRE_WRITE_INLINE_BUFS) {
        for (uint32_t i = 0; i < buf_count; i++)
            req->inline_bufs[i] = bufs[i];
        req->bufs = req->inline_bufs;
    } else {
        union {
            const gyre_buf *given;
            gyre_buf *ours; /* lent with the request, and changed as bytes go out */
        } array = {.given = bufs};

        req->bufs = array.ours;
    }
    gyrei_write_uncork(stream);
    enqueue(stream, req);
    return 0;
}

int64_t gyre_try_write(gyre_stream *stream, const gyre_buf *bufs, uint32_t buf_count)
{
    gyrei_send_call call = {.bufs = bufs, .count = buf_count};
    const int error = check_writable(stream);
    int64_t sent;

    GYRE_ASSERT(bufs != NULL && buf_count > 0);
    if (error != 0)
        return error;
    if (!gyrei_list_empty(&stream->writes) || gyrei_write_is_corked(stream))
        return GYRE_EAGAIN;
    call.fd = gyrei_stream_fd(stream);
    sent = gyrei_here_send(stream->handle.loop->env, &call);
    if (sent > 0)
        gyrei_limits_active(stream);
    else if (sent < 0 && sent != GYRE_EAGAIN)
        stream->error = (int32_t)sent;
    return sent;
}

/* Adds to the last block of the queue, if it is ours, has room, and is not being sent. */
static bool append_to_last(gyre_stream *stream, const void *base, size_t len)
{
    gyre_write_req *req = last_write(stream);
    gyrei_write_block *block;
    gyre_buf *buf;

    if (req == NULL || req->kind != GYREI_WRITE_COPY ||
        (req == first_write(stream) && !gyrei_op_is_idle(&stream->out)))
        return false;
    block = gyrei_block_of(req);
    buf = req->bufs;
    if (len > block->room - (size_t)(buf->base + buf->len - block->bytes))
        return false;
    memcpy(buf->base + buf->len, base, len);
    buf->len += len;
    req->bytes += len;
    stream->queued_bytes += len;
    gyrei_limits_queue_changed(stream);
    return true;
}

static int queue_copy(gyre_stream *stream, const void *base, size_t len)
{
    gyrei_write_block *block;

    if (append_to_last(stream, base, len))
        return 0;
    block = gyrei_block_take(stream->handle.loop, len);
    if (block == NULL)
        return GYRE_ENOMEM;
    memcpy(block->bytes, base, len);
    enqueue_block(stream, block, len);
    return 0;
}

/* As gyre_write_copy, for what goes into the queue or out at once. */
static __attribute__((noinline)) int write_copy(gyre_stream *stream, const char *bytes, size_t len)
{
    gyrei_streams *streams = gyrei_streams_of(stream->handle.loop);
    int error = check_writable(stream);
    int64_t sent = 0;

    if (error == 0)
        error = gyrei_limits_admit(stream, len);
    if (error != 0 || len == 0)
        return error;
    gyrei_write_uncork(stream);
    if (streams->cork == NULL) /* for the next time; without it nothing is wrong */
        streams->cork = gyrei_block_take(stream->handle.loop, CORK_BYTES);
    if (len >= COPY_TRY_BYTES && gyrei_list_empty(&stream->writes)) {
        const gyre_buf whole = gyre_buf_init(bytes, len);

        sent = gyre_try_write(stream, &whole, 1);
        if (sent == GYRE_EAGAIN)
            sent = 0;
        if (sent < 0)
            return (int)sent;
        if ((size_t)sent == len)
            return 0;
    }
    error = queue_copy(stream, bytes + sent, len - (size_t)sent);
    /* Half of the bytes are gone, and no memory for the others: nothing may follow them. */
    if (error != 0 && sent > 0)
        stream->error = error;
    return error;
}

GYREI_HOT int gyre_write_copy(gyre_stream *stream, const void *base, size_t len)
{
    GYRE_ASSERT(base != NULL || len == 0);
    gyrei_loop_check(stream->handle.loop);
    if (len == 0 || !may_cork(stream, len))
        return write_copy(stream, base, len);
    cork(stream, base, len);
    return 0;
}

int gyre_shutdown(gyre_stream *stream, gyre_write_req *req, gyre_write_cb cb)
{
    const int error = gyrei_stream_check(stream);

    if (error != 0)
        return error;
    if ((stream->flags & GYREI_STREAM_CONNECTED) == 0)
        return GYRE_ENOTCONN;
    if ((stream->flags & GYREI_STREAM_DETACHING) != 0)
        return GYRE_EINVAL;
    if ((stream->flags & GYREI_STREAM_SHUT) != 0)
        return GYRE_ESHUTDOWN;
    stream->flags |= GYREI_STREAM_SHUT;
    req->stream = stream;
    req->cb = cb;
    req->kind = GYREI_WRITE_SHUTDOWN;
    req->bytes = 0;
    req->buf_count = 0;
    req->bufs = req->inline_bufs;
    gyrei_write_uncork(stream);
    enqueue(stream, req);
    return 0;
}

void gyre_stream_finish(gyre_stream *stream, gyre_close_cb cb)
{
    gyrei_loop_check(stream->handle.loop);
    GYRE_ASSERT(!gyrei_handle_is_closing(&stream->handle));
    GYRE_ASSERT((stream->flags & GYREI_STREAM_FINISHING) == 0);
    if ((stream->flags & GYREI_STREAM_READING) != 0)
        gyre_read_stop(stream);
    gyrei_write_uncork(stream);
    if (gyrei_list_empty(&stream->writes)) {
        gyre_close(&stream->handle, cb);
        return;
    }
    stream->handle.close_cb = cb;
    stream->flags |= GYREI_STREAM_FINISHING;
}

uint64_t gyre_queued_bytes(const gyre_stream *stream)
{
    return stream->queued_bytes;
}
