/* The loop itself: a turn with nothing to do, one idle callback, start-up with tear-down. */
#include "micro.h"
#include "subject.h"

#include "../common/util.h"

enum { TURNS = 300000, IDLE_TURNS = 20000, IDLE_CALLBACKS = 100, LOOPS = 2000, WARM = 1000 };

/* A loop of a real program has a wake-up, a listener or the like: here one wake-up. */
static void never(void *arg)
{
    (void)arg;
}

static double turn_ns(subject *loop, uint32_t turns)
{
    for (uint32_t i = 0; i < WARM; i++) {
        subject_turn(loop);
    }
    uint64_t begin = bench_now_ns();
    for (uint32_t i = 0; i < turns; i++) {
        subject_turn(loop);
    }
    return (double)(bench_now_ns() - begin) / turns;
}

void micro_turns(void)
{
    subject *loop = subject_open(false);
    subject_wake_open(loop, never, NULL);
    double empty = turn_ns(loop, TURNS);
    micro_print("turn_empty", empty);
    if ((subject_features & SUBJECT_IDLE) != 0) {
        subject_idle_start(loop, IDLE_CALLBACKS);
        double busy = turn_ns(loop, IDLE_TURNS);
        subject_idle_stop(loop);
        micro_print("idle_callback", (busy - empty) / IDLE_CALLBACKS);
    }
    subject_close(loop);
}

void micro_startup(void)
{
    uint64_t begin = bench_now_ns();
    for (uint32_t i = 0; i < LOOPS; i++) {
        subject *loop = subject_open(false);
        subject_turn(loop);
        subject_close(loop);
    }
    micro_print("loop_open_turn_close", (double)(bench_now_ns() - begin) / LOOPS);
}
