/*
 * From errno to the one table of errors, by name: the same GYRE_E* on every system, whatever number
 * its errno has.
 */
#include "os/os.h"

#include <errno.h>

/* The library's own errors have no errno; EAGAIN and EWOULDBLOCK are one number on all systems we
 * know. */
int gyrei_os_error(int number)
{
    switch (number) {
    case EPERM: return GYRE_EPERM;
    case ENOENT: return GYRE_ENOENT;
    case EINTR: return GYRE_EINTR;
    case EIO: return GYRE_EIO;
    case ENXIO: return GYRE_ENXIO;
    case E2BIG: return GYRE_E2BIG;
    case EBADF: return GYRE_EBADF;
    case ECHILD: return GYRE_ECHILD;
    case EAGAIN: return GYRE_EAGAIN;
    case ENOMEM: return GYRE_ENOMEM;
    case EACCES: return GYRE_EACCES;
    case EFAULT: return GYRE_EFAULT;
    case EBUSY: return GYRE_EBUSY;
    case EEXIST: return GYRE_EEXIST;
    case EXDEV: return GYRE_EXDEV;
    case ENODEV: return GYRE_ENODEV;
    case ENOTDIR: return GYRE_ENOTDIR;
    case EISDIR: return GYRE_EISDIR;
    case EINVAL: return GYRE_EINVAL;
    case ENFILE: return GYRE_ENFILE;
    case EMFILE: return GYRE_EMFILE;
    case ENOTTY: return GYRE_ENOTTY;
    case ETXTBSY: return GYRE_ETXTBSY;
    case EFBIG: return GYRE_EFBIG;
    case ENOSPC: return GYRE_ENOSPC;
    case ESPIPE: return GYRE_ESPIPE;
    case EROFS: return GYRE_EROFS;
    case EMLINK: return GYRE_EMLINK;
    case EPIPE: return GYRE_EPIPE;
    case ERANGE: return GYRE_ERANGE;
    case EDEADLK: return GYRE_EDEADLK;
    case ENAMETOOLONG: return GYRE_ENAMETOOLONG;
    case ENOSYS: return GYRE_ENOSYS;
    case ENOTEMPTY: return GYRE_ENOTEMPTY;
    case ELOOP: return GYRE_ELOOP;
    case EPROTO: return GYRE_EPROTO;
    case EOVERFLOW: return GYRE_EOVERFLOW;
    case EILSEQ: return GYRE_EILSEQ;
    case ENOTSOCK: return GYRE_ENOTSOCK;
    case EDESTADDRREQ: return GYRE_EDESTADDRREQ;
    case EMSGSIZE: return GYRE_EMSGSIZE;
    case EPROTOTYPE: return GYRE_EPROTOTYPE;
    case ENOPROTOOPT: return GYRE_ENOPROTOOPT;
    case EPROTONOSUPPORT: return GYRE_EPROTONOSUPPORT;
    case EOPNOTSUPP: return GYRE_ENOTSUP;
    case EAFNOSUPPORT: return GYRE_EAFNOSUPPORT;
    case EADDRINUSE: return GYRE_EADDRINUSE;
    case EADDRNOTAVAIL: return GYRE_EADDRNOTAVAIL;
    case ENETDOWN: return GYRE_ENETDOWN;
    case ENETUNREACH: return GYRE_ENETUNREACH;
    case ECONNABORTED: return GYRE_ECONNABORTED;
    case ECONNRESET: return GYRE_ECONNRESET;
    case ENOBUFS: return GYRE_ENOBUFS;
    case EISCONN: return GYRE_EISCONN;
    case ENOTCONN: return GYRE_ENOTCONN;
    case ESHUTDOWN: return GYRE_ESHUTDOWN;
    case ETIMEDOUT: return GYRE_ETIMEDOUT;
    case ETIME: return GYRE_ETIMEDOUT; /* how io_uring says that a wait is over */
    case ECONNREFUSED: return GYRE_ECONNREFUSED;
    case EHOSTDOWN: return GYRE_EHOSTDOWN;
    case EHOSTUNREACH: return GYRE_EHOSTUNREACH;
    case EALREADY: return GYRE_EALREADY;
    case EINPROGRESS: return GYRE_EINPROGRESS;
    case ESTALE: return GYRE_ESTALE;
    case EDQUOT: return GYRE_EDQUOT;
    case ECANCELED: return GYRE_ECANCELED;
    default: return GYRE_EUNKNOWN;
    }
}

int64_t gyrei_os_failed(void)
{
    return gyrei_os_error(errno);
}
