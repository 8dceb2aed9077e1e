/*
 * Files: each request is one operation. On io_uring the kernel works on it. Elsewhere the backend
 * makes the call at dispatch if that needs no disk, and else gives it back to us, for a thread of
 * the pool.
 */
#include "gyre/fs.h"

#include "core/loop.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

enum { READ_MAX = 1 << 30 };

_Static_assert(sizeof(struct open_how) <= sizeof(((gyre_fs_req *)0)->how), "open_how fits");
_Static_assert(offsetof(struct open_how, flags) == 0, "how[0] is the flags");
_Static_assert(sizeof(struct statx) <= sizeof(((gyre_fs_req *)0)->raw), "statx fits");
_Static_assert(GYRE_FS_CWD == AT_FDCWD, /* NOLINT(misc-redundant-expression) */
               "the kernel's number");

static gyre_fs_type type_of(uint32_t mode)
{
    if (S_ISREG(mode))
        return GYRE_FS_FILE;
    if (S_ISDIR(mode))
        return GYRE_FS_DIRECTORY;
    return S_ISLNK(mode) ? GYRE_FS_SYMLINK : GYRE_FS_OTHER;
}

static void fill_stat(gyre_fs_req *req)
{
    struct statx raw;

    memcpy(&raw, req->raw, sizeof(raw));
    req->stat = (struct gyre_fs_stat){
        .device = (uint64_t)raw.stx_dev_major << 32 | raw.stx_dev_minor,
        .inode = raw.stx_ino,
        .size = raw.stx_size,
        .modified_ns = raw.stx_mtime.tv_sec * (int64_t)GYRE_SECOND + (int64_t)raw.stx_mtime.tv_nsec,
        .mode = raw.stx_mode & ALLPERMS,
        .type = type_of(raw.stx_mode),
    };
}

static const char *name_of(const gyre_op *op)
{
    switch ((gyrei_op_kind)op->kind) {
    case GYREI_OP_OPEN: return "open";
    case GYREI_OP_STAT: return "stat";
    case GYREI_OP_READ: return "read";
    default: return "close";
    }
}

/* ---- opening without waiting for the other end of a fifo: non-blocking, whoever does it ---- */

static bool is_made_blocking(const gyre_fs_req *req)
{
    return (req->how[0] & O_NONBLOCK) != 0 && (req->flags & GYRE_FS_NONBLOCK) == 0;
}

/*
 * Once more, and now it waits: for the end of a lease (fcntl(2)). A fifo does not say GYRE_EAGAIN;
 * beneath a directory a path that was moved meanwhile does, and may lead to one (openat2(2)).
 */
static bool open_again(gyre_loop *loop, gyre_fs_req *req, int result)
{
    if (result != GYRE_EAGAIN || !is_made_blocking(req) || (req->flags & GYRE_FS_BENEATH) != 0 ||
        (req->op.flags & GYREI_OP_CANCELING) != 0)
        return false;
    req->how[0] &= ~(uint64_t)O_NONBLOCK;
    gyrei_op_submit(loop, &req->op);
    return true;
}

static void make_blocking(const gyre_loop *loop, const gyre_fs_req *req, int fd)
{
    const uint64_t flags = req->how[0] & ~(uint64_t)O_NONBLOCK;

    if (fd >= 0 && is_made_blocking(req))
        (void)loop->env->sys->set_status(loop->env, fd, (int)flags); /* nothing can be wrong */
}

/* ---- results ---- */

static void on_done(gyre_loop *loop, gyre_op *op, const gyrei_result *result)
{
    gyre_fs_req *req = GYRE_CONTAINER_OF(op, gyre_fs_req, op);
    const char *name = name_of(op);
    gyrei_frame frame;

    if (op->kind == GYREI_OP_OPEN && open_again(loop, req, result->value))
        return;
    if (op->kind == GYREI_OP_OPEN)
        make_blocking(loop, req, result->value);
    if (op->kind == GYREI_OP_STAT && result->value == 0)
        fill_stat(req);
    gyrei_op_close(loop, op);
    gyrei_request_end(loop);
    req->result = result->value;
    req->loop = NULL;
    gyrei_callback_enter(loop, &frame, GYRE_HANDLE_NONE, req, name);
    req->cb(req);
    gyrei_callback_leave(loop, &frame);
}

/* ---- calls that would wait ---- */

static void run_offloaded(gyre_work *work)
{
    gyre_fs_req *req = GYRE_CONTAINER_OF(work, gyre_fs_req, work);

    req->result = req->call(req->loop->env, &req->op);
}

static void offloaded_done(gyre_work *work, int status)
{
    gyre_fs_req *req = GYRE_CONTAINER_OF(work, gyre_fs_req, work);

    (void)gyrei_op_complete(req->loop, &req->op, status == 0 ? (int32_t)req->result : status, 0, 0);
}

static bool offload_start(gyre_loop *loop, gyre_op *op, gyrei_op_call call)
{
    static const gyre_work_options options = {.size = sizeof(options),
                                              .work_class = GYRE_WORK_FILE};
    gyre_fs_req *req = GYRE_CONTAINER_OF(op, gyre_fs_req, op);

    req->call = call;
    return gyre_work_submit(loop, &req->work, &options, run_offloaded, offloaded_done) == 0;
}

static void offload_cancel(gyre_loop *loop, gyre_op *op)
{
    (void)loop;
    (void)gyre_work_cancel(&GYRE_CONTAINER_OF(op, gyre_fs_req, op)->work);
}

static const gyrei_offload offload = {.start = offload_start, .cancel = offload_cancel};

/* ---- requests ---- */

static int begin(gyre_loop *loop, gyre_fs_req *req, gyrei_op_kind kind, int fd, gyre_fs_cb cb)
{
    int error;

    GYRE_ASSERT(cb != NULL);
    gyrei_loop_check(loop);
    error = gyrei_op_init(loop, &req->op);
    if (error != 0)
        return error;
    gyrei_op_prepare(&req->op, kind, fd, 0, on_done);
    loop->offload = &offload;
    req->result = 0;
    req->loop = loop;
    req->cb = cb;
    return 0;
}

static void submit(gyre_loop *loop, gyre_fs_req *req)
{
    gyrei_request_begin(loop);
    gyrei_op_submit(loop, &req->op);
}

static void *without_const(const char *path)
{
    union {
        const char *given;
        void *stored;
    } pointer = {.given = path};

    return pointer.stored;
}

/* open(2)'s flags for ours; -1 for a set that means nothing. */
static int64_t open_flags(uint32_t flags)
{
    static const struct {
        uint32_t ours;
        uint32_t kernel;
    } map[] = {
        {GYRE_FS_CREATE, O_CREAT},
        {GYRE_FS_EXCLUSIVE, O_EXCL},
        {GYRE_FS_TRUNCATE, O_TRUNC},
        {GYRE_FS_APPEND, O_APPEND},
        {GYRE_FS_DIRECTORY_ONLY, O_DIRECTORY},
        {GYRE_FS_NONBLOCK, O_NONBLOCK},
    };
    const uint32_t access = flags & (GYRE_FS_READ | GYRE_FS_WRITE);
    uint32_t kernel = O_CLOEXEC | O_NOCTTY;
    uint32_t known = GYRE_FS_READ | GYRE_FS_WRITE | GYRE_FS_BENEATH;

    if (access == 0)
        return -1;
    kernel |= access == GYRE_FS_READ ? O_RDONLY : access == GYRE_FS_WRITE ? O_WRONLY : O_RDWR;
    for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
        known |= map[i].ours;
        if ((flags & map[i].ours) != 0)
            kernel |= map[i].kernel;
    }
    return (flags & ~known) == 0 ? (int64_t)kernel : -1;
}

int gyre_fs_open(gyre_loop *loop, gyre_fs_req *req, int directory, const char *path, uint32_t flags,
                 uint32_t mode, gyre_fs_cb cb)
{
    const int64_t kernel_flags = open_flags(flags);
    struct open_how how = {.flags = (uint64_t)kernel_flags | O_NONBLOCK};
    int error;

    GYRE_ASSERT(path != NULL);
    if (kernel_flags < 0 || (mode & ~(uint32_t)ALLPERMS) != 0)
        return GYRE_EINVAL;
    /* openat2 refuses a mode where nothing is created. */
    if ((flags & GYRE_FS_CREATE) != 0)
        how.mode = mode;
    if ((flags & GYRE_FS_BENEATH) != 0)
        how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    error = begin(loop, req, GYREI_OP_OPEN, directory, cb);
    if (error != 0)
        return error;
    memcpy(req->how, &how, sizeof(how));
    req->flags = flags;
    req->op.pointer = without_const(path);
    req->op.arg64 = (uint64_t)(uintptr_t)req->how;
    submit(loop, req);
    return 0;
}

static int submit_stat(gyre_loop *loop, gyre_fs_req *req, int fd, const char *path, uint32_t flags,
                       gyre_fs_cb cb)
{
    const int error = begin(loop, req, GYREI_OP_STAT, fd, cb);

    if (error != 0)
        return error;
    req->op.pointer = without_const(path);
    req->op.arg32 = flags;
    req->op.arg64 = (uint64_t)(uintptr_t)req->raw;
    submit(loop, req);
    return 0;
}

int gyre_fs_stat_fd(gyre_loop *loop, gyre_fs_req *req, int fd, gyre_fs_cb cb)
{
    return submit_stat(loop, req, fd, "", AT_EMPTY_PATH, cb);
}

int gyre_fs_stat_path(gyre_loop *loop, gyre_fs_req *req, int directory, const char *path,
                      gyre_fs_cb cb)
{
    GYRE_ASSERT(path != NULL);
    return submit_stat(loop, req, directory, path, 0, cb);
}

int gyre_fs_read(gyre_loop *loop, gyre_fs_req *req, int fd, void *base, size_t len, uint64_t offset,
                 gyre_fs_cb cb)
{
    int error;

    GYRE_ASSERT(base != NULL);
    if (len == 0 || len > READ_MAX || offset > (uint64_t)INT64_MAX)
        return GYRE_EINVAL;
    error = begin(loop, req, GYREI_OP_READ, fd, cb);
    if (error != 0)
        return error;
    req->op.pointer = base;
    req->op.arg32 = (uint32_t)len;
    req->op.arg64 = offset;
    submit(loop, req);
    return 0;
}

int gyre_fs_close(gyre_loop *loop, gyre_fs_req *req, int fd, gyre_fs_cb cb)
{
    const int error = begin(loop, req, GYREI_OP_CLOSE, fd, cb);

    if (error != 0)
        return error;
    submit(loop, req);
    return 0;
}

int gyre_fs_cancel(gyre_fs_req *req)
{
    gyre_loop *loop = req->loop;

    if (loop == NULL)
        return GYRE_ENOENT;
    gyrei_loop_check(loop);
    gyrei_op_cancel(loop, &req->op);
    return 0;
}
