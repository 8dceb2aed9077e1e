/* What an item costs that does nothing, in the thread pool of Gyre and in libuv's, from the submit
 * on the loop to the callback on the loop, with so many in flight. Both run in one process, in
 * turn, with as many threads each.
 *     pool [ROUNDS [ITEMS]]: a line for each number in flight, with medians */
#include "../common/util.h"

#include <gyre.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { IN_FLIGHT_MAX = 4096, ROUNDS_MAX = 101, THREADS = 2 };

static uint32_t left; /* items to submit */
static uint32_t out;  /* items not back */

/* ---- Gyre ---- */

static gyre_loop *loop;
static gyre_work works[IN_FLIGHT_MAX];

static void gyre_nothing(gyre_work *work)
{
    (void)work;
}

static void gyre_back(gyre_work *work, int status);

static void gyre_submit(gyre_work *work)
{
    left--;
    out++;
    if (gyre_work_submit(loop, work, NULL, gyre_nothing, gyre_back) != 0) {
        bench_die("gyre_work_submit");
    }
}

static void gyre_back(gyre_work *work, int status)
{
    (void)status;
    out--;
    if (left > 0) {
        gyre_submit(work);
    }
}

static void gyre_items(uint32_t in_flight)
{
    for (uint32_t i = 0; i < in_flight; i++) {
        gyre_submit(&works[i]);
    }
    (void)gyre_loop_run(loop, GYRE_RUN_DEFAULT);
}

/* ---- libuv ---- */

static uv_loop_t uv;
static uv_work_t uv_works[IN_FLIGHT_MAX];

static void uv_nothing(uv_work_t *work)
{
    (void)work;
}

static void uv_back(uv_work_t *work, int status);

static void uv_submit(uv_work_t *work)
{
    left--;
    out++;
    if (uv_queue_work(&uv, work, uv_nothing, uv_back) != 0) {
        bench_die("uv_queue_work");
    }
}

static void uv_back(uv_work_t *work, int status)
{
    (void)status;
    out--;
    if (left > 0) {
        uv_submit(work);
    }
}

static void uv_items(uint32_t in_flight)
{
    for (uint32_t i = 0; i < in_flight; i++) {
        uv_submit(&uv_works[i]);
    }
    (void)uv_run(&uv, UV_RUN_DEFAULT);
}

/* ---- rounds ---- */

static double measure(void (*items)(uint32_t), uint32_t in_flight, uint32_t count)
{
    uint64_t begin;

    left = count;
    begin = bench_now_ns();
    items(in_flight);
    if (left != 0 || out != 0) {
        bench_die("items were lost");
    }
    return (double)(bench_now_ns() - begin) / count;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, uint32_t count)
{
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

static void run(uint32_t in_flight, uint32_t rounds, uint32_t count)
{
    double ours[ROUNDS_MAX], theirs[ROUNDS_MAX], ratios[ROUNDS_MAX];

    for (uint32_t i = 0; i < rounds; i++) {
        ours[i] = measure(gyre_items, in_flight, count);
        theirs[i] = measure(uv_items, in_flight, count);
        ratios[i] = ours[i] / theirs[i];
    }
    printf("%4u in flight: gyre %7.0f ns  uv %7.0f ns  ratio %.2f\n", in_flight,
           median(ours, rounds), median(theirs, rounds), median(ratios, rounds));
}

int main(int argc, char **argv)
{
    gyre_pool_options options = {.size = sizeof options, .threads_max = {THREADS}, .cpu_nice = -1};
    uint32_t rounds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 15;
    uint32_t count = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 200000;
    gyre_pool *pool;

    bench_process_setup();
    rounds = rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    count = count < IN_FLIGHT_MAX ? IN_FLIGHT_MAX : count;
    if (setenv("UV_THREADPOOL_SIZE", "2", 1) != 0 || uv_loop_init(&uv) != 0 ||
        gyre_loop_init(&loop, NULL) != 0 || gyre_pool_init(&pool, &options) != 0 ||
        gyre_loop_set_pool(loop, pool) != 0) {
        bench_die("set-up");
    }
    run(1, rounds, count / 10);
    run(64, rounds, count);
    run(IN_FLIGHT_MAX, rounds, count);
    (void)gyre_loop_close(loop);
    (void)gyre_pool_close(pool);
    (void)uv_loop_close(&uv);
    return 0;
}
