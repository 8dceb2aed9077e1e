/*
 * Parsing: llhttp, and what RFC 9112 asks beyond it.
 *
 * llhttp is lenient where servers once had to be: it takes a bare LF for a line's end and folded
 * lines. A server behind another one must not, because the two would disagree about where a request
 * ends; so each line end of a head is looked at here. The parser pauses at the end of the head and
 * of the message, so that it never runs ahead of what was decided.
 */
#include "http/http.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { ROOM_FIRST = 1024, BODY_ROOM_FIRST = 4096, ZEROS = 2, PROTOCOL_BYTES = 5 };

static gyrei_http_conn *conn_of(llhttp_t *parser)
{
    return parser->data;
}

/* Refuses the request. The parser stops at once. */
static int refuse(gyrei_http_conn *conn, int status)
{
    if (conn->error_status == 0)
        conn->error_status = status;
    return HPE_USER;
}

/* ---- the head, as texts one behind the other ---- */

/* There are always two zeros behind the last byte: a head that breaks off reads as whole texts. */
static int add_bytes(gyrei_http_conn *conn, const char *at, size_t len)
{
    const size_t needed = conn->head_len + len + ZEROS;
    size_t room = conn->head_room == 0 ? ROOM_FIRST : conn->head_room;
    char *head = conn->head;

    while (room < needed)
        room *= 2;
    if (room != conn->head_room) {
        if (room > conn->server->options.head_bytes_max * 2 + ROOM_FIRST)
            return refuse(conn, 431);
        head = realloc(conn->head, room);
        if (head == NULL)
            return refuse(conn, 503);
        conn->head = head;
        conn->head_room = (uint32_t)room;
    }
    memcpy(head + conn->head_len, at, len);
    conn->head_len += (uint32_t)len;
    memset(head + conn->head_len, 0, ZEROS);
    return 0;
}

static int end_text(gyrei_http_conn *conn)
{
    return add_bytes(conn, "", 1);
}

const char *gyrei_http_field(const gyrei_http_conn *conn, const char *name, uint32_t skip)
{
    const char *at = conn->head + conn->target_len + 1;

    for (uint32_t i = 0; i < conn->header_count; i++) {
        const char *value = at + strlen(at) + 1;

        if (strcasecmp(at, name) == 0 && skip-- == 0)
            return value;
        at = value + strlen(value) + 1;
    }
    return NULL;
}

/* Whether two fields may have one name: two names of one length that begin alike, say. */
static bool names_may_repeat(const gyrei_http_conn *conn)
{
    const char *at = conn->head + conn->target_len + 1;
    uint64_t seen = 0;

    for (uint32_t i = 0; i < conn->header_count; i++) {
        const size_t len = strlen(at);
        const uint64_t bit = UINT64_C(1) << ((len * 5 + ((unsigned char)at[0] | 0x20)) % 64);

        if ((seen & bit) != 0)
            return true;
        seen |= bit;
        at += len + 1;
        at += strlen(at) + 1;
    }
    return false;
}

/* The value of the first field of `name`, and ", " and the value of each other. Returns its end. */
static char *join_values(const gyrei_http_conn *conn, const char *name, char *to)
{
    const char *value;

    for (uint32_t i = 0; (value = gyrei_http_field(conn, name, i)) != NULL; i++) {
        if (i > 0) {
            *to++ = ',';
            *to++ = ' ';
        }
        memcpy(to, value, strlen(value));
        to += strlen(value);
    }
    *to++ = '\0';
    return to;
}

/*
 * Fields of one name become one field with a list (RFC 9110, section 5.3). A name goes, with its
 * zero, for each ", " that comes, so that the head does not grow.
 */
static int join_fields(gyrei_http_conn *conn)
{
    const char *at = conn->head + conn->target_len + 1;
    uint32_t count = 0;
    char *head;
    char *to;

    if (!names_may_repeat(conn))
        return 0;
    head = calloc(1, conn->head_room);
    if (head == NULL)
        return refuse(conn, 503);
    memcpy(head, conn->head, conn->target_len + 1);
    to = head + conn->target_len + 1;
    for (uint32_t i = 0; i < conn->header_count; i++) {
        const char *value = at + strlen(at) + 1;

        if (gyrei_http_field(conn, at, 0) == value) {
            memcpy(to, at, (size_t)(value - at));
            to = join_values(conn, at, to + (value - at));
            count++;
        }
        at = value + strlen(value) + 1;
    }
    GYRE_ASSERT((size_t)(to - head) <= conn->head_len);
    free(conn->head);
    conn->head = head;
    conn->header_count = count;
    return 0;
}

/* ---- callbacks of the parser ---- */

static int on_method_complete(llhttp_t *parser)
{
    conn_of(parser)->method_known = true;
    return 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    gyrei_http_conn *conn = conn_of(parser);

    if (conn->head_len + len > conn->server->options.target_bytes_max)
        return refuse(conn, 414);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)at[i] <= ' ' || at[i] == 0x7f)
            return refuse(conn, 400); /* llhttp takes a tab and a form feed */
    }
    return add_bytes(conn, at, len);
}

static int on_url_complete(llhttp_t *parser)
{
    gyrei_http_conn *conn = conn_of(parser);

    conn->target_len = conn->head_len;
    return end_text(conn);
}

static int on_field(llhttp_t *parser, const char *at, size_t len)
{
    gyrei_http_conn *conn = conn_of(parser);

    for (size_t i = 0; i < len; i++) {
        if (at[i] == ' ' || at[i] == '\t')
            return refuse(conn, 400); /* a blank before the colon (RFC 9112, section 5.1) */
    }
    conn->empty_name = conn->empty_name && len == 0;
    /* Fields behind a chunked body are read and thrown away. */
    return conn->part == GYREI_HTTP_TRAILER ? 0 : add_bytes(conn, at, len);
}

static int on_field_complete(llhttp_t *parser)
{
    gyrei_http_conn *conn = conn_of(parser);

    if (conn->empty_name)
        return refuse(conn, 400);
    conn->empty_name = true;
    if (conn->part == GYREI_HTTP_TRAILER)
        return 0;
    if (++conn->header_count > conn->server->options.headers_max)
        return refuse(conn, 431);
    return end_text(conn);
}

static int on_value(llhttp_t *parser, const char *at, size_t len)
{
    gyrei_http_conn *conn = conn_of(parser);

    if (memchr(at, '\0', len) != NULL)
        return refuse(conn, 400);
    return conn->part == GYREI_HTTP_TRAILER ? 0 : add_bytes(conn, at, len);
}

static int on_value_complete(llhttp_t *parser)
{
    gyrei_http_conn *conn = conn_of(parser);

    if (conn->part == GYREI_HTTP_TRAILER)
        return 0;
    while (conn->head_len > 0 &&
           (conn->head[conn->head_len - 1] == ' ' || conn->head[conn->head_len - 1] == '\t'))
        conn->head_len--;
    return end_text(conn);
}

/* ---- the head as a whole ---- */

#define HOST_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%!$&'()*+,;="

/* uri-host [ ":" port ] (RFC 9110, section 7.2), without looking into an address in brackets. */
static bool host_is_valid(const char *host)
{
    if (host[0] == '[') {
        host += 1 + strspn(host + 1, HOST_BYTES ":");
        if (*host++ != ']')
            return false;
    } else {
        host += strspn(host, HOST_BYTES);
    }
    if (*host == ':')
        host += 1 + strspn(host + 1, "0123456789");
    return *host == '\0';
}

/* One Host field, also with HTTP/1.0 no second one (RFC 9112, section 3.2). */
static int check_host(gyrei_http_conn *conn)
{
    const char *host = gyrei_http_field(conn, "host", 0);

    if (host == NULL)
        return conn->parser.http_minor == 0 ? 0 : refuse(conn, 400);
    if (gyrei_http_field(conn, "host", 1) != NULL || !host_is_valid(host))
        return refuse(conn, 400);
    return 0;
}

/* A URI of http has a host, and no user in front of it (RFC 9110, sections 4.2.1 and 4.2.4). */
static bool authority_is_valid(char *authority, size_t len)
{
    const char behind = authority[len];
    bool valid;

    authority[len] = '\0';
    valid = authority[0] != '\0' && authority[0] != ':' && host_is_valid(authority);
    authority[len] = behind;
    return valid;
}

/* Origin form, absolute form cut down to it, or "*" for OPTIONS (RFC 9112, section 3.2). */
static int check_target(gyrei_http_conn *conn)
{
    char *target = conn->head;
    char *path;

    if (conn->parser.method == HTTP_CONNECT)
        return refuse(conn, 501);
    if (target[0] == '/')
        return 0;
    if (strcmp(target, "*") == 0)
        return conn->parser.method == HTTP_OPTIONS ? 0 : refuse(conn, 400);
    if (strncasecmp(target, "http://", 7) == 0)
        path = target + 7;
    else if (strncasecmp(target, "https://", 8) == 0)
        path = target + 8;
    else
        return refuse(conn, 400);
    if (!authority_is_valid(path, strcspn(path, "/?#")))
        return refuse(conn, 400);
    path += strcspn(path, "/?#");
    if (*path != '/')
        *target++ = '/'; /* no path means "/"; it fits, because the scheme goes */
    memmove(target, path, strlen(path) + 1);
    return 0;
}

static int check_framing(gyrei_http_conn *conn)
{
    const llhttp_t *parser = &conn->parser;
    const char *coding = gyrei_http_field(conn, "transfer-encoding", 0);

    if (coding != NULL &&
        (parser->http_minor == 0 || gyrei_http_field(conn, "content-length", 0) != NULL))
        return refuse(conn, 400);
    if (coding != NULL && (gyrei_http_field(conn, "transfer-encoding", 1) != NULL ||
                           strcasecmp(coding, "chunked") != 0))
        return refuse(conn, 501);
    if (gyrei_http_field(conn, "content-length", 1) != NULL)
        return refuse(conn, 400);
    if (coding == NULL && parser->content_length > conn->server->options.body_bytes_max)
        return refuse(conn, 413);
    return 0;
}

static bool has_body(const gyrei_http_conn *conn)
{
    return conn->parser.content_length > 0 ||
           gyrei_http_field(conn, "transfer-encoding", 0) != NULL;
}

/* A client that waits for our word before it sends the body gets it now. */
static int check_expectation(gyrei_http_conn *conn)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const char *expectation = gyrei_http_field(conn, "expect", 0);

    if (expectation == NULL || conn->parser.http_minor == 0)
        return 0;
    if (strcasecmp(expectation, "100-continue") != 0)
        return refuse(conn, 417);
    if (has_body(conn))
        (void)gyre_write_copy(&conn->io.stream, go_on, sizeof(go_on) - 1);
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    gyrei_http_conn *conn = conn_of(parser);

    conn->part = GYREI_HTTP_BODY;
    if (parser->http_major != 1 || parser->http_minor > 1)
        return refuse(conn, 505);
    if (check_host(conn) != 0 || check_target(conn) != 0 || check_framing(conn) != 0 ||
        check_expectation(conn) != 0 || join_fields(conn) != 0)
        return HPE_USER;
    /* We upgrade to nothing: the request is one like any other (RFC 9110, section 7.8). */
    parser->upgrade = 0;
    return HPE_PAUSED;
}

/* The size of a chunk is known: the body's limit need not wait for its bytes. */
static int on_chunk_header(llhttp_t *parser)
{
    gyrei_http_conn *conn = conn_of(parser);

    if (parser->content_length > conn->server->options.body_bytes_max - conn->body_len)
        return refuse(conn, 413);
    if (parser->content_length > 0)
        return 0;
    conn->part = GYREI_HTTP_TRAILER;
    conn->last = '\n';
    conn->may_fold = true;
    return HPE_PAUSED;
}

/* Extensions mean nothing to us, and cost nothing but the time to read them. */
static int on_chunk_extension(llhttp_t *parser, const char *at, size_t len)
{
    gyrei_http_conn *conn = conn_of(parser);

    (void)at;
    conn->wire_bytes += (uint32_t)len;
    return conn->wire_bytes > conn->server->options.head_bytes_max ? refuse(conn, 400) : 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    gyrei_http_conn *conn = conn_of(parser);
    const size_t max = conn->server->options.body_bytes_max;

    if (len > max - conn->body_len)
        return refuse(conn, 413);
    if (conn->body_len + len > conn->body_room) {
        size_t room = conn->body_room == 0 ? BODY_ROOM_FIRST : conn->body_room;
        char *body;

        while (room < conn->body_len + len)
            room *= 2;
        body = realloc(conn->body, room);
        if (body == NULL)
            return refuse(conn, 503);
        conn->body = body;
        conn->body_room = room;
    }
    memcpy(conn->body + conn->body_len, at, len);
    conn->body_len += len;
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    gyrei_http_conn *conn = conn_of(parser);

    conn->part = GYREI_HTTP_ALL;
    /* llhttp overlooks a close beside a keep-alive in HTTP/1.0 (RFC 9112, section 9.3). */
    conn->keep_alive =
        llhttp_should_keep_alive(parser) != 0 && (parser->flags & F_CONNECTION_CLOSE) == 0;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_method_complete = on_method_complete,
    .on_url = on_url,
    .on_url_complete = on_url_complete,
    .on_header_field = on_field,
    .on_header_field_complete = on_field_complete,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_chunk_header = on_chunk_header,
    .on_chunk_extension_name = on_chunk_extension,
    .on_chunk_extension_value = on_chunk_extension,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* ---- lines ---- */

/*
 * Of a request line: two blanks in all, and HTTP behind the second. llhttp takes more blanks, and
 * the protocols of other servers; whoever counts words another way sees another target.
 */
static int check_request_line(gyrei_http_conn *conn, const char *base, size_t len)
{
    static const char protocol[PROTOCOL_BYTES + 1] = "HTTP/";

    for (size_t i = 0; i < len && conn->protocol < PROTOCOL_BYTES; i++) {
        if (base[i] == ' ' && ++conn->blanks > 2)
            return refuse(conn, 400);
        if (base[i] != ' ' && conn->blanks == 2 && base[i] != protocol[conn->protocol++])
            return refuse(conn, 400);
    }
    return 0;
}

/* A LF without its CR, a CR without its LF, a folded line: none may stand in head or trailer. */
static int check_lines(gyrei_http_conn *conn, const char *base, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        const char byte = base[i];

        if ((byte == '\n') != (conn->last == '\r'))
            return refuse(conn, 400);
        if (conn->last == '\n' && conn->may_fold && (byte == ' ' || byte == '\t'))
            return refuse(conn, 400);
        conn->may_fold = conn->may_fold || byte == '\n';
        conn->last = byte;
    }
    if (conn->protocol < PROTOCOL_BYTES && check_request_line(conn, base, len) != 0)
        return HPE_USER;
    conn->wire_bytes += (uint32_t)len;
    if (conn->wire_bytes > conn->server->options.head_bytes_max)
        return refuse(conn, conn->target_len == 0 ? 414 : 431);
    return 0;
}

/* ---- for conn.c ---- */

void gyrei_http_parse_free(gyrei_http_conn *conn)
{
    free(conn->head);
    free(conn->body);
    conn->head = NULL;
    conn->body = NULL;
    conn->head_room = 0;
    conn->body_room = 0;
}

void gyrei_http_parse_begin(gyrei_http_conn *conn)
{
    llhttp_init(&conn->parser, HTTP_REQUEST, &settings);
    conn->parser.data = conn;
    conn->error_status = 0;
    conn->head_len = 0;
    conn->target_len = 0;
    conn->header_count = 0;
    conn->wire_bytes = 0;
    conn->may_fold = false;
    conn->method_known = false;
    conn->blanks = 0;
    conn->protocol = 0;
    conn->last = '\0';
    conn->part = GYREI_HTTP_HEAD;
    conn->empty_name = true;
    conn->keep_alive = false;
    conn->body_len = 0;
}

/* The status for what llhttp itself refuses. It knows methods of other protocols, we do not. */
static int status_of(const gyrei_http_conn *conn, llhttp_errno_t error)
{
    switch (error) {
    case HPE_INVALID_CONSTANT: return conn->parser.method > HTTP_SOURCE ? 501 : 400;
    case HPE_INVALID_VERSION:
    case HPE_PAUSED_H2_UPGRADE: return 505;
    case HPE_INVALID_METHOD: return 501;
    default: return 400;
    }
}

static gyrei_http_parsed bad(gyrei_http_conn *conn, llhttp_errno_t error)
{
    (void)refuse(conn, status_of(conn, error));
    conn->keep_alive = false;
    return GYREI_HTTP_BAD;
}

gyrei_http_parsed gyrei_http_parse(gyrei_http_conn *conn, const char *base, size_t len,
                                   size_t *used)
{
    size_t at = 0;

    while (at < len || conn->part != GYREI_HTTP_HEAD) {
        const bool lines = conn->part != GYREI_HTTP_BODY;
        const llhttp_errno_t error = llhttp_execute(&conn->parser, base + at, len - at);
        const size_t taken = error == HPE_OK
                                 ? len - at
                                 : (size_t)(llhttp_get_error_pos(&conn->parser) - (base + at));

        if (lines && (error == HPE_OK || error == HPE_PAUSED) &&
            check_lines(conn, base + at, taken) != 0)
            return bad(conn, HPE_USER);
        at += taken;
        *used = at;
        if (error == HPE_OK)
            return GYREI_HTTP_MORE;
        if (error != HPE_PAUSED)
            return bad(conn, error);
        llhttp_resume(&conn->parser);
        if (conn->part == GYREI_HTTP_ALL)
            return GYREI_HTTP_WHOLE;
        conn->wire_bytes = 0;
    }
    return GYREI_HTTP_MORE;
}
