/*
 * gyre serve: the files of a directory over HTTP/1.1.
 */
#include "command.h"
#include "log.h"
#include "threads.h"
#include "workers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_HELP SERVER_OPTIONS_HELP("8080")

static const char help[] =
    "usage: gyre serve DIR [options]\n\n"
    "Serves the files of a directory over HTTP/1.1.\n\n"
    "options:\n" OPTIONS_HELP
    "  --access-log FILE   where a line for each request goes: a file, - for standard output\n"
    "                      (default), or off\n"
    "  --drain SECONDS     time for requests in flight after SIGTERM or SIGINT (default 10)\n";

typedef struct serve {
    server_options server;
    const char *directory;
    const char *log_path;
    uint32_t drain_s;
    gyre_loop *loop;
    gyre_http_server *http;
    gyre_http_files *files;
    access_log log;
    stop_signals signals;
} serve;

static void on_request(gyre_http_request *request, void *data)
{
    const serve *self = data;

    gyre_http_files_serve(self->files, request);
}

static void on_done(gyre_http_request *request, int status, uint64_t bytes, void *data)
{
    serve *self = data;

    access_log_add(&self->log, request, status, bytes);
}

/* ---- ending ---- */

static void on_stopped(gyre_http_server *server, void *data)
{
    serve *self = data;

    (void)server;
    self->http = NULL;
    if (self->signals.data != NULL)
        stop_signals_close(&self->signals);
}

static void stop(void *data)
{
    serve *self = data;

    gyre_http_server_stop(self->http, self->drain_s * GYRE_SECOND, on_stopped);
}

static void stop_now(void *data)
{
    serve *self = data;

    if (self->http != NULL)
        gyre_http_server_stop(self->http, 0, on_stopped);
}

/* ---- beginning ---- */

/* Connections may not take all descriptors: some are ours, and files need them too. */
static uint32_t connections_max(const serve *self)
{
    const uint32_t limit = descriptor_limit();
    const uint32_t others = 16 + limit / 8;
    const uint32_t threads = self->server.threads > 1 ? self->server.threads : 1;

    return limit > others + threads ? (limit - others) / threads : 1;
}

static int open_parts(serve *self)
{
    gyre_http_options options = {.size = sizeof(options),
                                 .handler = on_request,
                                 .done = on_done,
                                 .data = self,
                                 .accepted_max = connections_max(self)};
    int error = gyre_http_files_init(self->loop, &self->files, self->directory, NULL);

    if (error != 0)
        return fail(EXIT_FAILED, "%s: %s", self->directory, gyre_strerror(error));
    if (strcmp(self->log_path, "off") != 0) {
        error = access_log_open(&self->log, self->loop, self->log_path);
        if (error != 0)
            return fail(EXIT_FAILED, "%s: %s", self->log_path, gyre_strerror(error));
    }
    error = gyre_http_server_init(self->loop, &self->http, &options);
    return error == 0 ? 0 : fail(EXIT_FAILED, "%s", gyre_strerror(error));
}

static int listen_on(serve *self, const gyre_address *address, uint32_t tcp_flags)
{
    const int error = gyre_http_server_listen(self->http, address, tcp_flags);

    if (error != 0 && self->server.local_path != NULL)
        return fail(EXIT_FAILED, "%s: %s", self->server.local_path, gyre_strerror(error));
    if (error != 0)
        return fail(EXIT_FAILED, "%s port %u: %s", self->server.host, self->server.port,
                    gyre_strerror(error));
    return 0;
}

static int begin(serve *self)
{
    gyre_address address;
    int code = server_address(&self->server, &address);
    int error;

    if (code == 0)
        code = listen_on(self, &address, 0);
    if (code != 0)
        return code;
    self->signals = (stop_signals){.stop = stop, .stop_now = stop_now, .data = self};
    error = stop_signals_start(self->loop, &self->signals);
    if (error == 0)
        error = gyre_http_server_address(self->http, &address);
    if (error != 0)
        return fail(EXIT_FAILED, "%s", gyre_strerror(error));
    announce("http://", &address, self->loop);
    return 0;
}

static int run(serve *self)
{
    int code = open_parts(self);
    int error;

    if (code == 0)
        code = begin(self);
    if (code != 0)
        return code;
    error = gyre_loop_run(self->loop, GYRE_RUN_DEFAULT);
    return error < 0 ? fail(EXIT_FAILED, "%s", gyre_strerror(error)) : 0;
}

static void close_parts(serve *self)
{
    if (self->http != NULL)
        gyre_http_server_stop(self->http, 0, NULL);
    if (self->files != NULL)
        gyre_http_files_close(self->files);
    access_log_close(&self->log);
}

/* ---- several threads ---- */

/* `data` is an array: each thread has a server, and files and a log, of its own. */
static int open_thread(void *data, uint32_t index, gyre_loop *loop, const gyre_address *address,
                       uint32_t tcp_flags)
{
    serve *self = (serve *)data + index;
    int code;

    self->loop = loop;
    code = open_parts(self);
    if (code == 0)
        code = listen_on(self, address, tcp_flags);
    if (code != 0)
        close_parts(self);
    return code;
}

static void stop_thread(void *data, uint32_t index)
{
    stop((serve *)data + index);
}

static void stop_thread_now(void *data, uint32_t index)
{
    stop_now((serve *)data + index);
}

static void close_thread(void *data, uint32_t index)
{
    close_parts((serve *)data + index);
}

static int run_threads(const serve *self)
{
    const uint32_t count = self->server.threads;
    serve *each = calloc(count, sizeof(*each));
    const server_threads threads = {.options = &self->server,
                                    .scheme = "http://",
                                    .data = each,
                                    .open = open_thread,
                                    .stop = stop_thread,
                                    .stop_now = stop_thread_now,
                                    .close = close_thread};
    int code;

    if (each == NULL)
        return fail(EXIT_FAILED, "%s", gyre_strerror(GYRE_ENOMEM));
    for (uint32_t i = 0; i < count; i++)
        each[i] = *self;
    code = server_threads_run(&threads, count);
    free(each);
    return code;
}

/* ---- several processes ---- */

static int open_worker(void *data, gyre_loop *loop)
{
    serve *self = data;

    self->loop = loop;
    return open_parts(self) == 0 ? 0 : GYRE_ECANCELED;
}

static int listen_worker(void *data, int fd)
{
    const serve *self = data;

    return gyre_http_server_listen_fd(self->http, fd);
}

static void drain_worker(void *data, gyre_worker_reason reason, uint64_t timeout_ns)
{
    serve *self = data;

    if (self->http == NULL)
        return;
    if (reason == GYRE_WORKER_RETIRES)
        gyre_http_server_drain(self->http, timeout_ns, on_stopped);
    else
        gyre_http_server_stop(self->http, timeout_ns, on_stopped);
}

static void close_worker(void *data)
{
    close_parts(data);
}

static void reopen_worker(void *data)
{
    serve *self = data;

    access_log_reopen(&self->log, self->log_path);
}

static int run_workers(serve *self)
{
    const server_workers workers = {.options = &self->server,
                                    .scheme = "http://",
                                    .data = self,
                                    .stop_ns = self->drain_s > 0 ? self->drain_s * GYRE_SECOND : 1,
                                    .open = open_worker,
                                    .listen = listen_worker,
                                    .drain = drain_worker,
                                    .close = close_worker,
                                    .reopen = reopen_worker};

    return server_workers_run(&workers);
}

/* ---- the command line ---- */

static int read_drain(const char *text, uint32_t *seconds)
{
    if (!read_whole(text, 0, 86400, seconds))
        return fail(EXIT_USAGE, "--drain: \"%s\" is no number of seconds", text);
    return PARSED_GO_ON;
}

static int read_option(serve *self, int argc, char **argv, int *at)
{
    bool missing = false;
    bool used;
    const char *value;
    int code;

    if ((value = option_value("--access-log", argc, argv, at, &missing)) != NULL) {
        self->log_path = value;
        return PARSED_GO_ON;
    }
    if ((value = option_value("--drain", argc, argv, at, &missing)) != NULL)
        return read_drain(value, &self->drain_s);
    if (missing)
        return fail(EXIT_USAGE, "%s needs a value", argv[*at]);
    code = server_option(&self->server, help, argc, argv, at, &used);
    if (code != PARSED_GO_ON || used)
        return code;
    if (argv[*at][0] == '-' && argv[*at][1] != '\0')
        return fail(EXIT_USAGE, "serve: \"%s\" is no option; try gyre serve --help", argv[*at]);
    if (self->directory != NULL)
        return fail(EXIT_USAGE, "serve: one directory, not also \"%s\"", argv[*at]);
    self->directory = argv[(*at)++];
    return PARSED_GO_ON;
}

int gyre_cmd_serve(int argc, char **argv)
{
    static serve self = {
        .server = {.host = "127.0.0.1", .port = 8080}, .log_path = "-", .drain_s = 10};
    gyre_loop_options options = {.size = sizeof(options)};
    int error;
    int code;

    self.log.fd = -1;
    for (int at = 1; at < argc;) {
        code = read_option(&self, argc, argv, &at);
        if (code != PARSED_GO_ON)
            return code;
    }
    if (self.directory == NULL)
        return fail(EXIT_USAGE, "serve: which directory? try gyre serve --help");
    code = check_workers(&self.server);
    if (code != 0)
        return code;
    raise_descriptor_limit();
    if (self.server.workers > 0)
        return run_workers(&self);
    if (self.server.threads > 1)
        return run_threads(&self);
    options.backend = self.server.backend;
    error = gyre_loop_init(&self.loop, &options);
    if (error != 0)
        return fail(EXIT_FAILED, "no event loop: %s", gyre_strerror(error));
    code = run(&self);
    close_parts(&self);
    (void)gyre_loop_shutdown(self.loop, GYRE_SECOND);
    return code;
}
