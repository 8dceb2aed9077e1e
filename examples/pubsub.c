/*
 * Publish and subscribe over TCP, one command a line: SUB TOPIC, UNSUB TOPIC, PUB TOPIC TEXT.
 * Who has subscribed gets "MSG TOPIC TEXT"; PUB is answered with "OK N", to how many it went.
 * A subscriber that does not read is cut off when its byte budget is spent: it neither holds up the
 * others nor grows the server. usage: pubsub [PORT [BYTES]]; prints the port.
 */
#include <gyre.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 4096, TOPICS_MAX = 8, TOPIC_BYTES = 32, BUDGET = 256 * 1024 };

typedef struct client {
    gyre_tcp tcp;
    gyre_link link;
    char topics[TOPICS_MAX][TOPIC_BYTES]; /* "": none */
    char line[LINE_MAX_BYTES + 1];
    size_t len;
} client;

static gyre_loop *loop;
static gyre_tcp listener;
static gyre_signal quit;
static gyre_link clients = {&clients, &clients};
static uint32_t budget = BUDGET;

static client *client_at(gyre_link *link)
{
    return (client *)(void *)((char *)link - offsetof(client, link));
}

static void on_close(gyre_handle *handle)
{
    free(handle->data);
}

static void drop(client *self)
{
    if (gyre_is_closing(&self->tcp.handle))
        return;
    self->link.prev->next = self->link.next;
    self->link.next->prev = self->link.prev;
    gyre_close(&self->tcp.handle, on_close);
}

static void say(client *self, const char *text, size_t len)
{
    /* GYRE_ENOBUFS: the budget is spent. Whatever it is, this one cannot go on. */
    if (gyre_write_copy(&self->tcp.stream, text, len) != 0)
        drop(self);
}

/* The place of a topic, "" for a free one; NULL if there is none. */
static char *find(client *self, const char *topic)
{
    for (int i = 0; i < TOPICS_MAX; i++) {
        if (strcmp(self->topics[i], topic) == 0)
            return self->topics[i];
    }
    return NULL;
}

static uint32_t publish(const char *topic, const char *text)
{
    char message[LINE_MAX_BYTES + 8];
    const int len = snprintf(message, sizeof(message), "MSG %s %s\n", topic, text);
    gyre_link *link = clients.next;
    uint32_t count = 0;

    while (link != &clients) {
        client *one = client_at(link);

        link = link->next; /* it may be dropped */
        if (find(one, topic) == NULL)
            continue;
        say(one, message, (size_t)len);
        count += !gyre_is_closing(&one->tcp.handle);
    }
    return count;
}

static void on_line(client *self, char *line)
{
    char reply[32] = "OK\n";
    char *rest = NULL;
    const char *verb = strtok_r(line, " ", &rest);
    const char *topic = strtok_r(NULL, " ", &rest);
    char *place;

    if (topic == NULL || strlen(topic) >= TOPIC_BYTES) {
        (void)snprintf(reply, sizeof(reply), "ERR what?\n");
    } else if (strcmp(verb, "PUB") == 0) {
        (void)snprintf(reply, sizeof(reply), "OK %u\n", publish(topic, rest));
    } else if (strcmp(verb, "SUB") == 0) {
        place = find(self, topic) != NULL ? find(self, topic) : find(self, "");
        if (place != NULL)
            (void)snprintf(place, TOPIC_BYTES, "%s", topic);
        else
            (void)snprintf(reply, sizeof(reply), "ERR too many topics\n");
    } else if (strcmp(verb, "UNSUB") == 0) {
        place = find(self, topic);
        if (place != NULL)
            place[0] = '\0';
    } else {
        (void)snprintf(reply, sizeof(reply), "ERR what?\n");
    }
    if (!gyre_is_closing(&self->tcp.handle))
        say(self, reply, strlen(reply));
}

static void on_byte(client *self, char byte)
{
    if (byte != '\n') {
        if (self->len < LINE_MAX_BYTES)
            self->line[self->len++] = byte;
        else
            drop(self);
        return;
    }
    if (self->len > 0 && self->line[self->len - 1] == '\r')
        self->len--;
    self->line[self->len] = '\0';
    self->len = 0;
    on_line(self, self->line);
}

static void on_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    client *self = stream->data;

    if (nread < 0)
        drop(self);
    for (int64_t i = 0; i < nread && !gyre_is_closing(&stream->handle); i++)
        on_byte(self, ((const char *)buf->base)[i]);
}

static void on_connection(gyre_stream *stream, int status)
{
    client *self = status == 0 ? calloc(1, sizeof(*self)) : NULL;

    if (self == NULL)
        return;
    if (gyre_accept(stream, &self->tcp.stream) != 0) {
        free(self);
        return;
    }
    self->tcp.data = self;
    self->link = (gyre_link){.prev = clients.prev, .next = &clients};
    clients.prev->next = &self->link;
    clients.prev = &self->link;
    if (gyre_stream_set_budget(&self->tcp.stream, budget / 2, budget, budget, NULL) != 0 ||
        gyre_read_start(&self->tcp.stream, on_read) != 0)
        drop(self);
}

static void on_quit(gyre_signal *signal, int signum)
{
    (void)signum;
    gyre_close(&signal->handle, NULL);
    gyre_close(&listener.handle, NULL);
    while (clients.next != &clients)
        drop(client_at(clients.next));
}

static int start(uint16_t port)
{
    gyre_address address;
    int error = gyre_address_ip(&address, "127.0.0.1", port);

    if (error == 0)
        error = gyre_tcp_init(loop, &listener);
    if (error == 0)
        error = gyre_tcp_bind(&listener, &address, 0);
    if (error == 0)
        error = gyre_listen(&listener.stream, 0, on_connection);
    if (error == 0)
        error = gyre_signal_init(loop, &quit);
    if (error == 0)
        error = gyre_signal_start(&quit, SIGTERM, on_quit);
    if (error == 0)
        error = gyre_stream_local_address(&listener.stream, &address);
    printf("%u\n", (unsigned)gyre_address_port(&address));
    (void)fflush(stdout);
    return error;
}

int main(int argc, char **argv)
{
    int error = gyre_loop_init(&loop, NULL);

    budget = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : budget;
    if (error == 0)
        error = start(argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 0);
    if (error != 0) {
        (void)fprintf(stderr, "pubsub: %s\n", gyre_strerror(error));
        return 1;
    }
    (void)gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    (void)gyre_loop_shutdown(loop, GYRE_SECOND);
    return 0;
}
