/*
 * Asks the Fibonacci server: many connections, requests at a fixed rate whatever the answers do
 * (an open loop: a frozen server does not slow its clients), and one more connection that asks for
 * a Fibonacci number again and again. Latencies count from the moment at which a request was due.
 * usage: fibonacci_load PORT CONNECTIONS SECONDS RATE [TARGET]; RATE 0: each connection asks again
 * as soon as it was answered. Prints: RATE P50 P99 MAX FIBONACCIS, the latencies in microseconds.
 */
#include <gyre.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MAX = 1024, SAMPLES_MAX = 4 << 20 };

static const uint64_t tick_ns = 200 * GYRE_MICROSECOND;
static const uint64_t warm_up_ns = GYRE_SECOND;

typedef struct client {
    gyre_tcp tcp;
    gyre_connect_req connect;
    struct client *next; /* of those that wait for something to ask */
    const char *target;
    uint64_t due_ns; /* of what was asked; 0: nothing */
    size_t len;
    char answer[ANSWER_MAX + 1];
} client;

static gyre_loop *loop;
static gyre_address address;
static gyre_timer ticker;
static client *clients;
static uint32_t count;
static uint32_t connected;
static client *idle_first;
static client *idle_last;
static uint64_t interval_ns; /* 0: closed loop */
static uint64_t next_ns;     /* when the next request is due */
static uint64_t begin_ns;
static uint64_t end_ns;
static uint64_t *samples;
static size_t sample_count;
static uint32_t fibonaccis;

static void fail(const char *what, int error)
{
    (void)fprintf(stderr, "fibonacci_load: %s: %s\n", what, gyre_strerror(error));
    exit(1);
}

static uint64_t now(void)
{
    gyre_loop_update_now(loop);
    return gyre_loop_now_ns(loop);
}

static int is_fibonacci(const client *self)
{
    return self == &clients[count];
}

static void ask(client *self, uint64_t due_ns)
{
    char text[128];
    const int len =
        snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", self->target);

    self->due_ns = due_ns;
    self->len = 0;
    if (gyre_write_copy(&self->tcp.stream, text, (size_t)len) != 0)
        fail("write", GYRE_EPIPE);
}

static void rest(client *self)
{
    self->next = NULL;
    if (idle_first == NULL)
        idle_first = self;
    else
        idle_last->next = self;
    idle_last = self;
}

static void note(uint64_t at_ns, uint64_t due_ns)
{
    if (due_ns >= begin_ns && due_ns < end_ns && sample_count < SAMPLES_MAX)
        samples[sample_count++] = at_ns - due_ns;
}

static void answered(client *self)
{
    const uint64_t at_ns = now();

    if (is_fibonacci(self)) {
        fibonaccis += at_ns >= begin_ns;
        ask(self, at_ns);
        return;
    }
    note(at_ns, self->due_ns);
    self->due_ns = 0;
    if (interval_ns == 0)
        ask(self, at_ns);
    else
        rest(self);
}

/* Whether the whole answer is here. */
static int complete(client *self)
{
    const char *end = strstr(self->answer, "\r\n\r\n");
    const char *length = strstr(self->answer, "Content-Length: ");

    if (end == NULL || length == NULL)
        return 0;
    if (strncmp(self->answer, "HTTP/1.1 200", 12) != 0)
        fail("an answer is an error", GYRE_EPROTO);
    return self->len >= (size_t)(end + 4 - self->answer) + strtoul(length + 16, NULL, 10);
}

static void on_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    client *self = stream->data;

    if (nread < 0)
        fail("read", (int)nread);
    if ((size_t)nread > ANSWER_MAX - self->len)
        fail("an answer is too long", GYRE_EPROTO);
    memcpy(self->answer + self->len, buf->base, (size_t)nread);
    self->len += (size_t)nread;
    self->answer[self->len] = '\0';
    if (complete(self))
        answered(self);
}

/* ---- the rate ---- */

static void ask_what_is_due(uint64_t at_ns)
{
    while (idle_first != NULL && next_ns <= at_ns) {
        client *self = idle_first;

        idle_first = self->next;
        ask(self, next_ns);
        next_ns += interval_ns;
    }
}

static void on_tick(gyre_timer *timer)
{
    const uint64_t at_ns = now();

    (void)timer;
    if (interval_ns != 0 && at_ns < end_ns)
        ask_what_is_due(at_ns);
    if (at_ns < end_ns)
        return;
    /* What was never asked, or never answered, has waited until now at least. */
    for (uint32_t i = 0; i < count; i++)
        note(at_ns, clients[i].due_ns);
    for (; interval_ns != 0 && next_ns < end_ns; next_ns += interval_ns)
        note(at_ns, next_ns);
    gyre_loop_stop(loop);
}

static void all_connected(void)
{
    begin_ns = now() + warm_up_ns;
    end_ns += begin_ns;
    next_ns = now();
    for (uint32_t i = 0; i < count; i++) {
        if (interval_ns == 0)
            ask(&clients[i], next_ns);
        else
            rest(&clients[i]);
    }
    if (clients[count].target != NULL)
        ask(&clients[count], next_ns);
    gyre_timer_start(&ticker, tick_ns, tick_ns, on_tick);
}

static void connect_next(void);

static void on_connect(gyre_connect_req *req, int status)
{
    client *self = req->data;

    if (status != 0)
        fail("connect", status);
    if (gyre_read_start(&self->tcp.stream, on_read) != 0)
        fail("read", GYRE_ENOTCONN);
    if (++connected <= count)
        connect_next();
    else
        all_connected();
}

static void connect_next(void)
{
    client *self = &clients[connected];
    int error = gyre_tcp_init(loop, &self->tcp);

    self->tcp.data = self;
    self->connect.data = self;
    if (error == 0)
        error = gyre_tcp_connect(&self->tcp, &self->connect, &address, 0, on_connect);
    if (error != 0)
        fail("connect", error);
}

/* ---- the result ---- */

static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void print(double seconds)
{
    const size_t last = sample_count > 0 ? sample_count - 1 : 0;
    const size_t half = last / 2;
    const size_t most = last / 100 * 99;

    qsort(samples, sample_count, sizeof(*samples), compare);
    printf("%.0f %.0f %.0f %.0f %u\n", (double)sample_count / seconds, (double)samples[half] / 1e3,
           (double)samples[most] / 1e3, (double)samples[last] / 1e3, fibonaccis);
}

int main(int argc, char **argv)
{
    double rate;
    int error;

    if (argc < 5 || argc > 6)
        return 2;
    count = (uint32_t)strtoul(argv[2], NULL, 10);
    rate = strtod(argv[4], NULL);
    interval_ns = rate > 0 ? (uint64_t)(1e9 / rate) : 0;
    end_ns = strtoul(argv[3], NULL, 10) * GYRE_SECOND;
    clients = calloc(count + 1, sizeof(*clients));
    samples = calloc(SAMPLES_MAX, sizeof(*samples));
    if (clients == NULL || samples == NULL)
        return 1;
    for (uint32_t i = 0; i < count; i++)
        clients[i].target = "/";
    clients[count].target = argc == 6 ? argv[5] : NULL;
    error = gyre_loop_init(&loop, NULL);
    if (error == 0)
        error = gyre_timer_init(loop, &ticker);
    if (error == 0)
        error = gyre_address_ip(&address, "127.0.0.1", (uint16_t)strtoul(argv[1], NULL, 10));
    if (error != 0)
        fail("begin", error);
    connect_next();
    (void)gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    print((double)(end_ns - begin_ns) / 1e9);
    (void)gyre_loop_shutdown(loop, GYRE_SECOND);
    free(samples);
    free(clients);
    return 0;
}
