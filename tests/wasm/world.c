/*
 * An echo server and a client on a faulty network, for some seeds: prints each run's trace hash.
 * The same source is built for this machine and for WebAssembly, and must print the same.
 */
#include <gyre.h>
#include <stdio.h>
#include <string.h>

enum { PORT = 7, BYTES = 100000, SEEDS = 20 };

typedef struct client {
    gyre_tcp tcp;
    gyre_connect_req connect;
    gyre_sim_host *server;
    char bytes[BYTES];
    size_t received;
} client;

typedef struct server {
    gyre_tcp listener;
    gyre_tcp connection;
} server;

static server echo;
static client caller;

static void echo_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    if (nread < 0 || gyre_write_copy(stream, buf->base, (size_t)nread) < 0)
        gyre_stream_finish(stream, NULL);
}

static void echo_accept(gyre_stream *listener, int status)
{
    if (status == 0 && gyre_accept(listener, &echo.connection.stream) == 0) {
        (void)gyre_read_start(&echo.connection.stream, echo_read);
        gyre_close(&listener->handle, NULL);
    }
}

static int boot_echo(gyre_sim_host *host, gyre_loop *loop, void *ctx)
{
    gyre_address address;
    int error;

    (void)ctx;
    gyre_sim_host_address(host, PORT, &address);
    error = gyre_tcp_init(loop, &echo.listener);
    if (error == 0)
        error = gyre_tcp_bind(&echo.listener, &address, 0);
    return error == 0 ? gyre_listen(&echo.listener.stream, 0, echo_accept) : error;
}

static void caller_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    if (nread > 0 && memcmp(caller.bytes + caller.received, buf->base, (size_t)nread) == 0)
        caller.received += (size_t)nread;
    if (nread < 0 || caller.received == BYTES)
        gyre_close(&stream->handle, NULL);
}

static void caller_connected(gyre_connect_req *req, int status)
{
    if (status < 0 || gyre_write_copy(req->stream, caller.bytes, BYTES) < 0 ||
        gyre_read_start(req->stream, caller_read) < 0)
        gyre_close(&req->stream->handle, NULL);
}

static int boot_caller(gyre_sim_host *host, gyre_loop *loop, void *ctx)
{
    gyre_address address;
    int error;

    (void)host;
    (void)ctx;
    caller.received = 0;
    for (size_t i = 0; i < BYTES; i++)
        caller.bytes[i] = (char)(i * 31 >> 3);
    gyre_sim_host_address(caller.server, PORT, &address);
    error = gyre_tcp_init(loop, &caller.tcp);
    return error == 0
               ? gyre_tcp_connect(&caller.tcp, &caller.connect, &address, 0, caller_connected)
               : error;
}

static int run(uint64_t seed)
{
    const gyre_sim_options options = {.size = sizeof(options), .seed = seed};
    gyre_sim_host *host;
    gyre_sim *sim;

    if (gyre_sim_init(&sim, &options) != 0 ||
        gyre_sim_host_init(sim, &caller.server, "echo", boot_echo, NULL, NULL) != 0 ||
        gyre_sim_host_init(sim, &host, "caller", boot_caller, NULL, NULL) != 0)
        return 1;
    gyre_sim_set_fault(sim, GYRE_SIM_LATENCY, 50000);
    gyre_sim_set_fault(sim, GYRE_SIM_SHORT_READ, 200000);
    gyre_sim_set_fault(sim, GYRE_SIM_SHORT_WRITE, 200000);
    gyre_sim_set_fault(sim, GYRE_SIM_LOSS, 20000);
    (void)gyre_sim_run(sim, 60 * GYRE_SECOND);
    printf("seed %d: %d bytes, %d events, hash %016llx\n", (int)seed, (int)caller.received,
           (int)gyre_sim_events(sim), (unsigned long long)gyre_sim_hash(sim));
    gyre_sim_close(sim);
    return 0;
}

int main(void)
{
    int failed = 0;

    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        failed |= run(seed);
    return failed;
}
