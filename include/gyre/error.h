/*
 * The one table of errors.
 *
 * Every operating error is a negative number with the same value and meaning on every system. The
 * values that Linux knows carry Linux's numbers; the library's own begin at -4000. Programmer
 * errors are not in this table: they stop the program in GYRE_ASSERT.
 */
#ifndef GYRE_ERROR_H
#define GYRE_ERROR_H

#include "gyre/export.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, value, text) */
#define GYRE_ERROR_MAP(X)                                                                          \
    X(EPERM, -1, "operation not permitted")                                                        \
    X(ENOENT, -2, "no such file or directory")                                                     \
    X(EINTR, -4, "interrupted system call")                                                        \
    X(EIO, -5, "input/output error")                                                               \
    X(ENXIO, -6, "no such device or address")                                                      \
    X(E2BIG, -7, "argument list too long")                                                         \
    X(EBADF, -9, "bad file descriptor")                                                            \
    X(ECHILD, -10, "no child process")                                                             \
    X(EAGAIN, -11, "resource temporarily unavailable")                                             \
    X(ENOMEM, -12, "out of memory")                                                                \
    X(EACCES, -13, "permission denied")                                                            \
    X(EFAULT, -14, "bad address")                                                                  \
    X(EBUSY, -16, "resource busy")                                                                 \
    X(EEXIST, -17, "file exists")                                                                  \
    X(EXDEV, -18, "path leaves the permitted tree")                                                \
    X(ENODEV, -19, "no such device")                                                               \
    X(ENOTDIR, -20, "not a directory")                                                             \
    X(EISDIR, -21, "is a directory")                                                               \
    X(EINVAL, -22, "invalid argument")                                                             \
    X(ENFILE, -23, "too many open files in the system")                                            \
    X(EMFILE, -24, "too many open files in the process")                                           \
    X(ENOTTY, -25, "inappropriate operation for the device")                                       \
    X(ETXTBSY, -26, "text file busy")                                                              \
    X(EFBIG, -27, "file too large")                                                                \
    X(ENOSPC, -28, "no space left on device")                                                      \
    X(ESPIPE, -29, "illegal seek")                                                                 \
    X(EROFS, -30, "read-only file system")                                                         \
    X(EMLINK, -31, "too many links")                                                               \
    X(EPIPE, -32, "broken pipe")                                                                   \
    X(ERANGE, -34, "result out of range")                                                          \
    X(EDEADLK, -35, "resource deadlock avoided")                                                   \
    X(ENAMETOOLONG, -36, "name too long")                                                          \
    X(ENOSYS, -38, "function not implemented")                                                     \
    X(ENOTEMPTY, -39, "directory not empty")                                                       \
    X(ELOOP, -40, "too many symbolic links")                                                       \
    X(EPROTO, -71, "protocol error")                                                               \
    X(EOVERFLOW, -75, "value too large")                                                           \
    X(EILSEQ, -84, "illegal byte sequence")                                                        \
    X(ENOTSOCK, -88, "not a socket")                                                               \
    X(EDESTADDRREQ, -89, "destination address required")                                           \
    X(EMSGSIZE, -90, "message too long")                                                           \
    X(EPROTOTYPE, -91, "wrong protocol type for socket")                                           \
    X(ENOPROTOOPT, -92, "protocol option not available")                                           \
    X(EPROTONOSUPPORT, -93, "protocol not supported")                                              \
    X(ENOTSUP, -95, "operation not supported")                                                     \
    X(EAFNOSUPPORT, -97, "address family not supported")                                           \
    X(EADDRINUSE, -98, "address already in use")                                                   \
    X(EADDRNOTAVAIL, -99, "address not available")                                                 \
    X(ENETDOWN, -100, "network is down")                                                           \
    X(ENETUNREACH, -101, "network is unreachable")                                                 \
    X(ECONNABORTED, -103, "connection aborted")                                                    \
    X(ECONNRESET, -104, "connection reset by peer")                                                \
    X(ENOBUFS, -105, "no buffer space available")                                                  \
    X(EISCONN, -106, "already connected")                                                          \
    X(ENOTCONN, -107, "not connected")                                                             \
    X(ESHUTDOWN, -108, "cannot send after shutdown")                                               \
    X(ETIMEDOUT, -110, "deadline exceeded")                                                        \
    X(ECONNREFUSED, -111, "connection refused")                                                    \
    X(EHOSTDOWN, -112, "host is down")                                                             \
    X(EHOSTUNREACH, -113, "no route to host")                                                      \
    X(EALREADY, -114, "operation already in progress")                                             \
    X(EINPROGRESS, -115, "operation now in progress")                                              \
    X(ESTALE, -116, "stale file handle")                                                           \
    X(EDQUOT, -122, "disk quota exceeded")                                                         \
    X(ECANCELED, -125, "operation canceled")                                                       \
    X(EOF, -4000, "end of stream")                                                                 \
    X(EGONE, -4001, "the loop or handle is gone")                                                  \
    X(EUNKNOWN, -4002, "unknown error")

enum gyre_error {
    GYRE_OK = 0,
#define GYRE_ERROR_ENUM(name, value, text) GYRE_##name = (value),
    GYRE_ERROR_MAP(GYRE_ERROR_ENUM)
#undef GYRE_ERROR_ENUM
};

/*
 * Says what `error` means, in a few lower-case English words.
 *
 * Params: error: 0, a GYRE_E* value, or any other number.
 * Owns:   the text is static; never free it.
 * Thread: any.
 * Phase:  none.
 * Errors: none; "unknown error" for a number outside the table.
 * Since:  0.1.
 */
GYRE_EXPORT const char *gyre_strerror(int64_t error);

/*
 * Names `error` as the source writes it without its prefix: "ECONNRESET", "EOF", "OK".
 *
 * Params: error: 0, a GYRE_E* value, or any other number.
 * Owns:   the text is static; never free it.
 * Thread: any.
 * Phase:  none.
 * Errors: none; "EUNKNOWN" for a number outside the table.
 * Since:  0.1.
 */
GYRE_EXPORT const char *gyre_errname(int64_t error);

#ifdef __cplusplus
}
#endif
#endif
