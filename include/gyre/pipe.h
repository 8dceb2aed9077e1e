/*
 * Unix stream sockets: a stream (`&pipe.stream`) with a path for a name.
 */
#ifndef GYRE_PIPE_H
#define GYRE_PIPE_H

#include "gyre/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gyre_pipe {
    union {
        gyre_stream stream;
        gyre_handle handle;
        void *data;
    };
} gyre_pipe;

/*
 * Makes `pipe` a stream of `loop` without a socket; bind, connect or open gives it one.
 *
 * Params: pipe: the caller's memory.
 * Owns:   the memory is the library's until the close callback.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_ENOMEM.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_pipe_init(gyre_loop *loop, gyre_pipe *pipe);

/*
 * Adopts a unix stream socket (one end of a socketpair, say), bound or connected. It is made
 * non-blocking and close-on-exec.
 *
 * Params: fd: a unix stream socket.
 * Owns:   on success the descriptor is the stream's; on error still the caller's.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_EBADF, GYRE_ENOTSOCK, GYRE_EINVAL (not a stream socket), GYRE_EBUSY (it has a
 *         socket), GYRE_ENOMEM.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_pipe_open(gyre_pipe *pipe, int fd);

/*
 * Binds to a path; '@' as its first character names an abstract socket. A file that was bound here
 * is removed when the stream is closed. A file that stands there already is an error: whether to
 * remove it is the caller's decision.
 *
 * Params: path: as gyre_address_unix takes it.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_EADDRINUSE, GYRE_EACCES, GYRE_ENOENT, GYRE_ENOTDIR, GYRE_ENAMETOOLONG, GYRE_EINVAL
 *         (bound already), GYRE_EMFILE, GYRE_ENFILE, GYRE_ENOMEM.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_pipe_bind(gyre_pipe *pipe, const char *path);

/*
 * Connects to a path, within a deadline.
 *
 * Params: req: not in use. path: as gyre_address_unix takes it. timeout_ns: 0 for none. cb: not
 *         NULL.
 * Owns:   the request is the library's until `cb`.
 * Thread: loop.
 * Phase:  `cb` runs in the poll, pending or timers phase with 0, GYRE_ECONNREFUSED, GYRE_ENOENT,
 *         GYRE_EACCES, GYRE_EAGAIN (the listener's queue is full), GYRE_ETIMEDOUT, or
 *         GYRE_ECANCELED.
 * Errors: GYRE_EINVAL, GYRE_EISCONN, GYRE_EALREADY, GYRE_ENAMETOOLONG, GYRE_EMFILE, GYRE_ENFILE,
 *         GYRE_ENOMEM.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_pipe_connect(gyre_pipe *pipe, gyre_connect_req *req, const char *path,
                                  uint64_t timeout_ns, gyre_connect_cb cb);

#ifdef __cplusplus
}
#endif
#endif
