/* A histogram of nanoseconds: 32 buckets to each power of two, so a percentile is right to 3 %. */
#ifndef LOAD_HIST_H
#define LOAD_HIST_H

#include <stdint.h>

enum { LOAD_HIST_STEPS = 32, LOAD_HIST_BUCKETS = LOAD_HIST_STEPS * 60 };

struct load_hist {
    uint64_t counts[LOAD_HIST_BUCKETS];
    uint64_t total, max_ns;
};

void load_hist_add(struct load_hist *hist, uint64_t ns);

/* The smallest bucket's upper bound with at least `share` (0 to 1) of all values below it. */
uint64_t load_hist_at(const struct load_hist *hist, double share);

#endif
