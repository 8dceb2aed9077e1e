/* The README's echo server, a process for each processor. kill -HUP brings in new ones. */
#include <gyre.h>
#include <stdio.h>
#include <stdlib.h>

static gyre_tcp listeners[1024];
static uint32_t listening;

static void on_close(gyre_handle *handle)
{
    free(handle);
}

static void on_read(gyre_stream *client, int64_t nread, const gyre_buf *buf)
{
    if (nread < 0 || gyre_write_copy(client, buf->base, (size_t)nread) < 0)
        gyre_stream_finish(client, on_close);
}

static void on_connection(gyre_stream *server, int status)
{
    gyre_tcp *client = status == 0 ? malloc(sizeof(*client)) : NULL;
    if (client != NULL && gyre_accept(server, &client->stream) == 0)
        gyre_read_start(&client->stream, on_read);
    else
        free(client);
    if (status == GYRE_ECANCELED) /* stopped: nothing more comes */
        gyre_close(&server->handle, NULL);
}

static int setup(gyre_worker *worker, gyre_loop *loop, void *ctx)
{
    gyre_tcp *next = ctx;
    int error = 0;
    for (listening = 0; error == 0 && listening < gyre_worker_listener_count(worker); next++)
        if ((error = gyre_tcp_init(loop, next)) == 0 &&
            (error = gyre_tcp_open(next, gyre_worker_listener(worker, listening++, NULL))) == 0)
            error = gyre_listen(&next->stream, 0, on_connection);
    return error;
}

static void drain(gyre_worker *worker, gyre_worker_reason reason, uint64_t time_ns, void *ctx)
{
    (void)worker, (void)reason, (void)time_ns, (void)ctx;
    while (listening > 0)
        gyre_listen_stop(&listeners[--listening].stream);
}

int main(int argc, char **argv)
{
    gyre_address here;
    gyre_cluster_options cluster = {sizeof(cluster),  .addresses = &here, .address_count = 1,
                                    .ctx = listeners, .setup = setup,     .drain = drain};
    const long port = argc > 1 ? strtol(argv[1], NULL, 10) : 7000;
    int error = gyre_address_ip(&here, "127.0.0.1", (uint16_t)port);
    if (error == 0 && (error = gyre_cluster_run(&cluster)) < 0 && !gyre_cluster_is_worker())
        fprintf(stderr, "echo_cluster: %s\n", gyre_strerror(error));
    return error < 0;
}
