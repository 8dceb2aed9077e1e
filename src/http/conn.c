/*
 * A connection: bytes in, one request at a time, and how it ends.
 *
 * While a request is being responded to nothing is read: what the client sent behind it waits in
 * `input`, so that responses come in order and a client cannot pile requests up. A connection that
 * we close is not closed under the client's feet: our half is shut, and what still arrives is read
 * and thrown away for a while, because a close with unread bytes would send RST and could destroy
 * the response on its way (RFC 9112, section 9.6). Idle connections hold no memory but this struct.
 *
 * One timer watches over all of it; a deadline that moves away only stores its moment, and the
 * timer is moved when it fires too early.
 */
#include "http/http.h"

#include <stdlib.h>
#include <string.h>

enum { QUEUE_LOW = 64 << 10, QUEUE_HIGH = 256 << 10, DISCARD_MAX = 1 << 20 };

static void work(gyrei_http_conn *conn, const char *base, size_t len);
static void on_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf);

static gyrei_http_conn *conn_of(gyre_stream *stream)
{
    return GYRE_CONTAINER_OF(stream, gyrei_http_conn, io.stream);
}

/* ---- the end ---- */

void gyrei_http_conn_release(gyrei_http_conn *conn)
{
    if (--conn->holds == 0)
        gyrei_http_server_conn_closed(conn);
}

static void on_stream_closed(gyre_handle *handle)
{
    gyrei_http_conn_release(GYRE_CONTAINER_OF(handle, gyrei_http_conn, io.handle));
}

static void on_timer_closed(gyre_handle *handle)
{
    gyrei_http_conn_release(GYRE_CONTAINER_OF(handle, gyrei_http_conn, timer.handle));
}

static void close_conn(gyrei_http_conn *conn, bool reset)
{
    const bool responding = conn->state == GYREI_HTTP_RESPONDING;

    if (conn->state == GYREI_HTTP_CLOSED)
        return;
    conn->state = GYREI_HTTP_CLOSED;
    gyre_close(&conn->timer.handle, on_timer_closed);
    if (reset)
        gyre_reset(&conn->io.stream, on_stream_closed);
    else
        gyre_close(&conn->io.handle, on_stream_closed);
    if (responding)
        gyrei_http_request_broken(&conn->request);
    gyrei_http_parse_free(conn);
    free(conn->input);
    conn->input = NULL;
}

void gyrei_http_conn_abort(gyrei_http_conn *conn)
{
    close_conn(conn, true);
}

/* ---- deadlines ---- */

static void on_timer(gyre_timer *timer);

static void start_timer(gyrei_http_conn *conn)
{
    conn->timer_ns = conn->deadline_ns;
    gyre_timer_start_at(&conn->timer, conn->timer_ns, 0, on_timer);
}

/* 0: none. */
static void set_deadline(gyrei_http_conn *conn, uint64_t after_ns)
{
    conn->deadline_ns =
        after_ns == 0 ? UINT64_MAX : gyre_loop_now_ns(conn->server->loop) + after_ns;
    if (after_ns != 0 &&
        (!gyre_is_active(&conn->timer.handle) || conn->timer_ns > conn->deadline_ns))
        start_timer(conn);
}

/* ---- closing behind a response ---- */

static void on_shut(gyre_write_req *req, int status)
{
    gyrei_http_conn *conn = GYRE_CONTAINER_OF(req, gyrei_http_conn, shutdown);

    if (conn->state == GYREI_HTTP_CLOSED)
        return;
    if (status != 0 || conn->peer_finished) {
        close_conn(conn, false);
        return;
    }
    set_deadline(conn, GYREI_HTTP_LINGER_NS);
    if (gyre_read_start(&conn->io.stream, on_read) != 0)
        close_conn(conn, false);
}

static void linger(gyrei_http_conn *conn)
{
    conn->state = GYREI_HTTP_LINGERING;
    conn->discarded = 0;
    set_deadline(conn, 0);
    gyre_read_stop(&conn->io.stream);
    if (gyre_shutdown(&conn->io.stream, &conn->shutdown, on_shut) != 0)
        close_conn(conn, false);
}

/* Nothing more will be asked for: the responses that are still queued go out, and that is all. */
static void finish(gyrei_http_conn *conn)
{
    if (gyre_queued_bytes(&conn->io.stream) > 0)
        linger(conn);
    else
        close_conn(conn, false);
}

/* Reading took too long: an answer if a request has begun, a silent close if not. */
static void on_timer(gyre_timer *timer)
{
    gyrei_http_conn *conn = GYRE_CONTAINER_OF(timer, gyrei_http_conn, timer);

    if (conn->deadline_ns > gyre_loop_now_ns(conn->server->loop)) {
        if (conn->deadline_ns != UINT64_MAX)
            start_timer(conn);
        return;
    }
    conn->deadline_ns = UINT64_MAX;
    if (conn->state == GYREI_HTTP_READING) {
        conn->state = GYREI_HTTP_RESPONDING;
        conn->keep_alive = false;
        gyre_read_stop(&conn->io.stream);
        gyrei_http_respond_error(&conn->request, 408, NULL, 0);
    } else if (conn->state == GYREI_HTTP_LINGERING) {
        /* Not reset: to a slow client the kernel may still have much of the response to send. */
        close_conn(conn, false);
    } else {
        finish(conn);
    }
}

static void discard(gyrei_http_conn *conn, size_t len)
{
    conn->discarded += len;
    if (conn->discarded > DISCARD_MAX)
        close_conn(conn, true);
}

/* ---- from one request to the next ---- */

static void become_idle(gyrei_http_conn *conn)
{
    conn->state = GYREI_HTTP_IDLE;
    conn->head_timed = false;
    conn->body_timed = false;
    gyrei_http_parse_begin(conn);
}

/* Nothing of a next request is here: sleep until it comes, on as little memory as possible. */
static void rest(gyrei_http_conn *conn)
{
    gyrei_http_parse_free(conn);
    free(conn->input);
    conn->input = NULL;
    conn->input_room = 0;
    if ((conn->server->stopping && !conn->server->draining) || conn->peer_finished) {
        linger(conn);
        return;
    }
    set_deadline(conn, conn->server->options.idle_ns);
    if (gyre_read_start(&conn->io.stream, on_read) != 0)
        close_conn(conn, false);
}

/* The client reads slowly: no further request before it took what is queued. */
static bool queue_is_full(const gyrei_http_conn *conn)
{
    return gyre_queued_bytes(&conn->io.stream) > QUEUE_HIGH;
}

static void go_on(gyrei_http_conn *conn)
{
    char *input = conn->input;
    const size_t at = conn->input_at;
    const size_t len = conn->input_len;

    if (conn->state != GYREI_HTTP_IDLE || queue_is_full(conn))
        return;
    if (at == len) {
        rest(conn);
        return;
    }
    /* Taken out meanwhile: what is left of it is kept anew. */
    conn->input = NULL;
    conn->input_len = 0;
    conn->input_at = 0;
    conn->input_room = 0;
    work(conn, input + at, len - at);
    free(input);
}

static void on_drain(gyre_stream *stream, int status)
{
    gyrei_http_conn *conn = conn_of(stream);

    if (status != 0)
        close_conn(conn, false);
    else
        go_on(conn);
}

void gyrei_http_conn_responded(gyrei_http_conn *conn)
{
    if (conn->state != GYREI_HTTP_RESPONDING)
        return;
    if (!conn->keep_alive) {
        linger(conn);
        return;
    }
    become_idle(conn);
    if (!conn->working)
        go_on(conn);
}

/* ---- input ---- */

static bool keep_input(gyrei_http_conn *conn, const char *base, size_t len)
{
    if (len == 0)
        return true;
    if (conn->input_len + len > conn->input_room) {
        const size_t room = conn->input_len + len;
        char *input = realloc(conn->input, room);

        if (input == NULL)
            return false;
        conn->input = input;
        conn->input_room = room;
    }
    GYRE_ASSERT(conn->input != NULL); /* its room is not empty */
    memcpy(conn->input + conn->input_len, base, len);
    conn->input_len += len;
    return true;
}

static void dispatch(gyrei_http_conn *conn)
{
    gyre_http_server *server = conn->server;
    gyre_http_request *request = &conn->request;

    conn->state = GYREI_HTTP_RESPONDING;
    conn->served++;
    if (server->stopping || conn->served >= server->options.requests_max)
        conn->keep_alive = false;
    request->held = true;
    conn->holds++;
    set_deadline(conn, 0);
    server->options.handler(request, server->options.data);
}

static void refuse(gyrei_http_conn *conn)
{
    conn->state = GYREI_HTTP_RESPONDING;
    conn->keep_alive = false;
    set_deadline(conn, 0);
    gyrei_http_respond_error(&conn->request, conn->error_status, NULL, 0);
}

/* What is to happen when the input is used up and no request is whole. */
static void wait_for_more(gyrei_http_conn *conn)
{
    const gyre_http_options *options = &conn->server->options;

    if (conn->peer_finished) {
        finish(conn); /* the client went away in the middle of a request */
        return;
    }
    if (conn->state == GYREI_HTTP_IDLE)
        conn->state = GYREI_HTTP_READING;
    if (conn->part == GYREI_HTTP_HEAD && !conn->head_timed) {
        conn->head_timed = true;
        set_deadline(conn, options->head_ns);
    } else if (conn->part != GYREI_HTTP_HEAD && !conn->body_timed) {
        conn->body_timed = true;
        set_deadline(conn, options->body_ns);
    }
    if (gyre_read_start(&conn->io.stream, on_read) != 0)
        close_conn(conn, false);
}

/* Works through bytes until they are used up, or a request has to be responded to later. */
static void work(gyrei_http_conn *conn, const char *base, size_t len)
{
    size_t at = 0;

    conn->working = true;
    while (at < len && (conn->state == GYREI_HTTP_IDLE || conn->state == GYREI_HTTP_READING) &&
           !queue_is_full(conn)) {
        size_t used = 0;

        switch (gyrei_http_parse(conn, base + at, len - at, &used)) {
        case GYREI_HTTP_MORE: wait_for_more(conn); break;
        case GYREI_HTTP_WHOLE: dispatch(conn); break;
        case GYREI_HTTP_BAD: refuse(conn); break;
        }
        at += used;
    }
    conn->working = false;
    if (conn->state == GYREI_HTTP_CLOSED || conn->state == GYREI_HTTP_LINGERING)
        return;
    if (!keep_input(conn, base + at, len - at)) {
        close_conn(conn, true);
        return;
    }
    if (conn->state == GYREI_HTTP_RESPONDING || conn->input_len > 0)
        gyre_read_stop(&conn->io.stream);
    else if (conn->state == GYREI_HTTP_IDLE)
        rest(conn);
}

static void on_end(gyrei_http_conn *conn, int64_t status)
{
    conn->peer_finished = true;
    if (status == GYRE_EOF && conn->state == GYREI_HTTP_RESPONDING)
        return; /* a client may shut its half and wait for the response */
    if (status == GYRE_EOF && conn->state != GYREI_HTTP_LINGERING)
        finish(conn);
    else
        close_conn(conn, false);
}

static void on_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    gyrei_http_conn *conn = conn_of(stream);

    if (nread < 0)
        on_end(conn, nread);
    else if (conn->state == GYREI_HTTP_LINGERING)
        discard(conn, buf->len);
    else
        work(conn, buf->base, buf->len);
}

void gyrei_http_conn_stop(gyrei_http_conn *conn)
{
    conn->keep_alive = false;
    if (conn->state == GYREI_HTTP_IDLE && conn->input_len == conn->input_at)
        linger(conn);
}

/* ---- the beginning ---- */

static void reject(gyrei_http_conn *conn)
{
    conn->state = GYREI_HTTP_RESPONDING;
    gyrei_http_respond_error(&conn->request, 503, NULL, 0);
}

bool gyrei_http_conn_accept(gyre_http_server *server, gyre_stream *listener)
{
    gyrei_http_conn *conn = calloc(1, sizeof(*conn));

    if (conn == NULL)
        return false;
    if (gyre_timer_init(server->loop, &conn->timer) != 0) {
        free(conn);
        return false;
    }
    conn->server = server;
    conn->holds = 1;
    conn->request.conn = conn;
    conn->deadline_ns = UINT64_MAX;
    gyrei_list_append(&server->conns, &conn->link);
    server->conn_count++;
    if (gyre_accept(listener, &conn->io.stream) != 0) {
        conn->state = GYREI_HTTP_CLOSED;
        gyre_close(&conn->timer.handle, on_timer_closed);
        return true; /* it is closed */
    }
    conn->holds = 2;
    gyre_unref(&conn->timer.handle);
    gyre_handle_set_name(&conn->io.handle, "http connection");
    gyre_handle_set_name(&conn->timer.handle, "http connection");
    gyrei_http_parse_begin(conn);
    if (gyre_stream_set_deadlines(&conn->io.stream, 0, server->options.write_ns) != 0 ||
        gyre_stream_set_budget(&conn->io.stream, QUEUE_LOW, QUEUE_HIGH, 0, on_drain) != 0)
        close_conn(conn, false);
    else if (server->conn_count > server->options.connections_max)
        reject(conn);
    else
        rest(conn);
    return true;
}
