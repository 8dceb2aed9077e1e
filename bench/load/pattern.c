/* The bytes that are sent: pseudo-random, the same in each run, periodic. Few pages, so that the
 * generator's own data stays small beside the server's on a shared core. */
#include "load.h"

static char pattern[LOAD_PERIOD + LOAD_CHUNK];

const char *load_pattern(void)
{
    uint32_t state = 2463534242u;
    if (pattern[0] != 0) {
        return pattern;
    }
    for (uint32_t i = 0; i < sizeof pattern; i++) {
        if (i < LOAD_PERIOD) {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            pattern[i] = (char)(state >> 8 | 1);
        } else {
            pattern[i] = pattern[i - LOAD_PERIOD];
        }
    }
    return pattern;
}
