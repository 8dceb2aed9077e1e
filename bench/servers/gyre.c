/* Gyre exactly as the README's echo server writes it, and the same over a unix socket. Nothing is
 * tuned; the backend is that of GYRE_BACKEND, or what the library picks. */
#include "../common/listener.h"

#include <gyre.h>
#include <errno.h>
#include <stdlib.h>

#include "../common/util.h"

static void on_close(gyre_handle *handle)
{
    free(handle);
}

static void on_read(gyre_stream *client, int64_t nread, const gyre_buf *buf)
{
    if (nread < 0 || gyre_write_copy(client, buf->base, (size_t)nread) < 0) {
        gyre_stream_finish(client, on_close);
    }
}

static void on_connection(gyre_stream *server, int status)
{
    gyre_stream *client = status == 0 ? malloc(sizeof(gyre_tcp)) : NULL;
    if (client != NULL && gyre_accept(server, client) == 0) {
        gyre_read_start(client, on_read);
    } else {
        free(client);
    }
}

_Static_assert(sizeof(gyre_tcp) == sizeof(gyre_pipe), "one allocation serves both");

static int open_tcp(gyre_loop *loop, gyre_tcp *server)
{
    gyre_address any_port;
    int error = gyre_tcp_init(loop, server);
    if (error == 0) {
        error = gyre_address_ip(&any_port, "127.0.0.1", 0);
    }
    if (error == 0) {
        error = gyre_tcp_bind(server, &any_port, 0);
    }
    return error;
}

static int open_unix(gyre_loop *loop, gyre_pipe *server, const char *path)
{
    int error = gyre_pipe_init(loop, server);
    return error == 0 ? gyre_pipe_bind(server, path) : error;
}

int main(int argc, char **argv)
{
    struct bench_listener listener = bench_listener_parse(argc, argv);
    gyre_loop *loop;
    union {
        gyre_stream stream;
        gyre_tcp tcp;
        gyre_pipe pipe;
    } server;
    gyre_address here;
    int port = 0;
    int error = gyre_loop_init(&loop, NULL);
    if (error == 0) {
        error = listener.is_unix ? open_unix(loop, &server.pipe, listener.path)
                                 : open_tcp(loop, &server.tcp);
    }
    if (error == 0) {
        error = gyre_listen(&server.stream, 0, on_connection);
    }
    if (error == 0 && !listener.is_unix) {
        error = gyre_stream_local_address(&server.stream, &here);
        port = gyre_address_port(&here);
    }
    if (error < 0) {
        errno = 0;
        bench_die(gyre_strerror(error));
    }
    bench_listener_announce(&listener, port);
    return gyre_loop_run(loop, GYRE_RUN_DEFAULT) < 0;
}
