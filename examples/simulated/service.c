/* The service. Built with -DSERVICE_FIXED it is right; without, it has the bug of the tutorial. */
#include "service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 1000 };

/* The server answers after so long; the client says that it has nothing to add after so long. */
static const uint64_t think_ns = 5 * GYRE_MILLISECOND;
static const uint64_t pause_ns = 8 * GYRE_MILLISECOND;

/* ---- server ---- */

typedef struct session {
    gyre_tcp tcp;
    gyre_timer thinking;
    int64_t len;
    int open_handles;
} session;

static void session_closed(gyre_handle *handle)
{
    session *self = handle->data;

    if (--self->open_handles == 0)
        free(self);
}

static void session_end(session *self)
{
    if (gyre_is_closing(&self->tcp.handle))
        return;
    gyre_close(&self->thinking.handle, session_closed);
    gyre_stream_finish(&self->tcp.stream, session_closed);
}

static void session_answer(gyre_timer *timer)
{
    session *self = timer->data;
    char text[32];
    const int len = snprintf(text, sizeof(text), "%lld\n", (long long)self->len);

    (void)gyre_write_copy(&self->tcp.stream, text, (size_t)len);
    session_end(self);
}

#ifdef SERVICE_FIXED
/* The client has said all it will: that is no reason not to answer. */
static void session_heard_all(session *self)
{
    (void)self;
}
#else
/* The client is gone. (Is it? It has only finished speaking.) */
static void session_heard_all(session *self)
{
    session_end(self);
}
#endif

static void session_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    session *self = stream->data;
    const char *end = nread > 0 ? memchr(buf->base, '\n', (size_t)nread) : NULL;

    if (nread == GYRE_EOF) {
        session_heard_all(self);
    } else if (nread < 0) {
        session_end(self);
    } else if (end == NULL) {
        self->len += nread;
    } else {
        self->len += end - buf->base;
        gyre_timer_start(&self->thinking, think_ns, 0, session_answer);
    }
}

static void service_accept(gyre_stream *listener, int status)
{
    session *self = status == 0 ? calloc(1, sizeof(*self)) : NULL;

    if (self == NULL)
        return;
    if (gyre_accept(listener, &self->tcp.stream) != 0) {
        free(self);
        return;
    }
    self->tcp.data = self;
    self->open_handles = 1;
    if (gyre_timer_init(listener->handle.loop, &self->thinking) != 0) {
        gyre_close(&self->tcp.handle, session_closed);
        return;
    }
    self->thinking.data = self;
    self->open_handles = 2;
    if (gyre_read_start(&self->tcp.stream, session_read) != 0)
        session_end(self);
}

int service_start(gyre_loop *loop, const gyre_address *address)
{
    static gyre_tcp listener;
    int error = gyre_tcp_init(loop, &listener);

    if (error == 0)
        error = gyre_tcp_bind(&listener, address, 0);
    return error == 0 ? gyre_listen(&listener.stream, 0, service_accept) : error;
}

/* ---- client ---- */

typedef struct question {
    gyre_tcp tcp;
    gyre_timer pause;
    int open_handles;
    gyre_connect_req connect;
    gyre_write_req end;
    char line[LINE_MAX_BYTES + 2];
    char answer[32];
    size_t answer_len;
    service_answer_cb cb;
    void *ctx;
} question;

static void question_closed(gyre_handle *handle)
{
    question *self = handle->data;

    if (--self->open_handles == 0)
        free(self);
}

static void question_over(question *self, int64_t answer)
{
    self->cb(self->ctx, answer);
    gyre_close(&self->pause.handle, question_closed);
    gyre_close(&self->tcp.handle, question_closed);
}

static void question_finish(gyre_timer *timer)
{
    question *self = timer->data;

    (void)gyre_shutdown(&self->tcp.stream, &self->end, NULL);
}

static void question_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    question *self = stream->data;

    if (nread < 0) {
        const int whole = self->answer_len > 0 && self->answer[self->answer_len - 1] == '\n';

        question_over(self, whole ? strtoll(self->answer, NULL, 10) : nread);
    } else if ((size_t)nread >= sizeof(self->answer) - self->answer_len) {
        question_over(self, GYRE_EPROTO);
    } else {
        memcpy(self->answer + self->answer_len, buf->base, (size_t)nread);
        self->answer_len += (size_t)nread;
    }
}

static void question_connected(gyre_connect_req *req, int status)
{
    question *self = req->data;
    int error = status;

    if (error == 0)
        error = gyre_write_copy(&self->tcp.stream, self->line, strlen(self->line));
    if (error == 0)
        error = gyre_read_start(&self->tcp.stream, question_read);
    if (error == 0)
        gyre_timer_start(&self->pause, pause_ns, 0, question_finish);
    else
        question_over(self, error);
}

int service_ask(gyre_loop *loop, const gyre_address *address, const char *line,
                service_answer_cb cb, void *ctx)
{
    question *self = calloc(1, sizeof(*self));
    int error;

    if (self == NULL)
        return GYRE_ENOMEM;
    (void)snprintf(self->line, sizeof(self->line), "%.*s\n", LINE_MAX_BYTES, line);
    self->cb = cb;
    self->ctx = ctx;
    error = gyre_timer_init(loop, &self->pause);
    if (error != 0) {
        free(self);
        return error;
    }
    self->pause.data = self;
    self->open_handles = 1;
    error = gyre_tcp_init(loop, &self->tcp);
    if (error == 0) {
        self->tcp.data = self;
        self->open_handles = 2;
        self->connect.data = self;
        error =
            gyre_tcp_connect(&self->tcp, &self->connect, address, GYRE_SECOND, question_connected);
        if (error != 0)
            gyre_close(&self->tcp.handle, question_closed);
    }
    if (error != 0)
        gyre_close(&self->pause.handle, question_closed);
    return error;
}
