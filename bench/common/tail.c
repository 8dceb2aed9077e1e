/* The helpers of tail.h. */
#include "tail.h"

#include "util.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>

void bench_tail_add(struct bench_tail *tail, const void *bytes, size_t length)
{
    if (tail->capacity - tail->end < length) {
        size_t pending = tail->end - tail->start;
        size_t capacity = (pending + length) * 2;
        char *grown = bench_alloc(capacity);
        if (pending > 0) {
            memcpy(grown, tail->bytes + tail->start, pending);
        }
        free(tail->bytes);
        *tail = (struct bench_tail){.bytes = grown, .end = pending, .capacity = capacity};
    }
    memcpy(tail->bytes + tail->end, bytes, length);
    tail->end += length;
}

void bench_tail_drop(struct bench_tail *tail, size_t length)
{
    tail->start += length;
    if (tail->start == tail->end) {
        tail->start = 0;
        tail->end = 0;
    }
}

void bench_tail_free(struct bench_tail *tail)
{
    free(tail->bytes);
    *tail = (struct bench_tail){.bytes = NULL};
}

ptrdiff_t bench_send(int fd, const void *bytes, size_t length)
{
    ssize_t sent = send(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) {
        return sent;
    }
    return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

bool bench_tail_flush(struct bench_tail *tail, int fd)
{
    ptrdiff_t sent = bench_send(fd, tail->bytes + tail->start, tail->end - tail->start);
    if (sent < 0) {
        return false;
    }
    bench_tail_drop(tail, (size_t)sent);
    return true;
}
