/*
 * A server as a cluster. The same function runs in the master and, because workers are the program
 * started anew with the same command line, in each worker.
 */
#include "workers.h"

#include <string.h>

static int take_listeners(gyre_worker *worker, const server_workers *self)
{
    int error = 0;

    for (uint32_t i = 0; error == 0 && i < gyre_worker_listener_count(worker); i++)
        error = self->listen(self->data, gyre_worker_listener(worker, i, NULL));
    return error;
}

static int set_up(gyre_worker *worker, gyre_loop *loop, void *ctx)
{
    const server_workers *self = ctx;
    int error = self->open(self->data, loop);

    if (error == 0)
        error = take_listeners(worker, self);
    if (error != 0)
        self->close(self->data);
    return error;
}

static void drain(gyre_worker *worker, gyre_worker_reason reason, uint64_t timeout_ns, void *ctx)
{
    const server_workers *self = ctx;

    (void)worker;
    self->drain(self->data, reason, timeout_ns);
}

static void tear_down(gyre_worker *worker, gyre_loop *loop, void *ctx)
{
    const server_workers *self = ctx;

    (void)worker;
    (void)loop;
    self->close(self->data);
}

static void reopen(gyre_worker *worker, void *ctx)
{
    const server_workers *self = ctx;

    (void)worker;
    if (self->reopen != NULL)
        self->reopen(self->data);
}

static void started(gyre_loop *loop, const gyre_address *addresses, uint32_t count, void *ctx)
{
    const server_workers *self = ctx;

    for (uint32_t i = 0; i < count; i++)
        announce(self->scheme, &addresses[i], loop);
}

static int say(const server_options *options, int error)
{
    if (error == GYRE_ECANCELED)
        return EXIT_FAILED; /* a worker has said why */
    if (error == GYRE_ENOENT && (options->user != NULL || options->group != NULL))
        return fail(EXIT_FAILED, "no such user or group");
    if (options->local_path != NULL)
        return fail(EXIT_FAILED, "%s: %s", options->local_path, gyre_strerror(error));
    return fail(EXIT_FAILED, "%s port %u: %s", options->host, options->port, gyre_strerror(error));
}

int server_workers_run(const server_workers *self)
{
    const server_options *options = self->options;
    const bool is_worker = gyre_cluster_is_worker() != 0;
    const gyre_loop_options loop = {.size = sizeof(loop), .backend = options->backend};
    gyre_address address;
    const gyre_cluster_options cluster = {.size = sizeof(cluster),
                                          .workers = options->workers,
                                          .addresses = &address,
                                          .address_count = 1,
                                          .pin = options->pin ? 1 : 0,
                                          .loop = &loop,
                                          .pid_file = options->pid_file,
                                          .user = options->user,
                                          .group = options->group,
                                          .retire_ns = options->retire_s * GYRE_SECOND,
                                          .stop_ns = self->stop_ns,
                                          .setup = set_up,
                                          .drain = drain,
                                          .teardown = tear_down,
                                          .reopen = reopen,
                                          .started = started,
                                          .ctx =
                                              (void *)(uintptr_t)self}; /* NOLINT(*-int-to-ptr) */
    int code = server_address(options, &address);
    int error;

    if (code != 0)
        return code;
    error = gyre_cluster_run(&cluster);
    if (error == 0)
        return EXIT_OK;
    return is_worker ? EXIT_FAILED : say(options, error); /* its master says it */
}

/* ---- the command line ---- */

static int read_seconds(const char *name, const char *text, uint32_t *seconds)
{
    uint32_t number;

    if (!read_whole(text, 1, 86400, &number))
        return fail(EXIT_USAGE, "%s: \"%s\" is not 1 to 86400 seconds", name, text);
    *seconds = number;
    return PARSED_GO_ON;
}

int workers_option(server_options *options, int argc, char **argv, int *at, bool *used,
                   bool *missing)
{
    const char *name = argv[*at];
    const char *value;

    *used = true;
    if ((value = option_value("--workers", argc, argv, at, missing)) != NULL) {
        if (!read_count(value, WORKERS_MAX, &options->workers))
            return fail(EXIT_USAGE, "--workers: \"%s\" is not 1 to %d, or auto", value,
                        WORKERS_MAX);
    } else if ((value = option_value("--retire", argc, argv, at, missing)) != NULL) {
        return read_seconds("--retire", value, &options->retire_s);
    } else if ((value = option_value("--pid-file", argc, argv, at, missing)) != NULL) {
        options->pid_file = value;
    } else if ((value = option_value("--user", argc, argv, at, missing)) != NULL) {
        options->user = value;
    } else if ((value = option_value("--group", argc, argv, at, missing)) != NULL) {
        options->group = value;
    } else if (!*missing && strcmp(name, "--pin") == 0) {
        options->pin = true;
        (*at)++;
    } else {
        *used = false;
    }
    return PARSED_GO_ON;
}

int check_workers(const server_options *options)
{
    if (options->workers > 0 && options->threads > 1)
        return fail(EXIT_USAGE, "--workers and --threads: one of the two");
    if (options->workers == 0 && (options->retire_s > 0 || options->pid_file != NULL ||
                                  options->user != NULL || options->group != NULL || options->pin))
        return fail(EXIT_USAGE, "--retire, --pid-file, --user, --group and --pin need --workers");
    return 0;
}
