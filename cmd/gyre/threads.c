/*
 * A server on several threads: a group of loops, and one more loop on the program's own thread, for
 * signals.
 *
 * The port is found with a socket that is bound and never listens: it says that the port is taken
 * when another server has it, which listeners that share a port would not.
 */
#include "threads.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct threads_run {
    const server_threads *threads;
    gyre_group *group;
    gyre_loop *loop; /* the program's own */
    gyre_remote *remote;
    gyre_tcp reserve;
    gyre_address address;
    stop_signals signals;
    pthread_mutex_t setup_lock;
    int code; /* of the first thread that could not begin */
    uint32_t count;
    uint32_t ended;
    gyre_post_node *end_nodes;
    gyre_post_node *stop_nodes;
} threads_run;

/* ---- on the threads ---- */

static int set_up(gyre_group *group, uint32_t index, gyre_loop *loop, void *ctx)
{
    threads_run *run = ctx;
    int code;

    (void)group;
    pthread_mutex_lock(&run->setup_lock);
    if (run->code == 0)
        run->code =
            run->threads->open(run->threads->data, index, loop, &run->address, GYRE_TCP_REUSEPORT);
    code = run->code;
    pthread_mutex_unlock(&run->setup_lock);
    return code == 0 ? 0 : GYRE_ECANCELED;
}

static void drain(gyre_group *group, uint32_t index, gyre_loop *loop, void *ctx)
{
    const threads_run *run = ctx;

    (void)group;
    (void)loop;
    run->threads->stop(run->threads->data, index);
}

static void tear_down(gyre_group *group, uint32_t index, gyre_loop *loop, void *ctx)
{
    const threads_run *run = ctx;

    (void)group;
    (void)loop;
    run->threads->close(run->threads->data, index);
}

static void on_stop_now(gyre_post_node *node, int status)
{
    const threads_run *run = node->data;

    if (status == 0)
        run->threads->stop_now(run->threads->data, (uint32_t)(node - run->stop_nodes));
}

/* On the program's own loop. */
static void on_ended(gyre_post_node *node, int status)
{
    threads_run *run = node->data;

    if (status == 0 && ++run->ended == run->count)
        gyre_loop_stop(run->loop);
}

static void ended(gyre_group *group, uint32_t index, void *ctx)
{
    threads_run *run = ctx;

    (void)group;
    (void)gyre_post(run->remote, &run->end_nodes[index], on_ended);
}

/* ---- signals ---- */

static void stop(void *data)
{
    threads_run *run = data;

    gyre_group_drain(run->group);
}

static void stop_now(void *data)
{
    threads_run *run = data;

    if (run->signals.count == 2)
        gyre_group_post_all(run->group, run->stop_nodes, on_stop_now);
}

/* ---- life ---- */

static int reserve_port(threads_run *run)
{
    const server_options *options = run->threads->options;
    int code = server_address(options, &run->address);
    int error;

    if (code != 0)
        return code;
    error = gyre_tcp_init(run->loop, &run->reserve);
    if (error == 0)
        error = gyre_tcp_bind(&run->reserve, &run->address, 0);
    if (error == 0)
        error = gyre_stream_local_address(&run->reserve.stream, &run->address);
    return error == 0 ? 0
                      : fail(EXIT_FAILED, "%s port %u: %s", options->host, options->port,
                             gyre_strerror(error));
}

static int open_group(threads_run *run)
{
    const gyre_loop_options loop_options = {.size = sizeof(loop_options),
                                            .backend = run->threads->options->backend};
    const gyre_group_options options = {.size = sizeof(options),
                                        .loop = &loop_options,
                                        .drain = drain,
                                        .teardown = tear_down,
                                        .ended = ended,
                                        .ctx = run};
    const int error = gyre_group_open(&run->group, run->count, &options, set_up);

    if (error == 0 || run->code != 0)
        return run->code;
    return fail(EXIT_FAILED, "no threads: %s", gyre_strerror(error));
}

static int serve(threads_run *run)
{
    int error;

    gyre_close(&run->reserve.handle, NULL);
    run->signals = (stop_signals){.stop = stop, .stop_now = stop_now, .data = run};
    error = stop_signals_start(run->loop, &run->signals);
    if (error != 0)
        return fail(EXIT_FAILED, "%s", gyre_strerror(error));
    announce(run->threads->scheme, &run->address, run->loop);
    gyre_loop_hold(run->loop);
    error = gyre_loop_run(run->loop, GYRE_RUN_DEFAULT);
    gyre_loop_release(run->loop);
    return error < 0 ? fail(EXIT_FAILED, "%s", gyre_strerror(error)) : EXIT_OK;
}

static int make_nodes(threads_run *run)
{
    run->end_nodes = calloc(run->count, sizeof(*run->end_nodes));
    run->stop_nodes = calloc(run->count, sizeof(*run->stop_nodes));
    if (run->end_nodes == NULL || run->stop_nodes == NULL)
        return fail(EXIT_FAILED, "%s", gyre_strerror(GYRE_ENOMEM));
    for (uint32_t i = 0; i < run->count; i++) {
        run->end_nodes[i].data = run;
        run->stop_nodes[i].data = run;
    }
    return 0;
}

static int run_on(threads_run *run)
{
    int code = make_nodes(run);

    if (code == 0)
        code = reserve_port(run);
    if (code == 0)
        code = open_group(run);
    if (code != 0)
        return code;
    code = serve(run);
    (void)gyre_group_close(run->group, 0);
    return code;
}

int server_threads_run(const server_threads *threads, uint32_t count)
{
    threads_run run = {.threads = threads, .count = count};
    gyre_loop_options options = {.size = sizeof(options), .backend = threads->options->backend};
    int code;
    int error;

    if (threads->options->local_path != NULL)
        return fail(EXIT_USAGE, "--threads: a unix socket is served by one thread");
    error = gyre_loop_init(&run.loop, &options);
    if (error != 0)
        return fail(EXIT_FAILED, "no event loop: %s", gyre_strerror(error));
    pthread_mutex_init(&run.setup_lock, NULL);
    run.remote = gyre_loop_remote(run.loop);
    code = run_on(&run);
    gyre_remote_unref(run.remote);
    (void)gyre_loop_shutdown(run.loop, GYRE_SECOND);
    pthread_mutex_destroy(&run.setup_lock);
    free(run.end_nodes);
    free(run.stop_nodes);
    return code;
}
