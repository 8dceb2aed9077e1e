/*
 * A server that computes: one callback that takes long freezes every connection, and here are the
 * ways out of it. usage: fibonacci [PORT]; prints the port, and ends with SIGTERM or SIGINT.
 *
 *   /                            a short answer
 *   /fib?n=38&way=callback       computed in the callback: all others wait meanwhile
 *   /fib?n=38&way=pool           in a thread of the pool, at a lower priority than the loop
 *   /fib?n=38&way=slices         on the loop, a slice of each turn
 *   /fib?n=38&way=loop           on another loop, in a thread of its own
 */
#include <gyre.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_MAX = 60, STEP = 2000 };

/* fib(n) by adding ones, as the naive recursion does, but so that it can be done in pieces. */
typedef struct fibonacci {
    uint64_t sum;
    uint32_t depth;
    uint8_t stack[N_MAX + 1];
} fibonacci;

typedef struct job {
    gyre_http_request *request;
    fibonacci fib;
    gyre_work work;
    gyre_slice slice;
    gyre_post_node node;
} job;

static gyre_loop *loop;
static gyre_remote *home; /* of the loop that serves */
static gyre_group *others;
static gyre_http_server *server;
static gyre_signal quit[2];

static int fibonacci_step(fibonacci *fib, uint32_t steps)
{
    for (; steps > 0 && fib->depth > 0; steps--) {
        uint8_t n = fib->stack[--fib->depth];

        for (; n >= 2; n--)
            fib->stack[fib->depth++] = (uint8_t)(n - 2);
        fib->sum += n;
    }
    return fib->depth > 0;
}

static void answer(job *self)
{
    char text[32];
    const int len = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)self->fib.sum);

    (void)gyre_http_respond(self->request, 200, NULL, 0, text, (size_t)len);
    free(self);
}

/* ---- in the callback ---- */

static int in_callback(job *self)
{
    (void)fibonacci_step(&self->fib, UINT32_MAX);
    answer(self);
    return 0;
}

/* ---- in the pool ---- */

static void pool_run(gyre_work *work)
{
    job *self = work->data;

    while (!gyre_work_canceled(work) && fibonacci_step(&self->fib, STEP))
        ;
}

static void pool_done(gyre_work *work, int status)
{
    (void)status;
    answer(work->data);
}

static int in_pool(job *self)
{
    self->work.data = self;
    return gyre_work_submit(loop, &self->work, NULL, pool_run, pool_done);
}

/* ---- in slices ---- */

static int slice_step(gyre_slice *slice)
{
    job *self = slice->data;

    return fibonacci_step(&self->fib, STEP);
}

static void slice_done(gyre_slice *slice, int status)
{
    (void)status;
    answer(slice->data);
}

static int in_slices(job *self)
{
    self->slice.data = self;
    return gyre_slice_start(loop, &self->slice, 0, slice_step, slice_done);
}

/* ---- on another loop ---- */

static void back_home(gyre_post_node *node, int status)
{
    (void)status;
    gyre_loop_release(loop);
    answer(node->data);
}

static void away(gyre_post_node *node, int status)
{
    job *self = node->data;

    if (status == 0)
        (void)fibonacci_step(&self->fib, UINT32_MAX);
    (void)gyre_post(home, node, back_home); /* that loop is held until then */
}

static int on_other_loop(job *self)
{
    int error;

    self->node.data = self;
    error = gyre_group_post(others, 0, &self->node, away);
    if (error == 0)
        gyre_loop_hold(loop); /* it knows nothing of what is out elsewhere */
    return error;
}

/* ---- the server ---- */

static int begin(job *self, const char *way)
{
    if (strcmp(way, "callback") == 0)
        return in_callback(self);
    if (strcmp(way, "pool") == 0)
        return in_pool(self);
    if (strcmp(way, "slices") == 0)
        return in_slices(self);
    return strcmp(way, "loop") == 0 ? on_other_loop(self) : GYRE_EINVAL;
}

static void on_request(gyre_http_request *request, void *data)
{
    const char *target = gyre_http_target(request);
    char *way = NULL;
    unsigned long n = 0;
    job *self;

    (void)data;
    if (strcmp(target, "/") == 0) {
        (void)gyre_http_respond(request, 200, NULL, 0, "hello\n", 6);
        return;
    }
    if (strncmp(target, "/fib?n=", 7) == 0)
        n = strtoul(target + 7, &way, 10);
    if (way == NULL || strncmp(way, "&way=", 5) != 0 || n > N_MAX) {
        (void)gyre_http_respond(request, 404, NULL, 0, "not found\n", 10);
        return;
    }
    self = calloc(1, sizeof(*self));
    if (self != NULL) {
        self->request = request;
        self->fib.stack[self->fib.depth++] = (uint8_t)n;
        if (begin(self, way + 5) == 0)
            return;
        free(self);
    }
    (void)gyre_http_respond(request, 503, NULL, 0, "not now\n", 8);
}

static void on_quit(gyre_signal *signal, int signum)
{
    (void)signal;
    (void)signum;
    gyre_http_server_stop(server, GYRE_SECOND, NULL);
    for (int i = 0; i < 2; i++)
        gyre_close(&quit[i].handle, NULL);
}

static int start(uint16_t port)
{
    const gyre_http_options options = {
        .size = sizeof(options), .handler = on_request, .requests_max = UINT32_MAX};
    static const int signals[2] = {SIGTERM, SIGINT};
    gyre_address address;
    int error = gyre_address_ip(&address, "127.0.0.1", port);

    if (error == 0)
        error = gyre_http_server_init(loop, &server, &options);
    if (error == 0)
        error = gyre_http_server_listen(server, &address, 0);
    if (error == 0)
        error = gyre_http_server_address(server, &address);
    for (int i = 0; i < 2 && error == 0; i++) {
        error = gyre_signal_init(loop, &quit[i]);
        if (error == 0)
            error = gyre_signal_start(&quit[i], signals[i], on_quit);
    }
    printf("%u\n", (unsigned)gyre_address_port(&address));
    (void)fflush(stdout);
    return error;
}

int main(int argc, char **argv)
{
    const gyre_group_options options = {.size = sizeof(options), .name = "other"};
    int error = gyre_loop_init(&loop, NULL);

    if (error == 0) {
        home = gyre_loop_remote(loop);
        error = gyre_group_open(&others, 1, &options, NULL);
    }
    if (error == 0)
        error = start(argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 0);
    if (error != 0) {
        (void)fprintf(stderr, "fibonacci: %s\n", gyre_strerror(error));
        return 1;
    }
    (void)gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    (void)gyre_group_close(others, UINT64_MAX);
    (void)gyre_loop_shutdown(loop, GYRE_SECOND);
    gyre_remote_unref(home);
    return 0;
}
