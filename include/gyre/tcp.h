/*
 * TCP over IPv4 and IPv6: a stream (`&tcp.stream`) with addresses and options.
 */
#ifndef GYRE_TCP_H
#define GYRE_TCP_H

#include "gyre/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gyre_tcp {
    union {
        gyre_stream stream;
        gyre_handle handle;
        void *data;
    };
} gyre_tcp;

enum gyre_tcp_bind_flags {
    GYRE_TCP_REUSEPORT = 1, /* several listeners share the port, the kernel spreads connections */
    GYRE_TCP_V6ONLY = 2     /* an IPv6 listener that takes no IPv4 connections */
};

/*
 * Makes `tcp` a stream of `loop` without a socket; bind, connect or open gives it one. TCP_NODELAY
 * is on unless turned off.
 *
 * Params: tcp: the caller's memory.
 * Owns:   the memory is the library's until the close callback.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_ENOMEM.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_tcp_init(gyre_loop *loop, gyre_tcp *tcp);

/*
 * Adopts a socket: a connected one can be read and written, a bound one listened on. It is made
 * non-blocking and close-on-exec.
 *
 * Params: fd: a TCP socket.
 * Owns:   on success the descriptor is the stream's; on error still the caller's.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_EBADF, GYRE_ENOTSOCK, GYRE_EINVAL (not a stream socket), GYRE_EBUSY (it has a
 *         socket), GYRE_ENOMEM.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_tcp_open(gyre_tcp *tcp, int fd);

/*
 * Binds to a local address. SO_REUSEADDR is set, so that a server can restart at once.
 *
 * Params: address: IPv4 or IPv6; port 0 lets the kernel pick. flags: a set of gyre_tcp_bind_flags.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_EADDRINUSE, GYRE_EADDRNOTAVAIL, GYRE_EACCES, GYRE_EINVAL (bound already),
 *         GYRE_EAFNOSUPPORT, GYRE_EMFILE, GYRE_ENFILE, GYRE_ENOMEM.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_tcp_bind(gyre_tcp *tcp, const gyre_address *address, uint32_t flags);

/*
 * Connects to `address`, within a deadline.
 *
 * Params: req: not in use. timeout_ns: 0 for the system's own limit. cb: not NULL.
 * Owns:   the request is the library's until `cb`.
 * Thread: loop.
 * Phase:  `cb` runs in the poll, pending or timers phase with 0, GYRE_ECONNREFUSED, GYRE_ETIMEDOUT,
 *         GYRE_ENETUNREACH, GYRE_EHOSTUNREACH, GYRE_EADDRNOTAVAIL, or GYRE_ECANCELED when it was
 *         cancelled or closed.
 * Errors: GYRE_EINVAL, GYRE_EISCONN, GYRE_EALREADY, GYRE_EAFNOSUPPORT, GYRE_EMFILE, GYRE_ENFILE,
 *         GYRE_ENOMEM.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_tcp_connect(gyre_tcp *tcp, gyre_connect_req *req, const gyre_address *address,
                                 uint64_t timeout_ns, gyre_connect_cb cb);

/*
 * Gives up a connect: its callback comes with GYRE_ECANCELED unless it had ended already. Works for
 * TCP and unix sockets.
 *
 * Params: req: given to a connect.
 * Owns:   as before: the request is the library's until its callback.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_ENOENT when it is not in progress.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_connect_cancel(gyre_connect_req *req);

/*
 * Turns Nagle's algorithm off (1, the default) or on (0).
 *
 * Params: on: 1 or 0.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_EINVAL (closing); what setsockopt says.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_tcp_set_nodelay(gyre_tcp *tcp, int on);

/*
 * Turns keep-alive probes on or off.
 *
 * Params: delay_s: seconds of silence before the first probe, 0 turns them off. interval_s, count:
 *         0 for the system's defaults.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_EBADF (no socket yet), GYRE_EINVAL.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_tcp_set_keepalive(gyre_tcp *tcp, uint32_t delay_s, uint32_t interval_s,
                                       uint32_t count);

#ifdef __cplusplus
}
#endif
#endif
