/*
 * Tests the service on the simulated kernel: many seeds, each with a network of its own, until one
 * loses an answer. usage: test_service [SEED]: that seed alone, with its trace.
 */
#include "service.h"

#include <stdio.h>
#include <stdlib.h>

enum { PORT = 7000, QUESTIONS = 10, SEEDS = 200 };

static gyre_sim_host *server;
static int answers;
static int wrong;

static int boot_server(gyre_sim_host *host, gyre_loop *loop, void *ctx)
{
    gyre_address address;

    (void)ctx;
    gyre_sim_host_address(host, PORT, &address);
    return service_start(loop, &address);
}

static void on_answer(void *ctx, int64_t answer)
{
    (void)ctx;
    answers++;
    /* What did not arrive at all may be asked for again; half an answer must not be. */
    if (answer != 5)
        wrong++;
}

static int boot_client(gyre_sim_host *host, gyre_loop *loop, void *ctx)
{
    gyre_address address;
    int error = 0;

    (void)host;
    (void)ctx;
    gyre_sim_host_address(server, PORT, &address);
    for (int i = 0; i < QUESTIONS && error == 0; i++)
        error = service_ask(loop, &address, "hello", on_answer, NULL);
    return error;
}

static void show(void *ctx, const gyre_sim_trace_event *event)
{
    (void)ctx;
    printf("%12.6f ms  %-8s %-12s %lld %lld\n", (double)(event->now_ns - GYRE_SECOND) / 1e6,
           event->host != NULL ? event->host : "", event->what, (long long)event->a,
           (long long)event->b);
}

/* Whether all questions of this world were answered rightly. */
static int run(uint64_t seed, int verbose)
{
    const gyre_sim_options options = {.size = sizeof(options), .seed = seed};
    gyre_sim_host *client;
    gyre_sim *sim;

    answers = 0;
    wrong = 0;
    if (gyre_sim_init(&sim, &options) != 0 ||
        gyre_sim_host_init(sim, &server, "server", boot_server, NULL, NULL) != 0 ||
        gyre_sim_host_init(sim, &client, "client", boot_client, NULL, NULL) != 0)
        return 0;
    if (verbose)
        gyre_sim_set_trace(sim, show, NULL);
    gyre_sim_set_fault(sim, GYRE_SIM_LATENCY, 20000); /* 2 in a hundred segments are late */
    gyre_sim_set_fault(sim, GYRE_SIM_SHORT_READ, 50000);
    (void)gyre_sim_run(sim, 60 * GYRE_SECOND);
    gyre_sim_close(sim);
    return answers == QUESTIONS && wrong == 0;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return run(strtoull(argv[1], NULL, 10), 1) ? 0 : 1;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        if (!run(seed, 0)) {
            printf("seed %d: %d answers, %d of them wrong; test_service %d shows how\n", (int)seed,
                   answers, wrong, (int)seed);
            return 1;
        }
    }
    printf("%d seeds: all answers are right\n", SEEDS);
    return 0;
}
