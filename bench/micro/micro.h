/* What the micro benchmarks share. Each prints "NAME VALUE" lines, in nanoseconds an operation; the
 * harness makes rounds of them. */
#ifndef MICRO_H
#define MICRO_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

void micro_print(const char *name, double value);

/* A small fast generator, the same in each run. */
uint32_t micro_random(uint64_t *state);

/* Binds the calling thread to the n-th processor that the process began with, if there is one. */
void micro_pin(unsigned n);

void micro_timers(uint32_t count);
void micro_turns(void);
void micro_startup(void);
void micro_wake(bool same_core);
void micro_pending(void);
void micro_flood(uint32_t senders);

#endif
