/*
 * HTTP/1.1 for servers: requests in, responses out, and files of a directory.
 *
 * A server accepts connections on any number of addresses, reads requests as RFC 9112 has them, and
 * calls one handler for each. The handler responds at once or later; the next request of that
 * connection is read when the response has been given. What breaks the rules of the protocol, or a
 * limit, is answered here with a 4xx or 5xx and the connection closed: the handler never sees it.
 */
#ifndef GYRE_HTTP_H
#define GYRE_HTTP_H

#include "gyre/address.h"
#include "gyre/loop.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gyre_http_server gyre_http_server;
typedef struct gyre_http_request gyre_http_request;
typedef struct gyre_http_files gyre_http_files;

/*
 * A whole request has arrived, its body included. Respond with gyre_http_respond,
 * gyre_http_files_serve, or gyre_http_respond_start and what follows it; now or later.
 */
typedef void (*gyre_http_handler_cb)(gyre_http_request *request, void *data);

/* A response is over, or its connection broke: for an access log. `bytes` of body were sent. */
typedef void (*gyre_http_done_cb)(gyre_http_request *request, int status, uint64_t bytes,
                                  void *data);

/* The connection took what was queued: more of the body may be given. `status` < 0: it broke. */
typedef void (*gyre_http_more_cb)(gyre_http_request *request, int status, void *data);

/* The server has stopped: nothing of it is left. */
typedef void (*gyre_http_stopped_cb)(gyre_http_server *server, void *data);

/* All members but `handler` may be zero, which means the default. */
typedef struct gyre_http_options {
    size_t size; /* sizeof(gyre_http_options) */
    gyre_http_handler_cb handler;
    gyre_http_done_cb done;
    void *data;                /* given to the two */
    uint32_t head_bytes_max;   /* request line and headers; default 16 KiB, 431 beyond */
    uint32_t target_bytes_max; /* of the request line; default 8 KiB, 414 beyond */
    uint32_t headers_max;      /* default 100, 431 beyond */
    uint32_t body_bytes_max;   /* default 1 MiB, 413 beyond */
    uint32_t requests_max;     /* of one connection; default 10000, then Connection: close */
    uint32_t connections_max;  /* at a time; default no limit but the process's, 503 beyond */
    uint32_t accepted_max;     /* at a time, others wait until one closes; default no limit */
    uint64_t head_ns;          /* from a request's first byte to its headers' end; default 10 s */
    uint64_t body_ns;          /* for a body to arrive; default 30 s, then 408 */
    uint64_t idle_ns;          /* between requests; default 60 s */
    uint64_t write_ns;         /* without progress of a response; default 30 s */
} gyre_http_options;

/* A header field of a response. Both texts are copied. */
typedef struct gyre_http_header {
    const char *name;
    const char *value;
} gyre_http_header;

/* The length of a body that is sent in chunks because its length is not known. */
#define GYRE_HTTP_CHUNKED UINT64_MAX

/*
 * Makes a server that does not listen yet.
 *
 * Params: options: with a handler.
 * Owns:   the server is the library's object until gyre_http_server_stop has called back.
 * Thread: loop.
 * Phase:  handlers run in the poll or the pending phase.
 * Errors: GYRE_EINVAL, GYRE_ENOMEM.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_http_server_init(gyre_loop *loop, gyre_http_server **server,
                                      const gyre_http_options *options);

/*
 * Listens on an address: IPv4, IPv6 or unix.
 *
 * Params: address: port 0 lets the kernel pick. tcp_flags: as gyre_tcp_bind takes them.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: those of gyre_tcp_bind, gyre_pipe_bind and gyre_listen; GYRE_EBUSY when stopping.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_http_server_listen(gyre_http_server *server, const gyre_address *address,
                                        uint32_t tcp_flags);

/*
 * Serves the connections of a bound socket that was made elsewhere (a master, systemd).
 *
 * Params: fd: a stream socket, TCP or unix, bound or listening.
 * Owns:   on success the descriptor is the server's; on error still the caller's.
 * Thread: loop.
 * Phase:  any.
 * Errors: those of gyre_tcp_open and gyre_listen; GYRE_EBUSY when stopping.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_http_server_listen_fd(gyre_http_server *server, int fd);

/*
 * The address of the socket that the server listened on last.
 *
 * Params: address: filled in.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_EBADF when it does not listen.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_http_server_address(const gyre_http_server *server, gyre_address *address);

/*
 * Stops a server: it accepts no more, closes idle connections, finishes the requests in flight with
 * `Connection: close`, and calls `cb`. Connections that are left after the time are reset. Called
 * again, it shortens the time.
 *
 * Params: timeout_ns: 0 resets everything at once. cb: may be NULL.
 * Owns:   the server is gone when `cb` returns.
 * Thread: loop.
 * Phase:  `cb` runs in the close phase.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_http_server_stop(gyre_http_server *server, uint64_t timeout_ns,
                                       gyre_http_stopped_cb cb);

/*
 * Stops a server whose sockets another one goes on to serve, a worker's successor say, so that no
 * client meets an error: it accepts no more, but loses none that was accepted already; each
 * connection gets its next response with `Connection: close`; then `cb` is called. After the time
 * idle connections are closed, with FIN, and what is left 2.5 s later is reset.
 *
 * Params: timeout_ns: 0 resets everything at once. cb: may be NULL.
 * Owns:   the server is gone when `cb` returns.
 * Thread: loop.
 * Phase:  `cb` runs in the close phase.
 * Errors: none; a server that stops already goes on with that. gyre_http_server_stop shortens it.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_http_server_drain(gyre_http_server *server, uint64_t timeout_ns,
                                        gyre_http_stopped_cb cb);

/*
 * How many connections are open.
 *
 * Params: server: open.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT uint32_t gyre_http_server_connections(const gyre_http_server *server);

/*
 * The method of a request: "GET", "HEAD", "POST", ... A request that was refused because its method
 * is none has "-" when `done` is called for it.
 *
 * Params: request: given to the handler.
 * Owns:   the text is static.
 * Thread: loop.
 * Phase:  any, until the response is over.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT const char *gyre_http_method(const gyre_http_request *request);

/*
 * The protocol's minor version that a request came with.
 *
 * Params: request: given to the handler.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any, until the response is over.
 * Errors: none; 0 for HTTP/1.0, 1 for HTTP/1.1.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_http_minor(const gyre_http_request *request);

/*
 * The target of a request as it stood in the request line, a query included; for one in absolute
 * form ("http://host/x") what follows the authority.
 *
 * Params: request: given to the handler.
 * Owns:   the text is the request's until the response is over.
 * Thread: loop.
 * Phase:  any, until the response is over.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT const char *gyre_http_target(const gyre_http_request *request);

/*
 * The value of a header field of a request, or NULL. Fields of one name are joined by ", ".
 *
 * Params: name: in any case of letters.
 * Owns:   the text is the request's until the response is over.
 * Thread: loop.
 * Phase:  any, until the response is over.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT const char *gyre_http_header_of(const gyre_http_request *request, const char *name);

/*
 * The body of a request.
 *
 * Params: request: given to the handler.
 * Owns:   the bytes are the request's until the response is over.
 * Thread: loop.
 * Phase:  any, until the response is over.
 * Errors: none; an empty buffer for no body.
 * Since:  0.1.
 */
GYRE_EXPORT gyre_buf gyre_http_body(const gyre_http_request *request);

/*
 * The address of the client.
 *
 * Params: address: filled in.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any, until the response is over.
 * Errors: as gyre_stream_peer_address.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_http_peer(const gyre_http_request *request, gyre_address *address);

/*
 * The loop that serves a request.
 *
 * Params: request: given to the handler.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any, until the response is over.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT gyre_loop *gyre_http_loop(const gyre_http_request *request);

/*
 * Responds with a whole body. Date, Content-Length and Connection are added; a HEAD gets no body.
 *
 * Params: status: 200..599. headers, header_count: may be NULL, 0. body, len: any bytes.
 * Owns:   everything is copied; the request is the library's at return, whatever is returned.
 * Thread: loop.
 * Phase:  in the handler or later.
 * Errors: GYRE_EINVAL (a header with a line break), GYRE_ENOMEM: the connection is closed;
 *         GYRE_ENOTCONN when it broke before.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_http_respond(gyre_http_request *request, int status,
                                  const gyre_http_header *headers, uint32_t header_count,
                                  const void *body, size_t len);

/*
 * Begins a response whose body comes in pieces.
 *
 * Params: length: of the body, or GYRE_HTTP_CHUNKED. The rest as for gyre_http_respond.
 * Owns:   everything is copied; the request is yours until gyre_http_respond_end, also when this
 *         returns an error.
 * Thread: loop.
 * Phase:  in the handler or later.
 * Errors: as gyre_http_respond.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_http_respond_start(gyre_http_request *request, int status,
                                        const gyre_http_header *headers, uint32_t header_count,
                                        uint64_t length);

/*
 * Gives a piece of the body, and asks to be called when there is room for the next.
 *
 * Params: body, len: at least one byte, in all no more than the length said. more: called once.
 * Owns:   the bytes are copied.
 * Thread: loop.
 * Phase:  `more` runs in the poll or the pending phase.
 * Errors: GYRE_EINVAL (too many bytes, no response begun), GYRE_ENOMEM and those of gyre_write:
 *         `more` is not called, end the response with gyre_http_respond_end.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_http_respond_body(gyre_http_request *request, const void *body, size_t len,
                                       gyre_http_more_cb more, void *data);

/*
 * Ends a response that gyre_http_respond_start began. One that is shorter than it said closes the
 * connection, so that the client sees that something is missing.
 *
 * Params: request: must not be used afterwards.
 * Owns:   the request is the library's.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_http_respond_end(gyre_http_request *request);

/*
 * Opens a directory to serve files from: GET and HEAD, ranges, conditional requests, index pages.
 * Nothing outside the directory is ever opened, whatever ".." or links say.
 *
 * Params: path: a directory. index: the page of a directory, NULL for "index.html".
 * Owns:   the object is the library's; give it back with gyre_http_files_close.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_ENOENT, GYRE_ENOTDIR, GYRE_EACCES, GYRE_EMFILE, GYRE_ENOMEM.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_http_files_init(gyre_loop *loop, gyre_http_files **files, const char *path,
                                     const char *index);

/*
 * Responds to a request with a file of the directory, or with an error page.
 *
 * Params: request: not responded to.
 * Owns:   the request is the library's.
 * Thread: loop.
 * Phase:  in a handler or later.
 * Errors: none: they are responses.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_http_files_serve(gyre_http_files *files, gyre_http_request *request);

/*
 * Closes the directory. Files that are being sent are sent to their end.
 *
 * Params: files: no further request is given to it.
 * Owns:   the object is gone.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_http_files_close(gyre_http_files *files);

#ifdef __cplusplus
}
#endif
#endif
