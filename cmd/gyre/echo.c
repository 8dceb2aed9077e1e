/*
 * gyre echo: sends back what arrives, on TCP or a unix socket.
 */
#include "command.h"
#include "threads.h"
#include "workers.h"

#include <stdio.h>
#include <stdlib.h>

static const char help[] = "usage: gyre echo [options]\n\n"
                           "Sends back what arrives.\n\n"
                           "options:\n" SERVER_OPTIONS_HELP("7000");

enum { QUEUE_LOW = 64 << 10, QUEUE_HIGH = 1 << 20 };

/* A connection, or the listener: TCP or unix. */
typedef struct endpoint {
    union {
        gyre_tcp tcp;
        gyre_pipe pipe;
        gyre_stream stream;
        gyre_handle handle;
    };
    bool ending;   /* what is queued is still sent, and then it closes */
    bool listener; /* of a worker */
} endpoint;

static void on_close(gyre_handle *handle)
{
    free(GYRE_CONTAINER_OF(handle, endpoint, handle));
}

static void finish(endpoint *client)
{
    if (client->ending)
        return;
    client->ending = true;
    gyre_stream_finish(&client->stream, on_close);
}

static void on_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf);

static void on_drain(gyre_stream *stream, int status)
{
    endpoint *client = GYRE_CONTAINER_OF(stream, endpoint, stream);

    if (!client->ending && (status != 0 || gyre_read_start(stream, on_read) != 0))
        finish(client);
}

/* What a client does not take back waits here; beyond a bound no more is read from it. */
static void on_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    endpoint *client = GYRE_CONTAINER_OF(stream, endpoint, stream);

    if (nread < 0 || gyre_write_copy(stream, buf->base, (size_t)nread) < 0)
        finish(client);
    else if (gyre_queued_bytes(stream) <= QUEUE_HIGH)
        return;
    else if (gyre_stream_set_budget(stream, QUEUE_LOW, QUEUE_HIGH, 0, on_drain) == 0)
        gyre_read_stop(stream);
    else
        finish(client);
}

static void on_connection(gyre_stream *server, int status)
{
    endpoint *client = status == 0 ? calloc(1, sizeof(*client)) : NULL;

    if (client != NULL && gyre_accept(server, &client->stream) == 0) {
        gyre_handle_set_name(&client->handle, "echo client");
        gyre_read_start(&client->stream, on_read);
    } else {
        free(client);
    }
}

static int listen_on(gyre_loop *loop, const server_options *options, const gyre_address *address,
                     uint32_t tcp_flags, endpoint *server)
{
    int error;

    if (options->local_path != NULL) {
        error = gyre_pipe_init(loop, &server->pipe);
        if (error == 0)
            error = gyre_pipe_bind(&server->pipe, options->local_path);
    } else {
        error = gyre_tcp_init(loop, &server->tcp);
        if (error == 0)
            error = gyre_tcp_bind(&server->tcp, address, tcp_flags);
    }
    return error == 0 ? gyre_listen(&server->stream, 0, on_connection) : error;
}

/* ---- ending ---- */

static void finish_client(gyre_handle *handle, void *server)
{
    const gyre_handle_kind kind = gyre_handle_kind_of(handle);

    if (handle == server || gyre_is_closing(handle))
        return;
    if (kind == GYRE_HANDLE_TCP || kind == GYRE_HANDLE_PIPE)
        finish(GYRE_CONTAINER_OF(handle, endpoint, handle));
}

static void stop(void *data)
{
    endpoint *server = data;

    if (gyre_is_closing(&server->handle))
        return;
    gyre_loop_walk(gyre_handle_loop(&server->handle), finish_client, server);
    gyre_close(&server->handle, NULL);
}

static void stop_now(void *data)
{
    endpoint *server = data;

    gyre_loop_stop(gyre_handle_loop(&server->handle));
}

static int run(gyre_loop *loop, const server_options *options, const gyre_address *address)
{
    static endpoint server;
    static stop_signals signals;
    gyre_address here;
    int error = listen_on(loop, options, address, 0, &server);

    if (error == 0)
        error = gyre_stream_local_address(&server.stream, &here);
    signals = (stop_signals){.stop = stop, .stop_now = stop_now, .data = &server};
    if (error == 0)
        error = stop_signals_start(loop, &signals);
    if (error != 0)
        return error;
    announce("tcp://", &here, loop);
    error = gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    return error < 0 ? error : 0;
}

/* ---- several threads ---- */

typedef struct echo_threads {
    const server_options *options;
    endpoint *servers;
} echo_threads;

static int open_thread(void *data, uint32_t index, gyre_loop *loop, const gyre_address *address,
                       uint32_t tcp_flags)
{
    const echo_threads *self = data;
    const int error = listen_on(loop, self->options, address, tcp_flags, &self->servers[index]);

    return error == 0 ? 0
                      : fail(EXIT_FAILED, "%s port %u: %s", self->options->host,
                             self->options->port, gyre_strerror(error));
}

static void stop_thread(void *data, uint32_t index)
{
    const echo_threads *self = data;

    stop(&self->servers[index]);
}

static void stop_thread_now(void *data, uint32_t index)
{
    const echo_threads *self = data;

    stop_now(&self->servers[index]);
}

static void close_client(gyre_handle *handle, void *server)
{
    const gyre_handle_kind kind = gyre_handle_kind_of(handle);

    if (handle != server && !gyre_is_closing(handle) && kind == GYRE_HANDLE_TCP)
        gyre_close(handle, on_close);
}

static void close_thread(void *data, uint32_t index)
{
    const echo_threads *self = data;
    endpoint *server = &self->servers[index];

    gyre_loop_walk(gyre_handle_loop(&server->handle), close_client, server);
}

static int run_threads(const server_options *options)
{
    echo_threads self = {.options = options, .servers = calloc(options->threads, sizeof(endpoint))};
    const server_threads threads = {.options = options,
                                    .scheme = "tcp://",
                                    .data = &self,
                                    .open = open_thread,
                                    .stop = stop_thread,
                                    .stop_now = stop_thread_now,
                                    .close = close_thread};
    int code;

    if (self.servers == NULL)
        return fail(EXIT_FAILED, "%s", gyre_strerror(GYRE_ENOMEM));
    code = server_threads_run(&threads, options->threads);
    free(self.servers);
    return code;
}

/* ---- several processes ---- */

static bool is_stream(const gyre_handle *handle)
{
    const gyre_handle_kind kind = gyre_handle_kind_of(handle);

    return (kind == GYRE_HANDLE_TCP || kind == GYRE_HANDLE_PIPE) && !gyre_is_closing(handle);
}

static bool is_local(int fd)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(address);

    return getsockname(fd, (struct sockaddr *)&address, &len) == 0 && address.ss_family == AF_UNIX;
}

typedef struct echo_worker {
    gyre_loop *loop;
    gyre_timer timer; /* of its retirement */
} echo_worker;

static void on_worker_connection(gyre_stream *server, int status)
{
    if (status == GYRE_ECANCELED)
        gyre_close(&GYRE_CONTAINER_OF(server, endpoint, stream)->handle, on_close);
    else
        on_connection(server, status);
}

static int open_worker(void *data, gyre_loop *loop)
{
    echo_worker *self = data;
    const int error = gyre_timer_init(loop, &self->timer);

    self->loop = loop;
    if (error == 0)
        gyre_unref(&self->timer.handle);
    return error;
}

static int listen_worker(void *data, int fd)
{
    const echo_worker *self = data;
    const bool local = is_local(fd);
    endpoint *server = calloc(1, sizeof(*server));
    int error;

    if (server == NULL)
        return GYRE_ENOMEM;
    server->listener = true;
    error =
        local ? gyre_pipe_init(self->loop, &server->pipe) : gyre_tcp_init(self->loop, &server->tcp);
    if (error != 0) {
        free(server);
        return error;
    }
    error = local ? gyre_pipe_open(&server->pipe, fd) : gyre_tcp_open(&server->tcp, fd);
    return error == 0 ? gyre_listen(&server->stream, 0, on_worker_connection) : error;
}

static void stop_listener(gyre_handle *handle, void *ctx)
{
    endpoint *it = GYRE_CONTAINER_OF(handle, endpoint, handle);

    (void)ctx;
    if (is_stream(handle) && it->listener && gyre_listen_stop(&it->stream) == GYRE_EINVAL)
        gyre_close(handle, on_close);
}

static void finish_any(gyre_handle *handle, void *ctx)
{
    endpoint *it = GYRE_CONTAINER_OF(handle, endpoint, handle);

    (void)ctx;
    if (is_stream(handle) && it->listener)
        gyre_close(handle, on_close);
    else if (is_stream(handle))
        finish(it);
}

static void on_retired(gyre_timer *timer)
{
    gyre_loop_walk(gyre_handle_loop(&timer->handle), finish_any, NULL);
}

static void drain_worker(void *data, gyre_worker_reason reason, uint64_t timeout_ns)
{
    echo_worker *self = data;

    if (reason == GYRE_WORKER_STOPS) {
        on_retired(&self->timer);
        return;
    }
    gyre_loop_walk(self->loop, stop_listener, NULL);
    gyre_timer_start(&self->timer, timeout_ns, 0, on_retired);
}

static void free_any(gyre_handle *handle, void *ctx)
{
    (void)ctx;
    if (is_stream(handle))
        gyre_close(handle, on_close);
}

static void close_worker(void *data)
{
    const echo_worker *self = data;

    gyre_loop_walk(self->loop, free_any, NULL);
}

static int run_workers(const server_options *options)
{
    static echo_worker self;
    const server_workers workers = {.options = options,
                                    .scheme = "tcp://",
                                    .data = &self,
                                    .open = open_worker,
                                    .listen = listen_worker,
                                    .drain = drain_worker,
                                    .close = close_worker};

    return server_workers_run(&workers);
}

int gyre_cmd_echo(int argc, char **argv)
{
    server_options options = {.host = "127.0.0.1", .port = 7000};
    gyre_loop_options loop_options = {.size = sizeof(loop_options)};
    gyre_address address;
    gyre_loop *loop;
    int code;
    int error;

    for (int at = 1; at < argc;) {
        bool used;

        code = server_option(&options, help, argc, argv, &at, &used);
        if (code != PARSED_GO_ON)
            return code;
        if (!used)
            return fail(EXIT_USAGE, "echo: \"%s\" is no option; try gyre echo --help", argv[at]);
    }
    code = check_workers(&options);
    if (code != 0)
        return code;
    raise_descriptor_limit();
    if (options.workers > 0)
        return run_workers(&options);
    if (options.threads > 1)
        return run_threads(&options);
    code = server_address(&options, &address);
    if (code != 0)
        return code;
    loop_options.backend = options.backend;
    error = gyre_loop_init(&loop, &loop_options);
    if (error != 0)
        return fail(EXIT_FAILED, "no event loop: %s", gyre_strerror(error));
    error = run(loop, &options, &address);
    (void)gyre_loop_shutdown(loop, GYRE_SECOND);
    if (error != 0 && options.local_path != NULL)
        return fail(EXIT_FAILED, "%s: %s", options.local_path, gyre_strerror(error));
    if (error != 0)
        return fail(EXIT_FAILED, "%s port %u: %s", options.host, options.port,
                    gyre_strerror(error));
    return EXIT_OK;
}
