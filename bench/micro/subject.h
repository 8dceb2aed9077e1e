/* One loop library behind the functions that the micro benchmarks call. Each subject is one file,
 * linked into a program of its own, so that no dispatch stands between a benchmark and its subject.
 * What a subject lacks is missing from subject_features, and its functions then do nothing. */
#ifndef MICRO_SUBJECT_H
#define MICRO_SUBJECT_H

#include <stdbool.h>
#include <stdint.h>

enum subject_feature {
    SUBJECT_TIMERS = 1,
    SUBJECT_IDLE = 2,
    SUBJECT_POSTS = 4 /* a queue of functions from other threads, none coalesced */
};

extern const unsigned subject_features;

typedef struct subject subject; /* one loop */
typedef void (*subject_cb)(void *arg);

/* `threads`: other threads will wake it, so a library that locks only on demand must lock. */
subject *subject_open(bool threads);
void subject_close(subject *s);

/* One turn that does not sleep. */
void subject_turn(subject *s);

/* Runs the loop until subject_stop, which is called on the loop's thread. */
void subject_run(subject *s);
void subject_stop(subject *s);

/* A coalescing wake-up: `cb(arg)` on the loop's thread at least once after each send, which comes
 * from any thread. One a loop. */
void subject_wake_open(subject *s, subject_cb cb, void *arg);
void subject_wake_send(subject *s);

/* `count` timers, made once and then started (also while started), stopped and expired; each
 * expiry calls micro_timer_fired. */
void subject_timers_open(subject *s, uint32_t count);
void subject_timer_start(subject *s, uint32_t timer, uint64_t delay_ns);
void subject_timer_stop(subject *s, uint32_t timer);
void subject_timers_close(subject *s);
void micro_timer_fired(void);

/* `count` idle callbacks a turn, which do nothing but count. */
void subject_idle_start(subject *s, uint32_t count);
void subject_idle_stop(subject *s);

/* Posts `node`, of subject_post_size() bytes, zeroed and not posted at present: `cb(arg)` runs once
 * for each. Set `cb` and `arg` with subject_posts_open. */
uint32_t subject_post_size(void);
void subject_posts_open(subject *s, subject_cb cb, void *arg);
void subject_post(subject *s, void *node);

#endif
