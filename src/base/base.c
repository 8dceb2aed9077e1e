/*
 * The small functions of gyre/base.h: buffers, the version, and what a broken assertion does.
 */
#include "gyre/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>

/* Arrays of gyre_buf go to the kernel as arrays of struct iovec. */
_Static_assert(sizeof(gyre_buf) == sizeof(struct iovec), "gyre_buf is laid out as struct iovec");
_Static_assert(offsetof(gyre_buf, base) == offsetof(struct iovec, iov_base), "base first");
_Static_assert(offsetof(gyre_buf, len) == offsetof(struct iovec, iov_len), "length second");

gyre_buf gyre_buf_init(const void *base, size_t len)
{
    union {
        const void *given;
        char *stored;
    } bytes = {.given = base};

    GYRE_ASSERT(base != NULL || len == 0);
    return (gyre_buf){.base = bytes.stored, .len = len};
}

const char *gyre_version(void)
{
    return GYRE_VERSION_STRING;
}

void gyre_assert_failed(const char *file, int line, const char *expression)
{
    (void)fprintf(stderr, "%s:%d: gyre: assertion failed: %s\n", file, line, expression);
    abort();
}
