/*
 * The server of the scenario "request": answers in order, at once, later, or after a job of its
 * pool. It stops reading while more questions wait than it likes.
 */
#include "swarm_request.h"

#include <string.h>

enum { HELD_MAX = 64 * HEAD };

static const uint64_t silence_max_ns = 15 * GYRE_SECOND;

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

typedef struct job job;

typedef struct guest {
    object base;
    gyre_tcp tcp;
    gyre_timer later;
    job *job;
    char held[HELD_MAX]; /* questions that wait */
    uint32_t held_bytes;
    bool busy; /* with the first of them */
    bool stopped;
    bool ended; /* the client asks no more */
    bool leaving;
} guest;

struct job {
    object base;
    gyre_work work;
    guest *of; /* NULL: it has left */
    uint32_t len;
    uint64_t id;
    bool ran;
    char bytes[];
};

static void guest_go_on(guest *self);

static void guest_leave(guest *self)
{
    if (self->leaving)
        return;
    self->leaving = true;
    if (self->job != NULL) {
        (void)gyre_work_cancel(&self->job->work);
        self->job->of = NULL;
    }
    close_once(&self->later.handle);
    close_once(&self->tcp.handle);
}

static void answer(guest *self, const char *bytes)
{
    const head question = unpack(self->held);
    char packed[HEAD];

    self->busy = false;
    self->held_bytes -= HEAD;
    memmove(self->held, self->held + HEAD, self->held_bytes);
    pack(packed, &question);
    if (gyre_write_copy(&self->tcp.stream, packed, HEAD) != 0 ||
        gyre_write_copy(&self->tcp.stream, bytes, question.len) != 0)
        guest_leave(self);
}

static void fill(char *bytes, const head *question)
{
    for (uint32_t i = 0; i < question->len; i++)
        bytes[i] = pattern(question->id, i);
}

static void answer_now(guest *self)
{
    const head question = unpack(self->held);
    char bytes[BODY_MAX];

    EXPECT(self->base.owner, question.len <= BODY_MAX);
    fill(bytes, &question);
    answer(self, bytes);
}

static void job_run(gyre_work *work)
{
    job *self = work->data;
    const head question = {.id = self->id, .len = self->len};

    EXPECT(self->base.owner, !self->ran);
    self->ran = true;
    fill(self->bytes, &question);
}

static void job_done(gyre_work *work, int status)
{
    job *self = work->data;
    guest *of = self->of;

    EXPECT(self->base.owner, (status == 0) == self->ran);
    object_paid(&self->base);
    if (of != NULL) {
        of->job = NULL;
        if (status == 0)
            answer(of, self->bytes);
        else
            guest_leave(of);
        guest_go_on(of);
    }
    object_free(&self->base);
}

static void start_job(guest *self, const head *question)
{
    job *one = object_new(self->base.owner, (uint32_t)(sizeof(*one) + question->len));

    one->id = question->id;
    one->len = question->len;
    one->work.data = one;
    one->of = self;
    if (gyre_work_submit(self->base.owner->loop, &one->work, NULL, job_run, job_done) != 0) {
        object_free(&one->base);
        guest_leave(self);
        return;
    }
    object_owes(&one->base);
    self->job = one;
    self->busy = true;
}

static void answer_later(gyre_timer *timer)
{
    guest *self = timer->data;

    answer_now(self);
    guest_go_on(self);
}

static void guest_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf);

static void guest_go_on(guest *self)
{
    const program *owner = self->base.owner;

    while (!self->leaving && !self->busy && self->held_bytes >= HEAD) {
        const head question = unpack(self->held);

        switch (draw(owner, 4)) {
        case 0:
            self->busy = true;
            gyre_timer_start(&self->later, draw(owner, 30 * GYRE_MILLISECOND), 0, answer_later);
            break;
        case 1: start_job(self, &question); break;
        default: answer_now(self); break;
        }
    }
    if (self->leaving || gyre_is_closing(&self->tcp.handle))
        return;
    if (self->stopped && self->held_bytes < HELD_MAX / 2) {
        self->stopped = false;
        if (gyre_read_start(&self->tcp.stream, guest_read) != 0)
            guest_leave(self);
    } else if (self->ended && !self->busy && self->held_bytes < HEAD) {
        self->leaving = true;
        close_once(&self->later.handle);
        gyre_stream_finish(&self->tcp.stream, on_closed);
    }
}

static void guest_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    guest *self = stream->data;

    EXPECT(self->base.owner, !self->leaving && !self->stopped && !self->ended);
    if (nread < 0 && nread != GYRE_EOF) {
        guest_leave(self);
        return;
    }
    if (nread == GYRE_EOF) {
        self->ended = true;
    } else {
        if ((uint64_t)nread > HELD_MAX - self->held_bytes) {
            FLAW(self->base.owner, "more questions than were allowed");
            guest_leave(self);
            return;
        }
        memcpy(self->held + self->held_bytes, buf->base, (size_t)nread);
        self->held_bytes += (uint32_t)nread;
        if (self->held_bytes > HELD_MAX / 4 || one_in(self->base.owner, 10)) {
            self->stopped = true;
            gyre_read_stop(stream);
        }
    }
    guest_go_on(self);
}

static void on_guest(gyre_stream *listener, int status)
{
    station *of = listener->data;
    guest *self;

    if (status != 0)
        return;
    self = object_new(of->base.owner, sizeof(*self));
    if (gyre_timer_init(of->base.owner->loop, &self->later) != 0) {
        object_free(&self->base);
        return;
    }
    object_opened(&self->base);
    self->later.data = self;
    if (gyre_accept(listener, &self->tcp.stream) != 0) {
        gyre_close(&self->later.handle, on_closed);
        return;
    }
    object_opened(&self->base);
    self->tcp.data = self;
    if (gyre_stream_set_deadlines(&self->tcp.stream, silence_max_ns, silence_max_ns) != 0 ||
        gyre_read_start(&self->tcp.stream, guest_read) != 0)
        guest_leave(self);
}

static int boot_server(program *owner)
{
    return station_listen(owner, 0, on_guest);
}

const role request_server = {.boot = boot_server, .quit = station_quit};
