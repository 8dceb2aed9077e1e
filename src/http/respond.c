/*
 * Responses: a head, a body at once or in pieces; and what a handler may ask of its request.
 *
 * A response is framed by Content-Length or in chunks, never by the end of the connection alone.
 * One that turns out shorter than its head said ends with the connection, so that no client takes a
 * part for the whole.
 */
#include "http/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEAD_BYTES = 1024, PAGE_BYTES = 512 };

/* ---- the head ---- */

/* A text that grows; `failed` once memory ran out. */
typedef struct text {
    char *base;
    size_t len;
    size_t room;
    bool failed;
    char fixed[HEAD_BYTES];
} text;

static void add(text *to, const char *bytes, size_t len)
{
    if (to->len + len > to->room) {
        const size_t room = (to->len + len) * 2;
        char *base = to->failed ? NULL : malloc(room);

        if (base == NULL) {
            to->failed = true;
            return;
        }
        memcpy(base, to->base, to->len);
        if (to->base != to->fixed)
            free(to->base);
        to->base = base;
        to->room = room;
    }
    memcpy(to->base + to->len, bytes, len);
    to->len += len;
}

static void add_string(text *to, const char *string)
{
    add(to, string, strlen(string));
}

static void add_field(text *to, const char *name, const char *value)
{
    add_string(to, name);
    add(to, ": ", 2);
    add_string(to, value);
    add(to, "\r\n", 2);
}

static bool is_clean(const gyre_http_header *headers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (headers[i].name[0] == '\0' || strpbrk(headers[i].name, "\r\n: \t") != NULL ||
            strpbrk(headers[i].value, "\r\n") != NULL)
            return false;
    }
    return true;
}

/* A status that never has a body, and no Content-Length either (RFC 9110, section 8.6). */
static bool is_bodiless(int status)
{
    return status == 204 || status == 304;
}

static void add_framing(text *to, const gyre_http_request *request, int status, uint64_t length)
{
    char number[24];

    if (is_bodiless(status))
        return;
    if (request->chunked) {
        add_field(to, "Transfer-Encoding", "chunked");
    } else if (length != GYRE_HTTP_CHUNKED) {
        (void)snprintf(number, sizeof(number), "%llu", (unsigned long long)length);
        add_field(to, "Content-Length", number);
    }
}

static int send_head(gyre_http_request *request, int status, const gyre_http_header *headers,
                     uint32_t header_count, uint64_t length)
{
    gyrei_http_conn *conn = request->conn;
    text head;
    int error;

    head.base = head.fixed;
    head.len = 0;
    head.room = sizeof(head.fixed);
    head.failed = false;
    head.len = (size_t)snprintf(head.fixed, sizeof(head.fixed), "HTTP/1.1 %d %s\r\n", status,
                                gyrei_http_reason(status));
    add_field(&head, "Date", gyrei_http_server_date(conn->server));
    for (uint32_t i = 0; i < header_count; i++)
        add_field(&head, headers[i].name, headers[i].value);
    add_framing(&head, request, status, length);
    if (!conn->keep_alive)
        add_field(&head, "Connection", "close");
    else if (conn->parser.http_minor == 0)
        add_field(&head, "Connection", "keep-alive");
    add(&head, "\r\n", 2);
    error = head.failed ? GYRE_ENOMEM : gyre_write_copy(&conn->io.stream, head.base, head.len);
    if (head.base != head.fixed)
        free(head.base);
    return error;
}

/* ---- beginning and end ---- */

static bool is_current(const gyre_http_request *request)
{
    return request->conn->state == GYREI_HTTP_RESPONDING;
}

int gyre_http_respond_start(gyre_http_request *request, int status, const gyre_http_header *headers,
                            uint32_t header_count, uint64_t length)
{
    gyrei_http_conn *conn = request->conn;
    int error;

    if (!is_current(request))
        return GYRE_ENOTCONN;
    GYRE_ASSERT(request->status == 0);
    if (status < 200 || status > 599 || !is_clean(headers, header_count)) {
        gyrei_http_conn_abort(conn);
        return GYRE_EINVAL;
    }
    request->head_only = is_bodiless(status) || conn->parser.method == HTTP_HEAD;
    request->chunked = length == GYRE_HTTP_CHUNKED && conn->parser.http_minor > 0;
    /* HTTP/1.0 knows no chunks: the end of the connection is the end of the body. */
    if (length == GYRE_HTTP_CHUNKED && !request->chunked && !request->head_only)
        conn->keep_alive = false;
    error = send_head(request, status, headers, header_count, length);
    if (error != 0) {
        gyrei_http_conn_abort(conn);
        return error;
    }
    request->status = status;
    request->left = request->head_only ? 0 : length;
    request->sent = 0;
    return 0;
}

/* The handler has no more to do with it. */
static void give_back(gyre_http_request *request)
{
    if (!request->held)
        return;
    request->held = false;
    gyrei_http_conn_release(request->conn);
}

/* The response is over: it is logged, and the connection goes on, perhaps to its next request. */
static void finish(gyre_http_request *request)
{
    gyrei_http_conn *conn = request->conn;
    const gyre_http_options *options = &conn->server->options;
    const bool held = request->held;

    if (options->done != NULL)
        options->done(request, request->status, request->sent, options->data);
    request->status = 0;
    request->held = false;
    gyrei_http_conn_responded(conn);
    if (held)
        gyrei_http_conn_release(conn);
}

void gyre_http_respond_end(gyre_http_request *request)
{
    static const char last_chunk[] = "0\r\n\r\n";
    gyrei_http_conn *conn = request->conn;
    bool cut = request->left != GYRE_HTTP_CHUNKED && request->left > 0;

    if (is_current(request) && request->status != 0) {
        if (request->chunked && !request->head_only)
            cut = gyre_write_copy(&conn->io.stream, last_chunk, sizeof(last_chunk) - 1) != 0;
        if (cut)
            gyrei_http_conn_abort(conn); /* the client must see that something is missing */
    }
    if (is_current(request) && request->status != 0)
        finish(request);
    else
        give_back(request);
}

void gyrei_http_request_broken(gyre_http_request *request)
{
    const gyre_http_options *options = &request->conn->server->options;
    gyre_http_more_cb more = request->sending ? NULL : request->more;

    if (request->status != 0 && options->done != NULL)
        options->done(request, request->status, request->sent, options->data);
    request->status = 0;
    /* One that waits for its write hears of it when the write ends. */
    if (more != NULL) {
        request->more = NULL;
        more(request, GYRE_ECANCELED, request->more_data);
    }
}

/* ---- the body ---- */

static void on_sent(gyre_write_req *write, int status)
{
    gyre_http_request *request = GYRE_CONTAINER_OF(write, gyre_http_request, write);
    gyre_http_more_cb more = request->more;

    request->sending = false;
    request->more = NULL;
    free(request->piece);
    request->piece = NULL;
    if (more != NULL)
        more(request, status, request->more_data);
}

/* Nothing of a HEAD's body is sent; `more` comes all the same, and never from inside the call. */
static uint32_t frame(gyre_http_request *request, const char *body, size_t len, gyre_buf *bufs)
{
    int head;

    if (request->head_only)
        return 0;
    if (!request->chunked) {
        bufs[0] = gyre_buf_init(body, len);
        return 1;
    }
    head = snprintf(request->chunk_head, sizeof(request->chunk_head), "%zx\r\n", len);
    bufs[0] = gyre_buf_init(request->chunk_head, (size_t)head);
    bufs[1] = gyre_buf_init(body, len);
    bufs[2] = gyre_buf_init("\r\n", 2);
    return 3;
}

int gyrei_http_respond_lent(gyre_http_request *request, const char *body, size_t len,
                            gyre_http_more_cb more, void *data)
{
    gyre_buf bufs[3];
    int error;

    if (!is_current(request) || request->status == 0 || request->sending || len == 0 ||
        (!request->head_only && len > request->left))
        return GYRE_EINVAL;
    error = gyre_write(&request->conn->io.stream, &request->write, bufs,
                       frame(request, body, len, bufs), on_sent);
    if (error != 0)
        return error;
    request->sending = true;
    request->more = more;
    request->more_data = data;
    if (request->head_only)
        return 0;
    request->sent += len;
    if (request->left != GYRE_HTTP_CHUNKED)
        request->left -= len;
    return 0;
}

int gyre_http_respond_body(gyre_http_request *request, const void *body, size_t len,
                           gyre_http_more_cb more, void *data)
{
    char *copy;
    int error;

    if (len == 0 || request->sending)
        return GYRE_EINVAL;
    copy = malloc(len);
    if (copy == NULL)
        return GYRE_ENOMEM;
    memcpy(copy, body, len);
    error = gyrei_http_respond_lent(request, copy, len, more, data);
    if (error != 0) {
        free(copy);
        return error;
    }
    request->piece = copy;
    return 0;
}

int gyre_http_respond(gyre_http_request *request, int status, const gyre_http_header *headers,
                      uint32_t header_count, const void *body, size_t len)
{
    int error = gyre_http_respond_start(request, status, headers, header_count, len);

    if (error == 0 && !request->head_only && len > 0) {
        error = gyre_write_copy(&request->conn->io.stream, body, len);
        request->sent = len;
        request->left = error == 0 ? 0 : len;
    }
    gyre_http_respond_end(request);
    return error;
}

void gyrei_http_respond_error(gyre_http_request *request, int status,
                              const gyre_http_header *headers, uint32_t header_count)
{
    gyre_http_header fields[4] = {{"Content-Type", "text/html; charset=utf-8"}};
    char page[PAGE_BYTES];
    const int len = snprintf(page, sizeof(page),
                             "<!doctype html><meta charset=\"utf-8\"><title>%d %s</title>"
                             "<h1>%d %s</h1>\n",
                             status, gyrei_http_reason(status), status, gyrei_http_reason(status));

    for (uint32_t i = 0; i < header_count && i < 3; i++)
        fields[i + 1] = headers[i];
    (void)gyre_http_respond(request, status, fields, header_count + 1, page, (size_t)len);
}

/* ---- the request ---- */

const char *gyre_http_method(const gyre_http_request *request)
{
    const gyrei_http_conn *conn = request->conn;

    return conn->method_known ? llhttp_method_name((llhttp_method_t)conn->parser.method) : "-";
}

int gyre_http_minor(const gyre_http_request *request)
{
    return request->conn->parser.http_minor;
}

const char *gyre_http_target(const gyre_http_request *request)
{
    const gyrei_http_conn *conn = request->conn;

    return conn->head != NULL && conn->target_len > 0 ? conn->head : "";
}

const char *gyre_http_header_of(const gyre_http_request *request, const char *name)
{
    return request->conn->head != NULL ? gyrei_http_field(request->conn, name, 0) : NULL;
}

gyre_buf gyre_http_body(const gyre_http_request *request)
{
    return gyre_buf_init(request->conn->body, request->conn->body_len);
}

int gyre_http_peer(const gyre_http_request *request, gyre_address *address)
{
    return gyre_stream_peer_address(&request->conn->io.stream, address);
}

gyre_loop *gyre_http_loop(const gyre_http_request *request)
{
    return request->conn->server->loop;
}
