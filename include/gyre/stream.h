/*
 * Streams: what TCP and unix sockets share. Listen, accept, read, write, shutdown, deadlines,
 * budgets.
 *
 * The one law of asynchrony: a call that returns < 0 will never call back; a call that returns 0
 * calls back exactly once, from the loop, never from inside the call; the close callback comes
 * after every other callback of the handle.
 */
#ifndef GYRE_STREAM_H
#define GYRE_STREAM_H

#include "gyre/address.h"
#include "gyre/handle.h"
#include "gyre/op.h"
#include "gyre/timer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gyre_stream gyre_stream;
typedef struct gyre_write_req gyre_write_req;
typedef struct gyre_connect_req gyre_connect_req;
typedef struct gyre_detached gyre_detached;
struct gyrei_stream_extra;
struct gyrei_env;

/*
 * `nread` > 0: so many bytes at buf->base, valid until the callback returns (gyre_buf_keep keeps
 * them). GYRE_EOF: the peer finished, nothing more will come. Any other negative number: the stream
 * is broken or its idle deadline passed (GYRE_ETIMEDOUT). After a negative number reading is
 * stopped; the stream is still the user's to close. `buf` is NULL then.
 */
typedef void (*gyre_read_cb)(gyre_stream *stream, int64_t nread, const gyre_buf *buf);

/*
 * `status` 0: a connection waits; take it with gyre_accept. GYRE_EMFILE, GYRE_ENFILE, GYRE_ENOBUFS
 * or GYRE_ENOMEM: accepting is paused for want of descriptors or memory, and resumes by itself
 * (then status 0 again). GYRE_ECANCELED: after gyre_listen_stop, nothing will come any more. Other
 * errors concern one connection.
 */
typedef void (*gyre_listen_cb)(gyre_stream *listener, int status);

typedef void (*gyre_write_cb)(gyre_write_req *req, int status);
typedef void (*gyre_connect_cb)(gyre_connect_req *req, int status);

/*
 * `status` 0: the queued bytes, which had passed the high mark, are down to the low mark. A
 * GYRE_E*: a write without a callback of its own (gyre_write_copy) failed.
 */
typedef void (*gyre_drain_cb)(gyre_stream *stream, int status);

/*
 * `status` 0: `detached` holds the connection, and the stream has no socket any more. GYRE_ENOMEM,
 * or what broke the stream meanwhile: the stream still has it, and does not read. GYRE_ECANCELED:
 * the stream is being closed.
 */
typedef void (*gyre_detach_cb)(gyre_detached *detached, int status);

/* Buffers that a request copies; for more the caller's array itself is used. */
#define GYRE_WRITE_INLINE_BUFS 4

struct gyre_write_req {
    void *data; /* the user's */
    /* its link is the write queue's until the request is done, then the pending queue's */
    gyre_task task;
    gyre_stream *stream;
    gyre_write_cb cb;
    gyre_buf *bufs;
    uint32_t buf_count;
    uint64_t bytes; /* not yet sent */
    int32_t status;
    uint32_t kind;
    gyre_buf inline_bufs[GYRE_WRITE_INLINE_BUFS];
};

struct gyre_connect_req {
    void *data; /* the user's */
    gyre_stream *stream;
    gyre_connect_cb cb;
    gyre_timer_node timer;
    gyre_address address;
    int32_t status;
    uint32_t flags;
};

/*
 * A connection between two loops: taken out of the one by gyre_stream_detach, put into the other by
 * gyre_stream_attach. It belongs to no thread, and goes from one to the other as any memory does:
 * with gyre_post, say.
 */
struct gyre_detached {
    void *data;         /* the user's */
    int fd;             /* -1 when it holds no connection */
    int32_t end;        /* how reading ended after those bytes: GYRE_EOF, or 0: it did not */
    const char *unread; /* bytes that were received and not yet read; NULL if there are none */
    size_t unread_bytes;
    /* from here on: private */
    gyre_task task;
    gyre_stream *stream;
    gyre_detach_cb cb;
    gyre_allocator allocator; /* of `unread` */
    const struct gyrei_env *env;
    uint32_t kind;
    uint32_t flags;
};

struct gyre_stream {
    union {
        gyre_handle handle;
        void *data;
    };
    gyre_op in;  /* RECV, or ACCEPT of a listener; its fd is the stream's */
    gyre_op out; /* SEND or CONNECT */
    union {
        gyre_read_cb read;
        gyre_listen_cb listen;
    } cb;
    gyre_link writes; /* queued requests, first to be sent first */
    struct gyrei_stream_extra *extra;
    gyre_stream *flush_next;
    uint64_t queued_bytes;
    uint32_t flags;
    int32_t error;
};

/*
 * Begins to accept connections on a bound stream. Listening again on a listener changes its
 * callback.
 *
 * Params: backlog: 1..; 0 takes the system's largest. cb: not NULL.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  `cb` runs in the poll phase.
 * Errors: GYRE_EADDRINUSE, GYRE_EINVAL (not bound, closing, connected), GYRE_EALREADY (being
 *         stopped), GYRE_ENOTSUP.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_listen(gyre_stream *listener, int backlog, gyre_listen_cb cb);

/*
 * Takes no more connections. Those that were accepted before the kernel heard of it, and some that
 * wait in its queue then, are still announced; at last the listen callback is called with
 * GYRE_ECANCELED, once. The socket stays bound and listening: whoever else has it, another process
 * say, goes on to serve its queue, and so does gyre_listen. Closing a listener throws away what
 * was accepted and not taken; this does not.
 *
 * Params: listener: listening.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  the callback with GYRE_ECANCELED runs in the pending phase, when all connections were
 *         taken.
 * Errors: GYRE_EINVAL (not listening, closing), GYRE_EALREADY.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_listen_stop(gyre_stream *listener);

/*
 * Takes a waiting connection and makes `client` of it: a stream of the listener's kind and loop,
 * initialised here.
 *
 * A connection that is not taken in the callback waits; the listener takes no further ones from the
 * kernel meanwhile. Later calls, from anywhere on the loop, take it.
 *
 * Params: client: memory of the caller's that holds no open handle: &tcp.stream or &pipe.stream.
 * Owns:   on success the client's memory is the library's until its close callback; on error it is
 *         the caller's as before.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_EAGAIN when none waits; GYRE_EINVAL when not listening; GYRE_ENOMEM: the connection
 *         is closed.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_accept(gyre_stream *listener, gyre_stream *client);

/*
 * Begins to read: `cb` is called with whatever arrives. On a stream that reads already it changes
 * the callback.
 *
 * Params: cb: not NULL.
 * Owns:   nothing; the buffers are the loop's, and an idle stream holds none.
 * Thread: loop.
 * Phase:  `cb` runs in the poll phase, or in the pending phase for what was left over.
 * Errors: GYRE_ENOTCONN, GYRE_EINVAL (closing, finishing, being detached, a listener), GYRE_EOF
 *         after the end of stream.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_read_start(gyre_stream *stream, gyre_read_cb cb);

/*
 * Stops reading: no callback comes until gyre_read_start. Bytes that arrive meanwhile are not lost;
 * the peer is slowed by its window.
 *
 * Params: stream: initialised; stopping twice does nothing.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_read_stop(gyre_stream *stream);

/*
 * Keeps the buffer of the present read callback beyond it.
 *
 * Params: stream, buf: as the callback was given them, while it runs.
 * Owns:   the bytes are the caller's until gyre_buf_release.
 * Thread: loop.
 * Phase:  inside a read callback.
 * Errors: GYRE_ENOBUFS when the loop's budget (read_keep_max) is spent: copy the bytes then;
 *         GYRE_EINVAL outside a read callback, or when it is kept already.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_buf_keep(gyre_stream *stream, const gyre_buf *buf);

/*
 * Gives a kept buffer back.
 *
 * Params: base: buf->base of a kept buffer.
 * Owns:   the bytes are the loop's again.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_buf_release(gyre_loop *loop, const void *base);

/*
 * Writes all bytes of `bufs` in order after what was written before, and then calls `cb` once.
 *
 * Writes made inside a callback are sent together when it returns, others before the loop next
 * waits.
 *
 * Params: req: not in use; set req->data as you like. bufs, buf_count: any number of buffers, of
 *         any length; none is allowed. cb: may be NULL.
 * Owns:   the bytes, the request and, for more than GYRE_WRITE_INLINE_BUFS buffers, the array
 *         (which is changed) are the library's until `cb`.
 * Thread: loop.
 * Phase:  `cb` runs in the poll or the pending phase, with 0, the socket's error (GYRE_EPIPE,
 *         GYRE_ECONNRESET, ...), GYRE_ETIMEDOUT at the write deadline, or GYRE_ECANCELED when the
 *         stream was closed.
 * Errors: GYRE_ENOBUFS past the hard cap, GYRE_ENOTCONN, GYRE_ESHUTDOWN after gyre_shutdown,
 *         GYRE_EPIPE or what broke the stream, GYRE_EINVAL (closing, being detached).
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_write(gyre_stream *stream, gyre_write_req *req, const gyre_buf *bufs,
                           uint32_t buf_count, gyre_write_cb cb);

/*
 * Writes a copy of the bytes; there is no callback. A later failure comes to the drain callback and
 * to the next write.
 *
 * Params: base, len: any bytes.
 * Owns:   the bytes are the caller's again at return.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_ENOMEM, and those of gyre_write; then nothing was written.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_write_copy(gyre_stream *stream, const void *base, size_t len);

/*
 * Sends what the kernel takes now, if nothing is queued before it. Never queues.
 *
 * Params: bufs, buf_count: at least one byte.
 * Owns:   the bytes are the caller's at return.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_EAGAIN when nothing could be sent now, and those of gyre_write; otherwise the number
 *         of bytes sent.
 * Since:  0.1.
 */
GYRE_EXPORT int64_t gyre_try_write(gyre_stream *stream, const gyre_buf *bufs, uint32_t buf_count);

/*
 * Ends the writing half (FIN) once everything queued was sent; then calls `cb`.
 *
 * Params: req: not in use. cb: may be NULL.
 * Owns:   the request is the library's until `cb`.
 * Thread: loop.
 * Phase:  `cb` runs in the poll or the pending phase.
 * Errors: GYRE_ENOTCONN, GYRE_ESHUTDOWN when it was shut down already, GYRE_EINVAL (closing, being
 *         detached).
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_shutdown(gyre_stream *stream, gyre_write_req *req, gyre_write_cb cb);

/*
 * Closes a stream gently: reading stops, what is queued is sent, and then it is closed. A write
 * that fails or comes to its deadline closes it at once.
 *
 * Params: cb: may be NULL.
 * Owns:   as gyre_close. Until gyre_is_closing says that it has come to that, gyre_close may still
 *         be called, to close at once.
 * Thread: loop.
 * Phase:  as gyre_close.
 * Errors: none; finishing twice, or a stream that is being closed, is a programmer's error.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_stream_finish(gyre_stream *stream, gyre_close_cb cb);

/*
 * Closes a TCP connection with a reset (RST) and not a FIN: unsent bytes are dropped. On other
 * streams it is gyre_close.
 *
 * Params: cb: may be NULL.
 * Owns:   as gyre_close.
 * Thread: loop.
 * Phase:  as gyre_close.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_reset(gyre_stream *stream, gyre_close_cb cb);

/*
 * Bytes accepted by writes and not yet taken by the kernel.
 *
 * Params: stream: initialised.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT uint64_t gyre_queued_bytes(const gyre_stream *stream);

/*
 * Sets the byte budget of the write queue.
 *
 * Params: low_bytes, high_bytes: `cb` is called when the queue, once above high, is down to low;
 *         low <= high. queued_bytes_max: the hard cap, 0 for the loop's default; one write larger
 *         than the cap is taken only by an empty queue. cb: may be NULL.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  `cb` runs in the poll or the pending phase.
 * Errors: GYRE_EINVAL, GYRE_ENOMEM.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_stream_set_budget(gyre_stream *stream, uint32_t low_bytes, uint32_t high_bytes,
                                       uint32_t queued_bytes_max, gyre_drain_cb cb);

/*
 * Sets deadlines that cost nothing per operation. Idle: while the stream reads and for so long
 * nothing is received and nothing sent, the read callback gets GYRE_ETIMEDOUT. Write: queued bytes
 * make no progress for so long: every queued write ends with GYRE_ETIMEDOUT and the stream is
 * broken.
 *
 * Params: idle_ns, write_ns: 0 for none.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  errors come in the timers phase or later.
 * Errors: GYRE_ENOMEM, GYRE_EINVAL (closing).
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_stream_set_deadlines(gyre_stream *stream, uint64_t idle_ns, uint64_t write_ns);

/*
 * Takes a connection out of its loop, so that another one can go on with it: reading stops at once,
 * what is queued is sent, and then `cb` is given the descriptor and the bytes that were received
 * and not read. Without an error the stream is as after its init then: close it, or give it another
 * socket. Its deadlines and its budget stay with it; a write deadline bounds the wait for a peer
 * that does not read.
 *
 * Params: detached: not in use; set detached->data as you like. cb: not NULL.
 * Owns:   `detached` is the library's until `cb`; then it holds the connection, until
 *         gyre_stream_attach or gyre_detached_close, if the status is 0.
 * Thread: loop.
 * Phase:  `cb` runs in the pending phase, after the callbacks of all writes.
 * Errors: GYRE_ENOTCONN, GYRE_EALREADY (being detached), GYRE_EINVAL (closing, finishing), what
 *         broke the stream, GYRE_ENOMEM.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_stream_detach(gyre_stream *stream, gyre_detached *detached, gyre_detach_cb cb);

/*
 * Gives a stream without a socket the connection that `detached` holds. Its unread bytes come
 * first when it is read; after gyre_shutdown, or after the end of stream, it is as it was.
 *
 * Params: stream: initialised, of the kind that was detached. detached: holds a connection.
 * Owns:   on success the connection is the stream's and `detached` the caller's, empty; on error
 *         nothing changed.
 * Thread: loop: of the stream. The unread bytes are freed here, with the allocator of the loop that
 *         received them.
 * Phase:  any.
 * Errors: GYRE_EBUSY (it has a socket), GYRE_EINVAL (closing, another kind), GYRE_ENOMEM.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_stream_attach(gyre_stream *stream, gyre_detached *detached);

/*
 * Closes the connection that `detached` holds, and frees its bytes.
 *
 * Params: detached: given to a detach callback with 0, or zeroed with fd -1. Set fd to -1 before to
 *         keep the descriptor, for another process say.
 * Owns:   `detached` is the caller's, empty.
 * Thread: any.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_detached_close(gyre_detached *detached);

/*
 * The stream's descriptor, to set socket options on; never read, write, poll or close it.
 *
 * Params: stream: initialised.
 * Owns:   the descriptor is the stream's.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_EBADF when it has none.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_stream_fd(const gyre_stream *stream);

/*
 * The stream's own address.
 *
 * Params: address: filled in.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_EBADF, GYRE_ENOTCONN, GYRE_ENOBUFS.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_stream_local_address(const gyre_stream *stream, gyre_address *address);

/*
 * The peer's address.
 *
 * Params: address: filled in.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_EBADF, GYRE_ENOTCONN.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_stream_peer_address(const gyre_stream *stream, gyre_address *address);

#ifdef __cplusplus
}
#endif
#endif
