/* Between threads: the round trip of a wake-up between two loops, what a send costs while one is
 * pending, and floods of sends and posts from several threads into a running loop. */
#include "micro.h"
#include "subject.h"

#include "../common/util.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    ROUND_TRIPS = 5000,
    PENDING_SENDS = 5000000,
    PENDING_POSTS = 1024, /* of small nodes, so that they stay in the cache */
    PENDING_PASSES = 500,
    FLOOD = 4000000,
    POSTS = 400000
};

static subject *here, *there;
static uint32_t trips;

/* Round trip: `here` wakes `there`, which wakes `here`. */

static void on_there(void *arg)
{
    (void)arg;
    if (trips >= ROUND_TRIPS) {
        subject_stop(there);
    }
    subject_wake_send(here);
}

static void on_here(void *arg)
{
    (void)arg;
    if (trips++ == ROUND_TRIPS) {
        subject_stop(here);
        return;
    }
    subject_wake_send(there);
}

static void *run_there(void *arg)
{
    micro_pin(*(const unsigned *)arg);
    subject_run(there);
    subject_close(there); /* nobody wakes it any more, and a loop may belong to its thread */
    return NULL;
}

void micro_wake(bool same_core)
{
    pthread_t thread;
    unsigned processor = same_core ? 0 : 1;
    here = subject_open(true);
    there = subject_open(true);
    subject_wake_open(here, on_here, NULL);
    subject_wake_open(there, on_there, NULL);
    pthread_create(&thread, NULL, run_there, &processor);
    subject_wake_send(there);
    uint64_t begin = bench_now_ns();
    subject_run(here);
    uint64_t elapsed = bench_now_ns() - begin;
    pthread_join(thread, NULL);
    micro_print(same_core ? "wake_round_trip_same" : "wake_round_trip_two",
                (double)elapsed / ROUND_TRIPS);
    subject_close(here);
}

/* Pending: the loop does not run, so each send or post but the first finds one waiting. */

static uint32_t posts_left;

static void on_pending(void *arg)
{
    (void)arg;
    subject_stop(here);
}

static void on_post(void *arg)
{
    (void)arg;
    if (--posts_left == 0) {
        subject_stop(here);
    }
}

static void pending_sends(void)
{
    here = subject_open(true);
    subject_wake_open(here, on_pending, NULL);
    subject_wake_send(here);
    uint64_t begin = bench_now_ns();
    for (uint32_t i = 0; i < PENDING_SENDS; i++) {
        subject_wake_send(here);
    }
    micro_print("send_while_pending", (double)(bench_now_ns() - begin) / PENDING_SENDS);
    subject_run(here);
    subject_close(here);
}

/* The first post of a pass, which wakes the loop, is not timed. */
static void pending_posts(void)
{
    uint64_t spent = 0;
    uint32_t size = subject_post_size();
    char *nodes = calloc(PENDING_POSTS, size);
    here = subject_open(true);
    subject_posts_open(here, on_post, NULL);
    for (uint32_t pass = 0; pass < PENDING_PASSES; pass++) {
        posts_left = PENDING_POSTS;
        subject_post(here, nodes);
        uint64_t begin = bench_now_ns();
        for (uint32_t i = 1; i < PENDING_POSTS; i++) {
            subject_post(here, nodes + (size_t)i * size);
        }
        spent += bench_now_ns() - begin;
        subject_run(here);
    }
    micro_print("post_while_pending", (double)spent / (PENDING_POSTS - 1) / PENDING_PASSES);
    subject_close(here);
    free(nodes);
}

void micro_pending(void)
{
    pending_sends();
    if ((subject_features & SUBJECT_POSTS) != 0) {
        pending_posts();
    }
}

/* Flood: all senders together send so many times; the time until the loop has seen the last. */

static atomic_uint senders_left;
static uint32_t sends_each;

static void on_flood(void *arg)
{
    (void)arg;
    if (atomic_load(&senders_left) == 0) {
        subject_stop(here);
    }
}

static void *send_flood(void *arg)
{
    (void)arg;
    micro_pin(1);
    for (uint32_t i = 0; i < sends_each; i++) {
        subject_wake_send(here);
    }
    atomic_fetch_sub(&senders_left, 1);
    subject_wake_send(here);
    return NULL;
}

static void *post_flood(void *nodes)
{
    micro_pin(1);
    for (uint32_t i = 0; i < sends_each; i++) {
        subject_post(here, (char *)nodes + (size_t)i * subject_post_size());
    }
    return NULL;
}

static double run_flood(uint32_t senders, uint32_t total, void *(*sender)(void *), char *nodes)
{
    pthread_t *threads = bench_alloc(senders * sizeof *threads);
    sends_each = total / senders;
    atomic_store(&senders_left, senders);
    uint64_t begin = bench_now_ns();
    for (uint32_t i = 0; i < senders; i++) {
        size_t first = (size_t)i * sends_each * subject_post_size();
        pthread_create(&threads[i], NULL, sender, nodes == NULL ? NULL : nodes + first);
    }
    subject_run(here);
    uint64_t elapsed = bench_now_ns() - begin;
    for (uint32_t i = 0; i < senders; i++) {
        pthread_join(threads[i], NULL);
    }
    free(threads);
    return (double)elapsed / total;
}

void micro_flood(uint32_t senders)
{
    char name[64];
    if (senders == 0 || POSTS % senders != 0 || FLOOD % senders != 0) {
        bench_die("flood: a number of senders that divides 400000");
    }
    here = subject_open(true);
    subject_wake_open(here, on_flood, NULL);
    snprintf(name, sizeof name, "send_flood_%u", senders);
    micro_print(name, run_flood(senders, FLOOD, send_flood, NULL));
    subject_close(here);

    if ((subject_features & SUBJECT_POSTS) == 0) {
        return;
    }
    char *nodes = calloc(POSTS, subject_post_size());
    posts_left = POSTS;
    here = subject_open(true);
    subject_posts_open(here, on_post, NULL);
    snprintf(name, sizeof name, "post_flood_%u", senders);
    micro_print(name, run_flood(senders, POSTS, post_flood, nodes));
    subject_close(here);
    free(nodes);
}
