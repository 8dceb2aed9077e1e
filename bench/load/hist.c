/* The histogram of hist.h. Values below LOAD_HIST_STEPS have a bucket each; above, the bucket is
 * the power of two and the five bits after the leading one. */
#include "hist.h"

enum { STEP_BITS = 5 };

static unsigned bucket_of(uint64_t ns)
{
    if (ns < LOAD_HIST_STEPS) {
        return (unsigned)ns;
    }
    unsigned power = 63u - (unsigned)__builtin_clzll(ns);
    unsigned step = (unsigned)(ns >> (power - STEP_BITS)) - LOAD_HIST_STEPS;
    return (power - STEP_BITS + 1) * LOAD_HIST_STEPS + step;
}

static uint64_t bucket_end(unsigned bucket)
{
    if (bucket < LOAD_HIST_STEPS) {
        return bucket;
    }
    unsigned shift = bucket / LOAD_HIST_STEPS - 1;
    return ((uint64_t)(bucket % LOAD_HIST_STEPS + LOAD_HIST_STEPS + 1) << shift) - 1;
}

void load_hist_add(struct load_hist *hist, uint64_t ns)
{
    hist->counts[bucket_of(ns)]++;
    hist->total++;
    if (ns > hist->max_ns) {
        hist->max_ns = ns;
    }
}

uint64_t load_hist_at(const struct load_hist *hist, double share)
{
    uint64_t wanted = (uint64_t)((double)hist->total * share);
    uint64_t seen = 0;
    for (unsigned i = 0; i < LOAD_HIST_BUCKETS; i++) {
        seen += hist->counts[i];
        if (seen > wanted) {
            uint64_t end = bucket_end(i);
            return end < hist->max_ns ? end : hist->max_ns;
        }
    }
    return hist->max_ns;
}
