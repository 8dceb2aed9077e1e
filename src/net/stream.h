/*
 * Streams, as the files of net/ see them.
 *
 *   no socket --bind--> BOUND --listen--> LISTENING
 *       \----connect--> CONNECTING --> CONNECTED --shutdown--> SHUT; broken: stream->error
 *
 * Two operations are all that a stream has with the kernel: `in` receives or accepts, `out` sends
 * or connects. What only some streams need (deadlines, budgets, a listener's queue, results that
 * came after gyre_read_stop) stands in `extra`, which is allocated by the call that needs it first.
 */
#ifndef GYREI_NET_STREAM_H
#define GYREI_NET_STREAM_H

#include "core/loop.h"
#include "core/timer.h"
#include "gyre/pipe.h"
#include "gyre/tcp.h"

enum gyrei_stream_flags {
    GYREI_STREAM_BOUND = 1,
    GYREI_STREAM_LISTENING = 2,
    GYREI_STREAM_CONNECTING = 4,
    GYREI_STREAM_CONNECTED = 8,
    GYREI_STREAM_READING = 16,  /* the user wants the read callback */
    GYREI_STREAM_EOF = 32,      /* the end of stream was delivered, or waits in the stash */
    GYREI_STREAM_SHUT = 64,     /* gyre_shutdown was called */
    GYREI_STREAM_FLUSH = 128,   /* in loop->flush_first */
    GYREI_STREAM_RESET = 256,   /* close with RST */
    GYREI_STREAM_PAUSED = 512,  /* a listener that waits for descriptors */
    GYREI_STREAM_NAGLE = 1024,  /* TCP_NODELAY was turned off */
    GYREI_STREAM_FAILED = 2048, /* queued writes end with stream->error once `out` is idle */
    GYREI_STREAM_UNIX = 4096,
    GYREI_STREAM_FINISHING = 8192,   /* closed once the queue is empty */
    GYREI_STREAM_DETACHING = 16384,  /* given away once nothing is in flight */
    GYREI_STREAM_UNLISTENING = 32768 /* a listener that takes back its accept */
};

/* A request's kinds. */
enum { GYREI_WRITE_USER = 0, GYREI_WRITE_COPY, GYREI_WRITE_SHUTDOWN };

/* Bytes that were received after gyre_read_stop. */
typedef struct gyrei_stash {
    gyre_link link;
    size_t room;
    size_t len;
    char bytes[];
} gyrei_stash;

typedef struct gyrei_stream_extra {
    gyre_stream *stream;

    /* deadlines, or a paused listener's next try */
    gyre_timer_node timer;
    uint64_t idle_ns;
    uint64_t write_ns;
    uint64_t active_ns;   /* when something last came or went */
    uint64_t progress_ns; /* when the queue last moved */
    uint64_t retry_ns;

    /* budget */
    uint64_t queued_bytes_max;
    uint64_t low_bytes;
    uint64_t high_bytes; /* 0: no marks */
    gyre_drain_cb drain_cb;
    gyre_task drain_task;
    int32_t drain_status;
    bool drain_due;
    bool above_high;

    /* what came after read_stop, oldest first, and how it ended (0: it did not) */
    gyre_link stash;
    gyre_task stash_task;
    int32_t stash_end;
    bool stash_due;

    /* listener: connections that the user has not taken, oldest first */
    int *accepted;
    uint32_t accepted_count;
    uint32_t accepted_room;
    gyre_link paused; /* in gyrei_streams.paused */
    gyre_task stopped_task;
    bool stopped_due;

    gyre_connect_req *connect;
    gyre_detached *detached;
    char *path; /* bound here: removed at close */
    size_t path_bytes;
} gyrei_stream_extra;

/* Copied writes of usual size come from a list of blocks that are used again. */
typedef struct gyrei_write_block {
    gyre_write_req req;
    uint32_t room;
    char bytes[];
} gyrei_write_block;

/* Buffers of several requests that one send gathers. */
#define GYREI_WRITE_VECTORS 64

/* What net/ keeps for each loop. */
typedef struct gyrei_streams {
    gyre_link paused;
    gyrei_write_block *free_blocks; /* through req.task.link.next */
    uint32_t free_count;
    uint32_t cork_len;
    gyre_stream *corked;                   /* the stream whose bytes are in `cork`, or NULL */
    gyrei_write_block *cork;               /* made when it is needed first */
    gyre_buf vectors[GYREI_WRITE_VECTORS]; /* of the send under way */
} gyrei_streams;

static inline int gyrei_stream_fd(const gyre_stream *stream)
{
    return stream->in.fd;
}

static inline gyrei_streams *gyrei_streams_of(const gyre_loop *loop)
{
    return loop->streams;
}

/* ---- stream.c ---- */

/* GYRE_ENOMEM. */
int gyrei_stream_init(gyre_loop *loop, gyre_stream *stream, gyre_handle_kind kind);
/* Makes stream->extra. GYRE_ENOMEM. */
int gyrei_stream_need_extra(gyre_stream *stream);
/* A new socket for a stream that has none. */
int gyrei_stream_socket(gyre_stream *stream, int family);
/* Gives the stream a descriptor, which is its own from then on. GYRE_ENOMEM: it still is not. */
int gyrei_stream_set_fd(gyre_stream *stream, int fd);
/* Closes the descriptor, of which no operation is in flight. */
void gyrei_stream_close_fd(gyre_stream *stream);
/* Adopts a descriptor of the user's: a stream socket of one of two families. */
int gyrei_stream_adopt(gyre_stream *stream, int fd, int family, int other_family);
/* Submits `op` of the stream, and holds the handle until gyrei_stream_op_ended. */
void gyrei_stream_submit(gyre_stream *stream, gyre_op *op);
static inline void gyrei_stream_op_ended(gyre_stream *stream)
{
    gyrei_handle_release(&stream->handle);
}

/* GYRE_EINVAL when the stream is being closed. */
static inline int gyrei_stream_check(const gyre_stream *stream)
{
    gyrei_loop_check(stream->handle.loop);
    return gyrei_handle_is_closing(&stream->handle) ? GYRE_EINVAL : 0;
}

/* The handle is active while it reads, listens, connects or has writes queued. */
static inline void gyrei_stream_update_active(gyre_stream *stream)
{
    const uint32_t busy = GYREI_STREAM_READING | GYREI_STREAM_LISTENING | GYREI_STREAM_CONNECTING;

    if (!gyrei_handle_is_closing(&stream->handle))
        gyrei_handle_set_active(&stream->handle,
                                (stream->flags & busy) != 0 || !gyrei_list_empty(&stream->writes));
}

/* Has the loop flush the stream when the present callback returns, or before it waits. */
static inline void gyrei_stream_want_flush(gyre_stream *stream)
{
    gyre_loop *loop = stream->handle.loop;

    if ((stream->flags & GYREI_STREAM_FLUSH) != 0)
        return;
    stream->flags |= GYREI_STREAM_FLUSH;
    stream->flush_next = loop->flush_first;
    loop->flush_first = stream;
}

/* ---- read.c ---- */

/* Takes a receive back that nobody wants, or starts one that somebody does. */
void gyrei_read_settle(gyre_stream *stream);
/* Ends reading: the read callback is called once with `status`. */
void gyrei_read_fail(gyre_stream *stream, int status);
void gyrei_read_close(gyre_stream *stream);
/* Empties the stash. */
void gyrei_read_finish(gyre_stream *stream);
/* Moves the stash into one run of bytes of the loop's allocator, and how it ended. GYRE_ENOMEM. */
int gyrei_read_take_unread(gyre_stream *stream, char **bytes, size_t *len, int32_t *end);
/* Makes bytes of another loop this stream's stash, which is empty. GYRE_ENOMEM. */
int gyrei_read_put_unread(gyre_stream *stream, const char *bytes, size_t len, int32_t end);

/* ---- write.c ---- */

/* What is corked, or queued, and can go now: false if there is nothing. */
bool gyrei_write_begin(gyre_stream *stream, gyrei_send_call *call);
/* Of what gyrei_write_begin said, `sent` bytes are gone, or an error came. True: there is more. */
bool gyrei_write_end(const gyrei_send_call *call, int64_t sent);
/* Sends what is queued as far as the kernel takes it now; the rest goes by operation. */
void gyrei_write_send(gyre_stream *stream);
/* Ends all queued writes with `error`, at once or when the send in flight has ended. */
void gyrei_write_fail(gyre_stream *stream, int error);
/* The slow half of uncork. */
void gyrei_write_take_cork(gyre_stream *stream);

static inline bool gyrei_write_is_corked(const gyre_stream *stream)
{
    return gyrei_streams_of(stream->handle.loop)->corked == stream;
}

/* Corked bytes become a request in the queue: something is to follow them, or to end it. */
static inline void gyrei_write_uncork(gyre_stream *stream)
{
    if (gyrei_write_is_corked(stream))
        gyrei_write_take_cork(stream);
}

/* ---- move.c ---- */

/* A stream that is being detached has ended an operation, or has nothing queued any more. */
void gyrei_move_settle(gyre_stream *stream);
void gyrei_move_close(gyre_stream *stream);

/* ---- block.c ---- */

static inline gyrei_write_block *gyrei_block_of(gyre_write_req *req)
{
    return GYRE_CONTAINER_OF(req, gyrei_write_block, req);
}

/* A block with room for `len` bytes, or NULL. */
gyrei_write_block *gyrei_block_take(gyre_loop *loop, size_t len);
void gyrei_block_give(gyre_loop *loop, gyrei_write_block *block);
/* Frees all that the loop keeps. */
void gyrei_blocks_free(gyre_loop *loop);

/* ---- limits.c ---- */

/* The halves of the functions below for streams that have limits of their own. */
void gyrei_limits_restart(gyre_stream *stream);
void gyrei_limits_watch_queue(gyre_stream *stream);
/* The write queue moved, or came to be, and what is left of it waits for the kernel. */
void gyrei_limits_progress(gyre_stream *stream);
/* `bytes` more queued: GYRE_ENOBUFS past the cap. */
int gyrei_limits_admit(gyre_stream *stream, uint64_t bytes);
/* A write without a callback of its own failed. */
void gyrei_limits_copy_failed(gyre_stream *stream, int status);
void gyrei_limits_fire(gyre_loop *loop, gyre_timer_node *node);
void gyrei_limits_close(gyre_stream *stream);

/* Something was received or sent. */
static inline void gyrei_limits_active(gyre_stream *stream)
{
    if (stream->extra != NULL)
        gyrei_limits_restart(stream);
}

/* The queue has changed: marks and the drain callback. */
static inline void gyrei_limits_queue_changed(gyre_stream *stream)
{
    if (stream->extra != NULL)
        gyrei_limits_watch_queue(stream);
}

/* ---- listen.c ---- */

/* Accepts if nothing speaks against it, and takes the accept back if something does. */
void gyrei_listen_settle(gyre_stream *listener);
/* A descriptor was closed: paused listeners may go on. */
void gyrei_listen_resume(gyre_loop *loop);
static inline bool gyrei_listen_any_paused(const gyre_loop *loop)
{
    return !gyrei_list_empty(&gyrei_streams_of(loop)->paused);
}
/* The retry timer of a paused listener. */
void gyrei_listen_retry(gyre_stream *listener);
void gyrei_listen_close(gyre_stream *listener);

/* ---- connect.c ---- */

int gyrei_connect_start(gyre_stream *stream, gyre_connect_req *req, uint64_t timeout_ns,
                        gyre_connect_cb cb);
void gyrei_connect_close(gyre_stream *stream);

/* ---- tcp.c ---- */

/* Options of a fresh socket: TCP_NODELAY unless it was turned off. */
int gyrei_tcp_prepare(gyre_stream *stream);

#endif
