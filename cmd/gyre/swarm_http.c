/*
 * The HTTP server itself: clients ask for bytes by number, pipelined, on connections that they
 * keep; handlers respond at once, in pieces, in chunks, or later. A response must be the oldest
 * request's, framed as it says, and whole.
 */
#include "swarm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(GYRE_HAVE_HTTP)

enum {
    PORT = 80,
    FETCHES_MAX = 4,
    ASKED_MAX = 3,
    BODY_MAX = 30000,
    PIECE_MAX = 4000,
    LINE_MAX = 256
};

static const uint64_t answer_max_ns = 8 * GYRE_SECOND;

static void on_closed(gyre_handle *handle)
{
    object_closed(handle->data);
}

static void close_once(gyre_handle *handle)
{
    if (!gyre_is_closing(handle))
        gyre_close(handle, on_closed);
}

/* ---- the server ---- */

typedef struct site {
    object base;
    gyre_http_server *server;
    uint64_t begun; /* responses, and those that the server said were over */
    uint64_t ended;
} site;

/* A response under way. */
typedef struct page {
    object base;
    gyre_timer later;
    gyre_http_request *request;
    uint64_t id;
    uint64_t len;
    uint64_t given;
} page;

static void fill(char *bytes, uint64_t id, uint64_t from, uint64_t len)
{
    for (uint64_t i = 0; i < len; i++)
        bytes[i] = pattern(id, from + i);
}

static void count_begun(const program *owner, int error)
{
    if (error == 0)
        ((site *)owner->state)->begun++;
}

static void respond_whole(const program *owner, gyre_http_request *request, uint64_t id,
                          uint64_t len)
{
    char bytes[BODY_MAX];

    fill(bytes, id, 0, len);
    count_begun(owner, gyre_http_respond(request, 200, NULL, 0, bytes, len));
}

static void give_piece(page *self);

static void on_more(gyre_http_request *request, int status, void *data)
{
    page *self = data;

    (void)request;
    object_paid(&self->base);
    if (status >= 0 && self->given < self->len) {
        give_piece(self);
        return;
    }
    gyre_http_respond_end(self->request);
    object_free(&self->base);
}

static void give_piece(page *self)
{
    uint64_t len = 1 + draw(self->base.owner, PIECE_MAX);
    char bytes[PIECE_MAX];

    if (len > self->len - self->given)
        len = self->len - self->given;
    fill(bytes, self->id, self->given, len);
    self->given += len;
    object_owes(&self->base);
    if (gyre_http_respond_body(self->request, bytes, len, on_more, self) == 0)
        return;
    object_paid(&self->base);
    gyre_http_respond_end(self->request);
    object_free(&self->base);
}

static void respond_in_pieces(page *self, bool chunked)
{
    const int error = gyre_http_respond_start(self->request, 200, NULL, 0,
                                              chunked ? GYRE_HTTP_CHUNKED : self->len);

    count_begun(self->base.owner, error);
    if (error == 0 && self->len > 0) {
        give_piece(self);
        return;
    }
    gyre_http_respond_end(self->request);
    object_free(&self->base);
}

static void respond_later(gyre_timer *timer)
{
    page *self = timer->data;

    respond_whole(self->base.owner, self->request, self->id, self->len);
    close_once(&self->later.handle);
}

static void handler(gyre_http_request *request, void *data)
{
    program *owner = data;
    const char *target = gyre_http_target(request);
    char *rest;
    const uint64_t id = strtoull(target + 1, &rest, 10);
    const uint64_t len = *rest == '/' ? strtoull(rest + 1, NULL, 10) : 0;
    const uint64_t way = draw(owner, 5);
    page *self;

    EXPECT(owner, strcmp(gyre_http_method(request), "GET") == 0 && *rest == '/');
    EXPECT(owner, len <= BODY_MAX);
    if (way < 2) {
        respond_whole(owner, request, id, len);
        return;
    }
    self = object_new(owner, sizeof(*self));
    self->request = request;
    self->id = id;
    self->len = len;
    if (way < 4) {
        respond_in_pieces(self, way == 3);
        return;
    }
    if (gyre_timer_init(owner->loop, &self->later) != 0) {
        object_free(&self->base);
        (void)gyre_http_respond(request, 503, NULL, 0, NULL, 0);
        return;
    }
    object_opened(&self->base);
    self->later.data = self;
    gyre_timer_start(&self->later, draw(owner, 50 * GYRE_MILLISECOND), 0, respond_later);
}

static void request_done(gyre_http_request *request, int status, uint64_t bytes, void *data)
{
    program *owner = data;

    (void)request;
    (void)status;
    (void)bytes;
    ((site *)owner->state)->ended++;
}

static void site_stopped(gyre_http_server *server, void *data)
{
    program *owner = data;
    const site *self = owner->state;

    (void)server;
    object_paid(owner->state);
    EXPECT(owner, self->ended >= self->begun);
}

static int boot_site(program *owner)
{
    const gyre_http_options options = {
        .size = sizeof(options),
        .handler = handler,
        .done = request_done,
        .data = owner,
        .idle_ns = 10 * GYRE_SECOND,
        .write_ns = 10 * GYRE_SECOND,
        .requests_max = 1 + (uint32_t)draw(owner, 50),
        .accepted_max = one_in(owner, 2) ? 4 : 0,
    };
    site *self = object_new(owner, sizeof(*self));
    gyre_address address;
    int error = gyre_http_server_init(owner->loop, &self->server, &options);

    owner->state = self;
    host_address(owner, 0, PORT, &address);
    return error == 0 ? gyre_http_server_listen(self->server, &address, 0) : error;
}

static void quit_site(program *owner)
{
    site *self = owner->state;

    object_owes(&self->base);
    gyre_http_server_stop(self->server, draw(owner, 2 * GYRE_SECOND), site_stopped);
}

/* ---- a client's connection ---- */

typedef enum place {
    IN_STATUS = 0,
    IN_HEADERS,
    IN_BODY,
    IN_CHUNK_SIZE,
    IN_CHUNK_END,
    IN_TRAILER
} place;

typedef struct fetch {
    object base;
    gyre_tcp tcp;
    gyre_timer timer;
    gyre_connect_req connect;
    uint64_t ids[ASKED_MAX]; /* oldest first */
    uint64_t lens[ASKED_MAX];
    uint32_t asked_count;
    uint32_t left;
    uint64_t progress_ns;
    /* of the response under way */
    place at;
    char line[LINE_MAX];
    uint32_t line_len;
    uint64_t body;  /* bytes that were received */
    uint64_t piece; /* bytes of the body or chunk that are to come */
    bool chunked;
    bool last; /* the server closes after it */
    bool calm;
    bool connected;
    bool leaving;
} fetch;

static void fetch_leave(fetch *self)
{
    if (self->leaving)
        return;
    self->leaving = true;
    self->base.owner->busy--;
    close_once(&self->timer.handle);
    close_once(&self->tcp.handle);
}

static void fetch_ask(fetch *self)
{
    const program *owner = self->base.owner;

    while (self->connected && !self->leaving && self->asked_count < ASKED_MAX && self->left > 0) {
        const uint64_t id = draw(owner, UINT64_C(1) << 40);
        const uint64_t len = draw(owner, one_in(owner, 6) ? BODY_MAX : 800);
        char text[128];
        const int text_len =
            snprintf(text, sizeof(text), "GET /%llu/%llu HTTP/1.1\r\nHost: site\r\n\r\n",
                     (unsigned long long)id, (unsigned long long)len);

        if (gyre_write_copy(&self->tcp.stream, text, (size_t)text_len) != 0) {
            fetch_leave(self);
            return;
        }
        self->ids[self->asked_count] = id;
        self->lens[self->asked_count] = len;
        self->asked_count++;
        self->left--;
    }
    if (self->left == 0 && self->asked_count == 0)
        fetch_leave(self);
}

static void fetch_answered(fetch *self)
{
    EXPECT(self->base.owner, self->body == self->lens[0]);
    self->asked_count--;
    for (uint32_t i = 0; i < self->asked_count; i++) {
        self->ids[i] = self->ids[i + 1];
        self->lens[i] = self->lens[i + 1];
    }
    self->at = IN_STATUS;
    self->body = 0;
    self->chunked = false;
    self->base.owner->done++;
    if (self->last)
        fetch_leave(self);
}

static void end_of_headers(fetch *self)
{
    if (self->chunked)
        self->at = IN_CHUNK_SIZE;
    else if (self->piece > 0)
        self->at = IN_BODY;
    else
        fetch_answered(self);
}

static void take_line(fetch *self)
{
    const char *line = self->line;

    switch (self->at) {
    case IN_STATUS:
        self->at = IN_HEADERS;
        self->piece = 0;
        /* Without memory the server says so, and closes. */
        if (strcmp(line, "HTTP/1.1 200 OK") != 0) {
            EXPECT(self->base.owner, !self->calm);
            fetch_leave(self);
        }
        break;
    case IN_HEADERS:
        if (line[0] == '\0')
            end_of_headers(self);
        else if (strncmp(line, "Content-Length: ", 16) == 0)
            self->piece = strtoull(line + 16, NULL, 10);
        else if (strcmp(line, "Transfer-Encoding: chunked") == 0)
            self->chunked = true;
        else if (strcmp(line, "Connection: close") == 0)
            self->last = true;
        break;
    case IN_CHUNK_SIZE:
        self->piece = strtoull(line, NULL, 16);
        self->at = self->piece > 0 ? IN_BODY : IN_TRAILER;
        break;
    case IN_CHUNK_END:
        EXPECT(self->base.owner, line[0] == '\0');
        self->at = IN_CHUNK_SIZE;
        break;
    case IN_TRAILER:
        if (line[0] == '\0')
            fetch_answered(self);
        break;
    case IN_BODY: break;
    }
}

static void take_byte(fetch *self, char byte)
{
    if (self->at == IN_BODY) {
        if (byte != pattern(self->ids[0], self->body))
            FLAW(self->base.owner, "a byte of a page is another");
        self->body++;
        if (--self->piece > 0)
            return;
        if (self->chunked)
            self->at = IN_CHUNK_END;
        else
            fetch_answered(self);
        return;
    }
    if (byte != '\n') {
        if (self->line_len < LINE_MAX - 1)
            self->line[self->line_len++] = byte;
        return;
    }
    if (self->line_len > 0 && self->line[self->line_len - 1] == '\r')
        self->line_len--;
    self->line[self->line_len] = '\0';
    self->line_len = 0;
    take_line(self);
}

static void fetch_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    fetch *self = stream->data;
    const program *owner = self->base.owner;

    EXPECT(owner, !self->leaving);
    self->progress_ns = gyre_loop_now_ns(owner->loop);
    for (int64_t i = 0; i < nread && !self->leaving; i++) {
        if (self->asked_count == 0) {
            /* The server may say that it waited long enough: 408, and closes. */
            EXPECT(owner, !self->calm);
            fetch_leave(self);
            return;
        }
        take_byte(self, buf->base[i]);
    }
    if (nread < 0) {
        EXPECT(owner, !self->calm || (self->asked_count == 0 && nread == GYRE_EOF));
        fetch_leave(self);
    }
    if (!self->leaving)
        fetch_ask(self);
}

static void fetch_tick(gyre_timer *timer)
{
    fetch *self = timer->data;
    const program *owner = self->base.owner;

    if (!self->connected)
        return;
    if (gyre_loop_now_ns(owner->loop) - self->progress_ns > answer_max_ns ||
        (!owner->swarm->healed && one_in(owner, 100))) {
        EXPECT(owner, !self->calm);
        fetch_leave(self);
    }
}

static void fetch_connected(gyre_connect_req *req, int status)
{
    fetch *self = req->data;

    object_paid(&self->base);
    if (self->leaving)
        return;
    if (status != 0 || gyre_read_start(&self->tcp.stream, fetch_read) != 0) {
        EXPECT(self->base.owner, !self->calm);
        fetch_leave(self);
        return;
    }
    self->connected = true;
    self->progress_ns = gyre_loop_now_ns(self->base.owner->loop);
    fetch_ask(self);
}

static void fetch_start(program *owner)
{
    fetch *self = object_new(owner, sizeof(*self));
    gyre_address address;

    if (gyre_timer_init(owner->loop, &self->timer) != 0) {
        object_free(&self->base);
        return;
    }
    object_opened(&self->base);
    self->timer.data = self;
    if (gyre_tcp_init(owner->loop, &self->tcp) != 0) {
        gyre_close(&self->timer.handle, on_closed);
        return;
    }
    object_opened(&self->base);
    owner->busy++;
    self->calm = owner->swarm->calm;
    self->tcp.data = self;
    self->connect.data = self;
    self->left = 1 + (uint32_t)draw(owner, 20);
    host_address(owner, 0, PORT, &address);
    if (gyre_tcp_connect(&self->tcp, &self->connect, &address, answer_max_ns, fetch_connected) !=
        0) {
        fetch_leave(self);
        return;
    }
    object_owes(&self->base);
    gyre_timer_start(&self->timer, 10 * GYRE_MILLISECOND, 50 * GYRE_MILLISECOND, fetch_tick);
}

/* ---- programs ---- */

typedef struct browser {
    object base;
    gyre_timer pacer;
} browser;

static void on_pace(gyre_timer *pacer)
{
    const browser *self = pacer->data;
    program *owner = self->base.owner;

    if (owner->quitting || owner->busy >= FETCHES_MAX ||
        (owner->swarm->healed ? owner->done >= owner->wanted : !one_in(owner, 40)))
        return;
    fetch_start(owner);
}

static int boot_browser(program *owner)
{
    browser *self = object_new(owner, sizeof(*self));
    const int error = gyre_timer_init(owner->loop, &self->pacer);

    owner->state = self;
    if (error != 0)
        return error;
    object_opened(&self->base);
    self->pacer.data = self;
    gyre_timer_start(&self->pacer, 0, 50 * GYRE_MILLISECOND, on_pace);
    return 0;
}

static void quit_browser(program *owner)
{
    close_once(&((browser *)owner->state)->pacer.handle);
}

static const role site_role = {.boot = boot_site, .quit = quit_site, .always_quits = true};
static const role browser_role = {.boot = boot_browser, .quit = quit_browser};

static void build(swarm *self)
{
    const uint64_t clients = swarm_clients(self, 3);

    swarm_add(self, "site", &site_role, 0);
    for (uint64_t i = 0; i < clients; i++)
        swarm_add(self, "browser", &browser_role, 20);
}

const scenario scenario_http = {.name = "http", .build = build};

#endif
