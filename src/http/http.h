/*
 * The HTTP module's parts, as its own files see them. On public headers of the library only.
 *
 *   server.c    listeners, the list of connections, stopping
 *   conn.c      a connection: bytes in, requests out, deadlines, closing
 *   parse.c     llhttp and what RFC 9112 asks beyond it
 *   respond.c   responses, and the accessors of requests
 *   files.c     files of a directory; range.c and match.c decide what of them is sent
 *   text.c      reasons, types; date.c: dates
 *
 * A connection's states:
 *   IDLE --byte--> READING --whole request--> RESPONDING --response over--> IDLE, or
 *   --close--> LINGERING (our half is shut, what still comes is thrown away) --EOF, 2 s--> closed
 */
#ifndef GYREI_HTTP_HTTP_H
#define GYREI_HTTP_HTTP_H

#include "base/list.h"
#include "gyre.h"

#include <llhttp.h>
#include <stdbool.h>

/* How long what still arrives behind the last response is read and thrown away. */
#define GYREI_HTTP_LINGER_NS (2 * GYRE_SECOND)

typedef enum gyrei_http_state {
    GYREI_HTTP_IDLE = 0,
    GYREI_HTTP_READING,
    GYREI_HTTP_RESPONDING,
    GYREI_HTTP_LINGERING,
    GYREI_HTTP_CLOSED
} gyrei_http_state;

/* What of a request is being read. */
typedef enum gyrei_http_part {
    GYREI_HTTP_HEAD = 0,
    GYREI_HTTP_BODY,
    GYREI_HTTP_TRAILER, /* fields behind a chunked body */
    GYREI_HTTP_ALL
} gyrei_http_part;

typedef struct gyrei_http_conn gyrei_http_conn;

struct gyre_http_request {
    gyrei_http_conn *conn;
    uint64_t left;  /* bytes of the body still to be given; GYRE_HTTP_CHUNKED */
    uint64_t sent;  /* bytes of body given */
    int status;     /* of the response; 0 before it has begun */
    bool head_only; /* HEAD, or a status without body: none is sent */
    bool chunked;
    bool sending; /* `write` is in use */
    bool held;    /* the handler's: the connection stays until it has responded */
    gyre_write_req write;
    gyre_http_more_cb more;
    void *more_data;
    char *piece; /* a copy of the body's piece, ours to free; NULL when it was not copied */
    char chunk_head[24];
};

struct gyrei_http_conn {
    union {
        gyre_stream stream;
        gyre_tcp tcp;
        gyre_pipe pipe;
        gyre_handle handle;
    } io;
    gyre_timer timer;
    gyre_link link; /* in server->conns */
    gyre_http_server *server;
    uint64_t deadline_ns; /* UINT64_MAX for none */
    uint64_t timer_ns;    /* when the timer fires: no later, and it is moved then */
    uint32_t holds;       /* handles that are not closed yet, and the request while it is held */
    uint32_t served;      /* requests */
    gyrei_http_state state;
    bool keep_alive;
    bool peer_finished; /* its EOF has come */
    bool working;       /* the loop over input is under way: do not enter again */
    bool head_timed;    /* the head's deadline was set */
    bool body_timed;
    gyre_write_req shutdown;
    struct gyre_http_request request;

    llhttp_t parser;
    int error_status; /* a callback of the parser refused the request: with this */
    char *head;       /* target, then names and values, each with a zero behind */
    uint32_t head_len;
    uint32_t head_room;
    uint32_t target_len;
    uint32_t header_count;
    uint32_t wire_bytes; /* of head or trailer, as they came; of all extensions of chunks */
    gyrei_http_part part;
    bool method_known;
    uint8_t blanks;   /* of the request line under way */
    uint8_t protocol; /* bytes of it that were as they must be */
    char last;        /* byte before, for the rules about line ends */
    bool may_fold;    /* a line has ended: one that begins with a blank would continue it */
    bool empty_name;  /* the name under way has no byte yet */
    char *body;
    size_t body_len;
    size_t body_room;
    char *input; /* what came behind the request that is being responded to */
    size_t input_len;
    size_t input_at;
    size_t input_room;
    uint64_t discarded; /* while lingering */
};

typedef struct gyrei_http_listener {
    union {
        gyre_stream stream;
        gyre_tcp tcp;
        gyre_pipe pipe;
        gyre_handle handle;
    } io;
    gyre_link link;
    gyre_http_server *server;
    uint32_t waiting; /* connections that it holds and that were not taken yet */
} gyrei_http_listener;

struct gyre_http_server {
    gyre_loop *loop;
    gyre_http_options options;
    gyre_link listeners;
    gyre_link conns;
    uint32_t listener_count;
    uint32_t conn_count;
    bool stopping;
    bool draining; /* idle connections wait for one request more */
    bool timer_closed;
    gyre_timer stop_timer;
    gyre_http_stopped_cb stopped;
    char date[32]; /* as of date_s */
    int64_t date_s;
};

/* ---- server.c ---- */

/* A connection is gone. */
void gyrei_http_server_conn_closed(gyrei_http_conn *conn);
/* The Date header's value now. */
const char *gyrei_http_server_date(gyre_http_server *server);

/* ---- conn.c ---- */

/* Takes a connection from a listener. False: there is no memory for it, and it still waits. */
bool gyrei_http_conn_accept(gyre_http_server *server, gyre_stream *listener);
/* The response is over: what came behind its request is next. */
void gyrei_http_conn_responded(gyrei_http_conn *conn);
/* A handle of it is closed, or its request given back. */
void gyrei_http_conn_release(gyrei_http_conn *conn);
/* Closes at once, whatever it is doing. */
void gyrei_http_conn_abort(gyrei_http_conn *conn);
/* The server stops: an idle connection is closed. */
void gyrei_http_conn_stop(gyrei_http_conn *conn);

/* ---- parse.c ---- */

typedef enum gyrei_http_parsed {
    GYREI_HTTP_MORE = 0, /* all bytes are used up, the request is not whole */
    GYREI_HTTP_WHOLE,    /* a request is whole; bytes may be left */
    GYREI_HTTP_BAD       /* refused: conn->error_status says how */
} gyrei_http_parsed;

/* Makes ready for the next request. Frees what the last one needed. */
void gyrei_http_parse_begin(gyrei_http_conn *conn);
/* Parses; sets `used` to the bytes that were used up. */
gyrei_http_parsed gyrei_http_parse(gyrei_http_conn *conn, const char *base, size_t len,
                                   size_t *used);
/* Frees head and body. */
void gyrei_http_parse_free(gyrei_http_conn *conn);
/* The value of the `skip`th field of that name, or NULL. */
const char *gyrei_http_field(const gyrei_http_conn *conn, const char *name, uint32_t skip);

/* ---- respond.c ---- */

/* A short page for a status, and the connection closed behind it if `close`. */
void gyrei_http_respond_error(gyre_http_request *request, int status,
                              const gyre_http_header *headers, uint32_t header_count);
/* As gyre_http_respond_body, but the bytes are the caller's until `more`. */
int gyrei_http_respond_lent(gyre_http_request *request, const char *body, size_t len,
                            gyre_http_more_cb more, void *data);
/* The connection broke: whoever waits for `more` is told, and the request is over. */
void gyrei_http_request_broken(gyre_http_request *request);

/* ---- range.c ---- */

typedef enum gyrei_http_range {
    GYREI_HTTP_RANGE_NONE = 0, /* send all of it */
    GYREI_HTTP_RANGE_ONE,
    GYREI_HTTP_RANGE_UNSATISFIABLE
} gyrei_http_range;

/* Reads a Range header for a file of `size` bytes (RFC 9110, section 14). */
gyrei_http_range gyrei_http_range_parse(const char *text, uint64_t size, uint64_t *first,
                                        uint64_t *count);

/* ---- match.c ---- */

/* What the conditions of a request say: 0 go on, 304 or 412. `use_range` is set. */
int gyrei_http_match(const gyre_http_request *request, const char *etag, int64_t modified_s,
                     bool *use_range);

/* ---- path.c ---- */

/*
 * The file that a target means, below the directory: decoded, without dot segments, without a
 * leading slash; "." for the directory itself. GYRE_EINVAL: it is none.
 */
int gyrei_http_path(const char *target, char *path, size_t path_max);

/* ---- text.c, date.c ---- */

const char *gyrei_http_reason(int status);
/* The type of a file by its name's end. */
const char *gyrei_http_type(const char *path);
/* "Sun, 06 Nov 1994 08:49:37 GMT". `text` has room for 30 bytes. */
void gyrei_http_date_format(int64_t seconds, char *text);
/* Reads one of the three forms of RFC 9110, section 5.6.7. False: it is none. */
bool gyrei_http_date_parse(const char *text, int64_t *seconds);

#endif
