/*
 * The small types that every other header speaks in: buffers, the allocator, log lines, assertions,
 * the version.
 */
#ifndef GYRE_BASE_H
#define GYRE_BASE_H

#include "gyre/error.h"
#include "gyre/export.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GYRE_VERSION_MAJOR 0
#define GYRE_VERSION_MINOR 1
#define GYRE_VERSION_PATCH 0
#define GYRE_VERSION_STRING "0.1.0"

/* Nanoseconds in larger units: 5 * GYRE_SECOND reads better than nine zeros. */
#define GYRE_MICROSECOND UINT64_C(1000)
#define GYRE_MILLISECOND UINT64_C(1000000)
#define GYRE_SECOND UINT64_C(1000000000)

/*
 * The object that holds `member` at `pointer`: from a handle or request back to the struct of yours
 * around it.
 */
#define GYRE_CONTAINER_OF(pointer, type, member)                                                   \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

typedef struct gyre_loop gyre_loop;

/*
 * A run of bytes. Laid out as POSIX `struct iovec`, so that arrays of it go to the kernel as they
 * are.
 */
typedef struct gyre_buf {
    char *base;
    size_t len;
} gyre_buf;

/*
 * Where memory comes from. `resize(ctx, NULL, 0, n)` allocates, `resize(ctx, p, old, n)` moves, and
 * `resize(ctx, p, old, 0)` frees and returns NULL. NULL for n > 0 means out of memory. Called on
 * the loop's thread only, with two exceptions: gyre_loop_remote's object is freed by the thread
 * that drops the last reference, the unread bytes of a gyre_detached by the one that takes them.
 */
typedef struct gyre_allocator {
    void *(*resize)(void *ctx, void *pointer, size_t old_bytes, size_t new_bytes);
    void *ctx;
} gyre_allocator;

/* Receives one line, without its newline. Called on the loop's thread. */
typedef void (*gyre_log_cb)(void *ctx, const char *line);

/* An intrusive list's node; private to the library wherever it stands in a public struct. */
typedef struct gyre_link {
    struct gyre_link *next;
    struct gyre_link *prev;
} gyre_link;

/* A callback that waits in a loop's queue of pending work; private to the library. */
typedef struct gyre_task {
    gyre_link link;
    void (*run)(gyre_loop *loop, struct gyre_task *task);
} gyre_task;

/*
 * Makes a buffer of `base` and `len`.
 *
 * Params: base: may be NULL only if len is 0. len: bytes.
 * Owns:   nothing; the bytes stay the caller's.
 * Thread: any.
 * Phase:  none.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT gyre_buf gyre_buf_init(const void *base, size_t len);

/*
 * Says which version of the library is linked, as "MAJOR.MINOR.PATCH".
 *
 * Params: none.
 * Owns:   the text is static.
 * Thread: any.
 * Phase:  none.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT const char *gyre_version(void);

/*
 * Reports a broken assertion on standard error and aborts. Use it through GYRE_ASSERT.
 *
 * Params: file, line, expression: where and what.
 * Owns:   nothing.
 * Thread: any.
 * Phase:  none.
 * Errors: does not return.
 * Since:  0.1.
 */
#if defined(__GNUC__)
__attribute__((noreturn, cold))
#endif
GYRE_EXPORT void
gyre_assert_failed(const char *file, int line, const char *expression);

/*
 * A programmer's error: on in release builds too, because going on would corrupt what the user
 * trusts.
 */
#define GYRE_ASSERT(expression)                                                                    \
    ((expression) ? (void)0 : gyre_assert_failed(__FILE__, __LINE__, #expression))

#ifdef __cplusplus
}
#endif
#endif
