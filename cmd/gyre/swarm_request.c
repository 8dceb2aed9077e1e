/*
 * Requests: clients ask for bytes by number, several questions on a connection, within a deadline;
 * a server answers in order; a proxy stands between some of them. An answer must be to the oldest
 * question, and whole. Buffers that a client keeps must stay as they are.
 */
#include "swarm_request.h"

#include <string.h>

enum { CALLERS_MAX = 4 };

static const uint64_t answer_max_ns = 5 * GYRE_SECOND;

static void on_closed(gyre_handle *handle)
{
    object_closed(handle->data);
}

static void close_once(gyre_handle *handle)
{
    if (!gyre_is_closing(handle))
        gyre_close(handle, on_closed);
}

void pack(char *bytes, const head *value)
{
    memcpy(bytes, &value->id, sizeof(value->id));
    memcpy(bytes + sizeof(value->id), &value->len, sizeof(value->len));
}

head unpack(const char *bytes)
{
    head value;

    memcpy(&value.id, bytes, sizeof(value.id));
    memcpy(&value.len, bytes + sizeof(value.id), sizeof(value.len));
    return value;
}

/* ---- stations ---- */

int station_listen(program *owner, uint32_t host, gyre_listen_cb cb)
{
    station *self = object_new(owner, sizeof(*self));
    gyre_address address;
    int error = gyre_tcp_init(owner->loop, &self->listener);

    owner->state = self;
    if (error != 0)
        return error;
    object_opened(&self->base);
    self->listens = true;
    self->listener.data = self;
    host_address(owner, host, REQUEST_PORT, &address);
    error = gyre_tcp_bind(&self->listener, &address, 0);
    return error == 0 ? gyre_listen(&self->listener.stream, (int)draw(owner, 8), cb) : error;
}

void station_quit(program *owner)
{
    station *self = owner->state;

    if (self->listens)
        close_once(&self->listener.handle);
    if (self->paces)
        close_once(&self->pacer.handle);
}

/* ---- a client's connection ---- */

typedef struct caller {
    object base;
    gyre_tcp tcp;
    gyre_timer timer;
    gyre_connect_req connect;
    head asked[ASKED_MAX]; /* oldest first */
    uint64_t asked_ns[ASKED_MAX];
    uint32_t asked_count;
    uint32_t left; /* questions to ask yet */
    uint32_t at;   /* in the answer under way, its head counted */
    char head_bytes[HEAD];
    gyre_buf kept; /* bytes of an answer, and what they were */
    uint64_t kept_sum;
    bool calm; /* began when nothing may fail any more */
    bool connected;
    bool leaving;
} caller;

#define FAIL_IF_CALM(caller) EXPECT((caller)->base.owner, !(caller)->calm)

static uint64_t sum_of(const gyre_buf *buf)
{
    uint64_t sum = buf->len;

    for (size_t i = 0; i < buf->len; i++)
        sum = sum * 31 + (unsigned char)buf->base[i];
    return sum;
}

static void give_back(caller *self)
{
    if (self->kept.base == NULL)
        return;
    EXPECT(self->base.owner, sum_of(&self->kept) == self->kept_sum);
    gyre_buf_release(self->base.owner->loop, self->kept.base);
    self->kept.base = NULL;
}

static void caller_leave(caller *self)
{
    if (self->leaving)
        return;
    self->leaving = true;
    self->base.owner->busy--;
    give_back(self);
    close_once(&self->timer.handle);
    close_once(&self->tcp.handle);
}

static void ask(caller *self)
{
    const program *owner = self->base.owner;

    while (self->connected && self->asked_count < ASKED_MAX && self->left > 0) {
        const uint64_t id = draw(owner, UINT64_MAX);
        const uint64_t len_max = one_in(owner, 8) ? BODY_MAX : 500;
        const head question = {.id = id, .len = (uint32_t)draw(owner, len_max)};
        char bytes[HEAD];

        pack(bytes, &question);
        if (gyre_write_copy(&self->tcp.stream, bytes, HEAD) != 0) {
            caller_leave(self);
            return;
        }
        self->asked[self->asked_count] = question;
        self->asked_ns[self->asked_count] = gyre_loop_now_ns(owner->loop);
        self->asked_count++;
        self->left--;
    }
    if (self->left == 0 && self->asked_count == 0)
        caller_leave(self);
}

static void answered(caller *self)
{
    self->at = 0;
    self->asked_count--;
    for (uint32_t i = 0; i < self->asked_count; i++) {
        self->asked[i] = self->asked[i + 1];
        self->asked_ns[i] = self->asked_ns[i + 1];
    }
    self->base.owner->done++;
}

/* Takes what belongs to the oldest answer; says how much it was. */
static size_t take(caller *self, const char *bytes, size_t len)
{
    const program *owner = self->base.owner;
    const head *question = &self->asked[0];
    size_t used = 0;

    for (; used < len && self->at < HEAD; used++)
        self->head_bytes[self->at++] = bytes[used];
    if (self->at < HEAD)
        return used;
    EXPECT(owner, unpack(self->head_bytes).id == question->id);
    EXPECT(owner, unpack(self->head_bytes).len == question->len);
    for (; used < len && self->at < HEAD + question->len; used++) {
        if (bytes[used] != pattern(question->id, self->at - HEAD))
            FLAW(owner, "a byte of an answer is another");
        self->at++;
    }
    if (self->at == HEAD + question->len)
        answered(self);
    return used;
}

static void caller_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    caller *self = stream->data;
    const program *owner = self->base.owner;

    EXPECT(owner, !self->leaving);
    if (nread < 0) {
        FAIL_IF_CALM(self);
        caller_leave(self);
        return;
    }
    for (size_t at = 0; at < buf->len;) {
        if (self->asked_count == 0) {
            FLAW(owner, "an answer to no question");
            caller_leave(self);
            return;
        }
        at += take(self, buf->base + at, buf->len - at);
    }
    if (self->kept.base == NULL && one_in(owner, 8) && gyre_buf_keep(stream, buf) == 0) {
        self->kept = *buf;
        self->kept_sum = sum_of(buf);
    }
    ask(self);
}

static void caller_tick(gyre_timer *timer)
{
    caller *self = timer->data;
    const program *owner = self->base.owner;
    const uint64_t now_ns = gyre_loop_now_ns(owner->loop);

    give_back(self);
    if (!self->connected)
        return;
    if ((self->asked_count > 0 && now_ns - self->asked_ns[0] > answer_max_ns) ||
        (!owner->swarm->healed && one_in(owner, 100))) {
        FAIL_IF_CALM(self);
        caller_leave(self);
    }
}

static void caller_connected(gyre_connect_req *req, int status)
{
    caller *self = req->data;

    object_paid(&self->base);
    if (self->leaving)
        return;
    if (status != 0 || gyre_read_start(&self->tcp.stream, caller_read) != 0) {
        FAIL_IF_CALM(self);
        caller_leave(self);
        return;
    }
    self->connected = true;
    ask(self);
}

static const role far_client;

static void call(program *owner)
{
    caller *self = object_new(owner, sizeof(*self));
    gyre_address address;
    uint32_t host;

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
    host = (uint32_t)draw(owner, 2) + (owner->role == &far_client);
    host_address(owner, host, REQUEST_PORT, &address);
    if (gyre_tcp_connect(&self->tcp, &self->connect, &address, answer_max_ns, caller_connected) !=
        0) {
        caller_leave(self);
        return;
    }
    object_owes(&self->base);
    gyre_timer_start(&self->timer, 10 * GYRE_MILLISECOND, 50 * GYRE_MILLISECOND, caller_tick);
}

/* ---- programs ---- */

static void on_pace(gyre_timer *pacer)
{
    const station *self = pacer->data;
    program *owner = self->base.owner;

    if (owner->quitting || owner->busy >= CALLERS_MAX ||
        (owner->swarm->healed ? owner->done >= owner->wanted : !one_in(owner, 40)))
        return;
    call(owner);
}

static int boot_client(program *owner)
{
    station *self = object_new(owner, sizeof(*self));
    const int error = gyre_timer_init(owner->loop, &self->pacer);

    owner->state = self;
    if (error != 0)
        return error;
    object_opened(&self->base);
    self->paces = true;
    self->pacer.data = self;
    gyre_timer_start(&self->pacer, 0, 50 * GYRE_MILLISECOND, on_pace);
    return 0;
}

static const role client = {.boot = boot_client, .quit = station_quit};
/* The same, behind a chain of two proxies, of which it asks the one or the other. */
static const role far_client = {.boot = boot_client, .quit = station_quit};

static void build(swarm *self)
{
    const uint64_t clients = swarm_clients(self, 3);

    swarm_add(self, "server", &request_server, 0);
    swarm_add(self, "proxy", &request_proxy, 0);
    for (uint64_t i = 0; i < clients; i++)
        swarm_add(self, "client", &client, 20);
}

static void build_chain(swarm *self)
{
    const uint64_t clients = swarm_clients(self, 3);

    swarm_add(self, "server", &request_server, 0);
    swarm_add(self, "proxy", &request_proxy, 0);
    swarm_add(self, "proxy", &request_proxy, 0);
    for (uint64_t i = 0; i < clients; i++)
        swarm_add(self, "client", &far_client, 20);
}

const scenario scenario_proxy = {.name = "proxy", .build = build_chain};
const scenario scenario_request = {.name = "request", .build = build};
