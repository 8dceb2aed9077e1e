/* Bytes that a socket did not take: a growing FIFO of bytes, empty and without memory at first.
 * Used off the fast path only. */
#ifndef BENCH_TAIL_H
#define BENCH_TAIL_H

#include <stdbool.h>
#include <stddef.h>

struct bench_tail {
    char *bytes;
    size_t start, end, capacity; /* what is pending is bytes[start, end) */
};

static inline bool bench_tail_empty(const struct bench_tail *tail)
{
    return tail->start == tail->end;
}

/* Copies `length` bytes behind the pending ones. May move tail->bytes. */
void bench_tail_add(struct bench_tail *tail, const void *bytes, size_t length);

/* Drops `length` bytes from the front. */
void bench_tail_drop(struct bench_tail *tail, size_t length);

void bench_tail_free(struct bench_tail *tail);

/* send(2) without blocking: the number of bytes taken, 0 when the socket is full, -1 when the
 * connection is lost. */
ptrdiff_t bench_send(int fd, const void *bytes, size_t length);

/* Sends what is pending; false when the connection is lost. */
bool bench_tail_flush(struct bench_tail *tail, int fd);

#endif
