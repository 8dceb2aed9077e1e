/*
 * Files as operations: open, stat, read, close. On io_uring they go through the ring. Elsewhere
 * what is in memory is answered on the loop, and what has to wait for a disk by a thread of the
 * loop's pool (class GYRE_WORK_FILE, gyre/work.h); only when its queue is full does the loop wait
 * itself.
 */
#ifndef GYRE_FS_H
#define GYRE_FS_H

#include "gyre/op.h"
#include "gyre/work.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gyre_fs_req gyre_fs_req;

/* `req->result` is the answer: a descriptor, a count of bytes, 0, or a GYRE_E*. */
typedef void (*gyre_fs_cb)(gyre_fs_req *req);

typedef enum gyre_fs_type {
    GYRE_FS_OTHER = 0,
    GYRE_FS_FILE,
    GYRE_FS_DIRECTORY,
    GYRE_FS_SYMLINK
} gyre_fs_type;

struct gyre_fs_stat {
    uint64_t device;
    uint64_t inode;
    uint64_t size;
    int64_t modified_ns; /* since 1970-01-01 UTC */
    uint32_t mode;       /* permission bits, as chmod takes them */
    gyre_fs_type type;
};

enum gyre_fs_open_flags {
    GYRE_FS_READ = 1,
    GYRE_FS_WRITE = 2,
    GYRE_FS_CREATE = 4,
    GYRE_FS_EXCLUSIVE = 8,
    GYRE_FS_TRUNCATE = 16,
    GYRE_FS_APPEND = 32,
    GYRE_FS_DIRECTORY_ONLY = 64, /* GYRE_ENOTDIR for anything else */
    GYRE_FS_NONBLOCK = 256,      /* the descriptor is non-blocking */
    GYRE_FS_BENEATH =
        128 /* GYRE_EXDEV for a path that leaves the directory, by "..", "/" or a link (openat2) */
};

/* Stands for the working directory where a directory descriptor is asked for. */
#define GYRE_FS_CWD (-100)

struct gyrei_env;

struct gyre_fs_req {
    void *data; /* the user's */
    int64_t result;
    struct gyre_fs_stat stat; /* filled in by gyre_fs_stat */
    gyre_loop *loop;
    gyre_fs_cb cb;
    gyre_op op;
    uint32_t flags;   /* gyre_fs_open_flags */
    uint64_t how[3];  /* struct open_how */
    uint64_t raw[32]; /* struct statx */
    gyre_work work;   /* a call that has to wait, elsewhere than on io_uring */
    int64_t (*call)(const struct gyrei_env *env, const gyre_op *op);
};

/*
 * Opens a file; req->result is its descriptor, close-on-exec. The other end of a fifo is not waited
 * for.
 *
 * Params: directory: a descriptor or GYRE_FS_CWD. path: a text. flags: a set of gyre_fs_open_flags.
 *         mode: for a file that is created.
 * Owns:   the request and the path are the library's until `cb`; the descriptor is the caller's.
 * Thread: loop.
 * Phase:  `cb` runs in the poll or the pending phase.
 * Errors: GYRE_EINVAL, GYRE_ENOMEM here; in req->result GYRE_ENOENT, GYRE_EACCES, GYRE_ENOTDIR,
 *         GYRE_ELOOP, GYRE_EXDEV, GYRE_EMFILE, GYRE_ENFILE and what openat2(2) lists.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_fs_open(gyre_loop *loop, gyre_fs_req *req, int directory, const char *path,
                             uint32_t flags, uint32_t mode, gyre_fs_cb cb);

/*
 * Asks for a file's kind, size and times into req->stat.
 *
 * Params: fd: an open descriptor.
 * Owns:   the request is the library's until `cb`.
 * Thread: loop.
 * Phase:  `cb` runs in the poll or the pending phase.
 * Errors: GYRE_ENOMEM here; in req->result GYRE_EBADF and what statx(2) lists.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_fs_stat_fd(gyre_loop *loop, gyre_fs_req *req, int fd, gyre_fs_cb cb);

/*
 * As gyre_fs_stat_fd, for a path; a link is followed.
 *
 * Params: directory: a descriptor or GYRE_FS_CWD. path: a text.
 * Owns:   the request and the path are the library's until `cb`.
 * Thread: loop.
 * Phase:  `cb` runs in the poll or the pending phase.
 * Errors: GYRE_ENOMEM here; in req->result GYRE_ENOENT, GYRE_EACCES, GYRE_ENOTDIR, GYRE_ELOOP and
 *         what statx(2) lists.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_fs_stat_path(gyre_loop *loop, gyre_fs_req *req, int directory,
                                  const char *path, gyre_fs_cb cb);

/*
 * Reads up to `len` bytes at `offset`; req->result is the count, less only at the end of file, 0
 * past it.
 *
 * Params: len: 1 to 1 GiB. offset: bytes from the beginning.
 * Owns:   the request and the bytes at `base` are the library's until `cb`.
 * Thread: loop.
 * Phase:  `cb` runs in the poll or the pending phase.
 * Errors: GYRE_EINVAL, GYRE_ENOMEM here; in req->result GYRE_EBADF, GYRE_EISDIR, GYRE_EIO,
 *         GYRE_ECANCELED.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_fs_read(gyre_loop *loop, gyre_fs_req *req, int fd, void *base, size_t len,
                             uint64_t offset, gyre_fs_cb cb);

/*
 * Closes a descriptor.
 *
 * Params: fd: open; it is gone whatever req->result says.
 * Owns:   the request is the library's until `cb`.
 * Thread: loop.
 * Phase:  `cb` runs in the poll or the pending phase.
 * Errors: GYRE_ENOMEM here; in req->result GYRE_EBADF, GYRE_EIO.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_fs_close(gyre_loop *loop, gyre_fs_req *req, int fd, gyre_fs_cb cb);

/*
 * Asks for a request to end early; its callback comes as always, with GYRE_ECANCELED or, if it was
 * too late, the real result.
 *
 * Params: req: in flight.
 * Owns:   as before.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_ENOENT when it is not in flight.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_fs_cancel(gyre_fs_req *req);

#ifdef __cplusplus
}
#endif
#endif
