/*
 * How far one loop goes: so many connections on a simulated server, of which a few speak at a time.
 *
 *     connections [CONNECTIONS [MESSAGES]]     1,000,000 and 100,000
 *
 * Prints the time and the library's memory for each connection, and events a second: an event is a
 * message that the server reads and answers. bench/simulated/run counts the instructions, too, for
 * what runs below `measured`. Clients are spread over the other hosts of the world.
 */
#include <gyre.h>
#include <gyre/sim.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PORT = 7000, HOSTS = 60, BYTES = 64, SPEAKING = 1000 };

typedef struct client {
    gyre_tcp tcp;
    gyre_connect_req connecting;
} client;

static gyre_sim *sim;
static gyre_sim_host *server;
static gyre_sim_host *client_hosts[HOSTS];
static gyre_tcp listener;
static client *clients;
static uint64_t connections = 1000000;
static uint64_t messages = 100000;
static uint64_t connected;
static uint64_t accepted;
static uint64_t answered;
static uint64_t heard; /* bytes */

static void check(int error)
{
    if (error < 0) {
        fprintf(stderr, "connections: %s\n", gyre_strerror(error));
        exit(1);
    }
}

static void on_closed(gyre_handle *handle)
{
    free(handle);
}

static void on_question(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    if (nread < 0) {
        gyre_close(&stream->handle, on_closed);
        return;
    }
    heard += buf->len;
    check(gyre_write_copy(stream, buf->base, buf->len));
}

static void on_connection(gyre_stream *stream, int status)
{
    gyre_tcp *peer = calloc(1, sizeof(*peer));

    check(status);
    if (peer == NULL)
        abort();
    check(gyre_accept(stream, &peer->stream));
    check(gyre_read_start(&peer->stream, on_question));
    accepted++;
}

static int boot_server(gyre_sim_host *host, gyre_loop *loop, void *ctx)
{
    gyre_address address;

    (void)ctx;
    gyre_sim_host_address(host, PORT, &address);
    check(gyre_tcp_init(loop, &listener));
    check(gyre_tcp_bind(&listener, &address, 0));
    return gyre_listen(&listener.stream, 0, on_connection);
}

static void on_answer(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)stream;
    (void)buf;
    if (nread > 0)
        answered++;
}

static void on_connected(gyre_connect_req *req, int status)
{
    client *self = GYRE_CONTAINER_OF(req, client, connecting);

    check(status);
    check(gyre_read_start(&self->tcp.stream, on_answer));
    connected++;
}

static int boot_client(gyre_sim_host *host, gyre_loop *loop, void *ctx)
{
    (void)host;
    (void)loop;
    (void)ctx;
    return 0;
}

/* Client i lives on host i % HOSTS. */
static void connect_one(uint64_t i)
{
    gyre_loop *loop = gyre_sim_host_loop(client_hosts[i % HOSTS]);
    gyre_address address;

    gyre_sim_host_address(server, PORT, &address);
    check(gyre_tcp_init(loop, &clients[i].tcp));
    check(gyre_tcp_connect(&clients[i].tcp, &clients[i].connecting, &address, 0, on_connected));
}

static void run_while(const uint64_t *count, uint64_t goal)
{
    while (*count < goal)
        check(gyre_sim_run_until(sim, gyre_sim_now_ns(sim) + 10 * GYRE_MILLISECOND));
}

static void connect_all(void)
{
    for (uint64_t i = 0; i < connections; i++) {
        connect_one(i);
        if (i % SPEAKING == SPEAKING - 1)
            run_while(&connected, i + 1);
    }
    run_while(&connected, connections);
    run_while(&accepted, connections);
}

/* Each time another few of them, far apart. */
__attribute__((noinline)) static void measured(void)
{
    static const char question[BYTES] = "?";
    uint64_t asked = 0;

    while (asked < messages) {
        for (int i = 0; i < SPEAKING && asked < messages; i++, asked++) {
            client *self = &clients[asked * UINT64_C(7919) % connections];

            check(gyre_write_copy(&self->tcp.stream, question, BYTES));
        }
        run_while(&heard, asked * BYTES);
    }
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void build(void)
{
    const gyre_sim_options options = {.size = sizeof(options),
                                      .seed = 1,
                                      .mode = GYRE_SIM_READINESS,
                                      .fds_max = (uint32_t)connections + 64,
                                      .buffer_bytes = 1024};

    check(gyre_sim_init(&sim, &options));
    check(gyre_sim_host_init(sim, &server, "server", boot_server, NULL, NULL));
    for (int i = 0; i < HOSTS; i++)
        check(gyre_sim_host_init(sim, &client_hosts[i], "clients", boot_client, NULL, NULL));
    clients = calloc(connections, sizeof(*clients));
    if (clients == NULL)
        abort();
    check(gyre_sim_run_until(sim, gyre_sim_now_ns(sim) + GYRE_MILLISECOND));
}

int main(int argc, char **argv)
{
    gyre_sim_usage usage;
    double begun;

    if (argc > 1)
        connections = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        messages = strtoull(argv[2], NULL, 10);
    build();
    begun = seconds();
    connect_all();
    gyre_sim_host_usage(server, &usage);
    printf("%llu connections on one loop: %.1f us of processor time each to set up both ends\n",
           (unsigned long long)connections, (seconds() - begun) * 1e6 / (double)connections);
    printf("%.0f bytes of the library's memory for each, beside its handle of %zu\n",
           (double)usage.bytes / (double)connections, sizeof(gyre_tcp));
    begun = seconds();
    measured();
    printf("%llu messages: %.0f a second of processor time, network and clients included\n",
           (unsigned long long)messages, (double)messages / (seconds() - begun));
    return 0;
}
