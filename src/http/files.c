/*
 * Files of a directory: open, stat, read and send by turns, one request at a time for each
 * transfer.
 *
 *   open --> stat --+--> directory: its index page, or a redirect to the name with "/"
 *                   +--> file: conditions, range --> read a piece --> send it --> ... --> close
 *
 * The directory is held open, and every path is resolved beneath it by the kernel. A file that
 * shrinks while it is sent ends the connection; one that grows is sent as long as it was. A
 * transfer that finds no descriptor left takes a spare one, or waits until another one closes its
 * file: where connections have taken all of them (accept runs ahead on io_uring), files are sent.
 */
#include "core/backend.h"
#include "http/http.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, PIECE_BYTES = 64 << 10, TAG_BYTES = 64, SPARES = 8 };

struct gyre_http_files {
    gyre_loop *loop;
    char *index;
    int directory;
    uint32_t transfers;  /* under way: the object outlives its close for them */
    uint32_t opening;    /* of them, that wait for an open */
    uint32_t open_files; /* of them, that hold a descriptor */
    gyre_link waiting;   /* transfers, for a descriptor */
    int spares[SPARES];  /* descriptors that only hold their numbers */
    uint32_t spare_count;
    bool closed;
};

typedef struct transfer {
    gyre_http_files *files;
    gyre_http_request *request;
    gyre_fs_req fs;
    gyre_link link; /* in files->waiting */
    int fd;
    uint64_t offset;
    uint64_t left;
    bool index_tried;
    bool started; /* the response's head was given, together with the first piece */
    char *piece;
    int status; /* of the response, and its headers */
    gyre_http_header headers[5];
    uint32_t header_count;
    char tag[TAG_BYTES];
    char date[32];
    char content_range[96];
    char path[PATH_BYTES];
} transfer;

static void on_open(gyre_fs_req *fs);
static bool open_path(transfer *self);
static void read_next(transfer *self);

/* ---- the end of a transfer ---- */

static void release_files(gyre_http_files *files)
{
    if (!files->closed || files->transfers > 0)
        return;
    close(files->directory);
    while (files->spare_count > 0)
        close(files->spares[--files->spare_count]);
    free(files->index);
    free(files);
}

static void free_transfer(transfer *self)
{
    gyre_http_files *files = self->files;

    free(self->piece);
    free(self);
    files->transfers--;
    release_files(files);
}

/* The transfer that has waited longest tries again. */
static void wake_next(gyre_http_files *files)
{
    gyre_link *link;

    while ((link = gyrei_list_pop(&files->waiting)) != NULL) {
        if (open_path(GYRE_CONTAINER_OF(link, transfer, link)))
            return;
    }
}

static void fill_spares(gyre_http_files *files)
{
    const gyrei_env *env = gyrei_loop_env(files->loop);
    const struct open_how how = {.flags = O_PATH | O_CLOEXEC};

    while (files->spare_count < SPARES) {
        const int fd = env->sys->openat2(env, files->directory, ".", &how);

        if (fd < 0)
            return;
        files->spares[files->spare_count++] = fd;
    }
}

/* There may be a descriptor for somebody. */
static void offer_descriptor(gyre_http_files *files)
{
    if (gyrei_list_empty(&files->waiting))
        fill_spares(files);
    else
        wake_next(files);
}

static void on_descriptor_free(gyre_http_files *files)
{
    files->open_files--;
    offer_descriptor(files);
}

static void on_file_closed(gyre_fs_req *fs)
{
    transfer *self = fs->data;

    on_descriptor_free(self->files);
    free_transfer(self);
}

static void end_transfer(transfer *self)
{
    if (self->fd < 0) {
        free_transfer(self);
    } else if (gyre_fs_close(self->files->loop, &self->fs, self->fd, on_file_closed) != 0) {
        close(self->fd);
        on_descriptor_free(self->files);
        free_transfer(self);
    }
}

/* The connection broke meanwhile: nobody waits for a response. */
static bool is_late(const transfer *self)
{
    return self->request->conn->state != GYREI_HTTP_RESPONDING;
}

static void fail(transfer *self, int status)
{
    gyrei_http_respond_error(self->request, status, NULL, 0);
    end_transfer(self);
}

static int status_of(int64_t error)
{
    switch (error) {
    case GYRE_ENOENT:
    case GYRE_ENOTDIR:
    case GYRE_ENAMETOOLONG: return 404;
    case GYRE_EXDEV:
    case GYRE_ELOOP:
    case GYRE_EACCES:
    case GYRE_ENXIO: /* a socket: no document either */
    case GYRE_EPERM: return 403;
    case GYRE_EMFILE:
    case GYRE_ENFILE:
    case GYRE_ENOMEM: return 503;
    default: return 500;
    }
}

/* ---- sending ---- */

static void on_piece_sent(gyre_http_request *request, int status, void *data)
{
    transfer *self = data;

    if (status < 0 || is_late(self) || self->left == 0) {
        gyre_http_respond_end(request);
        end_transfer(self);
        return;
    }
    read_next(self);
}

/* Gives the head. A file's goes with its first piece: one send for both, and one segment. */
static bool start(transfer *self, uint64_t length)
{
    if (self->started)
        return true;
    self->started = true;
    return gyre_http_respond_start(self->request, self->status, self->headers, self->header_count,
                                   length) == 0;
}

static void on_piece(gyre_fs_req *fs)
{
    transfer *self = fs->data;
    const uint64_t len = fs->result > 0 ? (uint64_t)fs->result : 0;

    if (len == 0 && !self->started && !is_late(self)) {
        fail(self, 500);
        return;
    }
    /* 0 before the end: the file was cut. The response stays short, and the connection ends. */
    if (len == 0 || is_late(self) || !start(self, self->left)) {
        on_piece_sent(self->request, GYRE_EIO, self);
        return;
    }
    self->offset += len;
    self->left -= len;
    if (gyrei_http_respond_lent(self->request, self->piece, len, on_piece_sent, self) != 0)
        on_piece_sent(self->request, GYRE_EIO, self);
}

static void read_next(transfer *self)
{
    const size_t want = self->left < PIECE_BYTES ? (size_t)self->left : PIECE_BYTES;

    if (gyre_fs_read(self->files->loop, &self->fs, self->fd, self->piece, want, self->offset,
                     on_piece) != 0)
        on_piece_sent(self->request, GYRE_ENOMEM, self);
}

static void send_file(transfer *self, int status, uint32_t header_count, uint64_t length)
{
    self->status = status;
    self->header_count = header_count;
    if (length == 0 || strcmp(gyre_http_method(self->request), "HEAD") == 0) {
        (void)start(self, length);
        gyre_http_respond_end(self->request);
        end_transfer(self);
        return;
    }
    self->piece = malloc(length < PIECE_BYTES ? (size_t)length : PIECE_BYTES);
    if (self->piece == NULL) {
        fail(self, 503);
        return;
    }
    self->left = length;
    read_next(self);
}

/* ---- what of the file is sent ---- */

static void respond_without_body(transfer *self, int status, const gyre_http_header *headers,
                                 uint32_t header_count)
{
    if (status == 304)
        (void)gyre_http_respond(self->request, status, headers, header_count, NULL, 0);
    else
        gyrei_http_respond_error(self->request, status, headers, header_count);
    end_transfer(self);
}

static void respond_with_file(transfer *self)
{
    const struct gyre_fs_stat *stat = &self->fs.stat;
    const int64_t modified_s = stat->modified_ns / (int64_t)GYRE_SECOND;
    const int64_t now_s = gyre_loop_wall_ns(self->files->loop) / (int64_t)GYRE_SECOND;
    const char *range = gyre_http_header_of(self->request, "range");
    gyre_http_header *headers = self->headers;
    uint64_t first = 0;
    uint64_t count = stat->size;
    bool use_range;
    int status;

    headers[0] = (gyre_http_header){"ETag", self->tag};
    headers[1] = (gyre_http_header){"Last-Modified", self->date};
    headers[2] = (gyre_http_header){"Accept-Ranges", "bytes"};
    (void)snprintf(self->tag, sizeof(self->tag), "\"%llx-%llx-%llx\"",
                   (unsigned long long)stat->inode, (unsigned long long)stat->size,
                   (unsigned long long)stat->modified_ns);
    gyrei_http_date_format(modified_s < now_s ? modified_s : now_s, self->date);
    status = gyrei_http_match(self->request, self->tag, modified_s, &use_range);
    if (status != 0) {
        respond_without_body(self, status, headers, 2);
        return;
    }
    headers[3] = (gyre_http_header){"Content-Type", gyrei_http_type(self->path)};
    if (range == NULL || !use_range || strcmp(gyre_http_method(self->request), "GET") != 0) {
        send_file(self, 200, 4, count);
        return;
    }
    switch (gyrei_http_range_parse(range, stat->size, &first, &count)) {
    case GYREI_HTTP_RANGE_NONE: send_file(self, 200, 4, stat->size); return;
    case GYREI_HTTP_RANGE_UNSATISFIABLE:
        (void)snprintf(self->content_range, sizeof(self->content_range), "bytes */%llu",
                       (unsigned long long)stat->size);
        headers[0] = (gyre_http_header){"Content-Range", self->content_range};
        respond_without_body(self, 416, headers, 1);
        return;
    case GYREI_HTTP_RANGE_ONE: break;
    }
    (void)snprintf(self->content_range, sizeof(self->content_range), "bytes %llu-%llu/%llu",
                   (unsigned long long)first, (unsigned long long)(first + count - 1),
                   (unsigned long long)stat->size);
    headers[4] = (gyre_http_header){"Content-Range", self->content_range};
    self->offset = first;
    send_file(self, 206, 5, count);
}

/* ---- finding the file ---- */

static bool ends_with_slash(const char *target)
{
    const size_t len = strcspn(target, "?#");

    return len > 0 && target[len - 1] == '/';
}

/*
 * Writes a text so that it may stand in a URI, whatever its bytes are; those of `kept` mean what
 * they mean there. Returns its end.
 */
static char *encode(const char *text, const char *kept, char *to)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-._~!$&'()*+,;=:@/";
    static const char digits[] = "0123456789ABCDEF";

    for (; *text != '\0'; text++) {
        const unsigned char byte = (unsigned char)*text;

        if (strchr(plain, byte) != NULL || strchr(kept, byte) != NULL) {
            *to++ = (char)byte;
        } else {
            *to++ = '%';
            *to++ = digits[byte >> 4];
            *to++ = digits[byte & 15];
        }
    }
    return to;
}

/*
 * A directory's page has relative links: its name must end with "/" (as the client sees it). The
 * place is written anew from what the target meant: browsers take a target that begins with "//" or
 * "/\" for another host's.
 */
static void redirect(transfer *self)
{
    const char *target = gyre_http_target(self->request);
    const char *query = target + strcspn(target, "?#");
    const char *path = strcmp(self->path, ".") == 0 ? "" : self->path;
    char *location = malloc(3 * (strlen(path) + strlen(query)) + 3);
    gyre_http_header header = {"Location", location};
    char *end;

    if (location == NULL) {
        fail(self, 503);
        return;
    }
    location[0] = '/';
    end = encode(path, "", location + 1);
    if (end[-1] != '/')
        *end++ = '/';
    end = encode(query, "?#%", end);
    *end = '\0';
    gyrei_http_respond_error(self->request, 301, &header, 1);
    free(location);
    end_transfer(self);
}

/* False: it could not be tried, and the transfer is over. */
static bool open_path(transfer *self)
{
    if (gyre_fs_open(self->files->loop, &self->fs, self->files->directory, self->path,
                     GYRE_FS_READ | GYRE_FS_NONBLOCK | GYRE_FS_BENEATH, 0, on_open) == 0) {
        self->files->opening++;
        return true;
    }
    fail(self, 503);
    return false;
}

static void on_directory_closed(gyre_fs_req *fs)
{
    transfer *self = fs->data;

    self->files->open_files--;
    (void)open_path(self);
}

static void try_index(transfer *self)
{
    const size_t len = strlen(self->path);
    const int fd = self->fd;

    if (self->index_tried) {
        fail(self, 404);
        return;
    }
    if (!ends_with_slash(gyre_http_target(self->request))) {
        redirect(self);
        return;
    }
    self->index_tried = true;
    if (len + strlen(self->files->index) + 2 > sizeof(self->path)) {
        fail(self, 404);
        return;
    }
    (void)snprintf(self->path + len, sizeof(self->path) - len, "/%s", self->files->index);
    self->fd = -1;
    if (gyre_fs_close(self->files->loop, &self->fs, fd, on_directory_closed) != 0) {
        close(fd);
        on_descriptor_free(self->files);
        fail(self, 503);
    }
}

static void on_stat(gyre_fs_req *fs)
{
    transfer *self = fs->data;

    if (is_late(self) || fs->result < 0)
        fail(self, status_of(fs->result));
    else if (fs->stat.type == GYRE_FS_DIRECTORY)
        try_index(self);
    else if (fs->stat.type != GYRE_FS_FILE)
        fail(self, 403); /* a device or a fifo is no document */
    else if (!self->index_tried && ends_with_slash(gyre_http_target(self->request)))
        fail(self, 404);
    else
        respond_with_file(self);
}

/* Whether the transfer may try again, or will. */
static bool find_descriptor(transfer *self)
{
    gyre_http_files *files = self->files;

    if (files->spare_count > 0) {
        close(files->spares[--files->spare_count]);
        (void)open_path(self);
        return true;
    }
    if (files->open_files + files->opening == 0)
        return false;
    gyrei_list_append(&files->waiting, &self->link);
    return true;
}

static void on_open(gyre_fs_req *fs)
{
    transfer *self = fs->data;
    gyre_http_files *files = self->files;

    files->opening--;
    if ((fs->result == GYRE_EMFILE || fs->result == GYRE_ENFILE) && find_descriptor(self))
        return;
    if (fs->result < 0) {
        offer_descriptor(files); /* that this one did not take */
        fail(self, status_of(fs->result));
        return;
    }
    files->open_files++;
    self->fd = (int)fs->result;
    if (gyre_fs_stat_fd(self->files->loop, fs, self->fd, on_stat) != 0)
        fail(self, 503);
}

void gyre_http_files_serve(gyre_http_files *files, gyre_http_request *request)
{
    static const gyre_http_header allow = {"Allow", "GET, HEAD"};
    const char *method = gyre_http_method(request);
    transfer *self;

    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        gyrei_http_respond_error(request, 405, &allow, 1);
        return;
    }
    self = malloc(sizeof(*self));
    if (self == NULL) {
        gyrei_http_respond_error(request, 503, NULL, 0);
        return;
    }
    if (gyrei_http_path(gyre_http_target(request), self->path, sizeof(self->path)) != 0) {
        free(self);
        gyrei_http_respond_error(request, 400, NULL, 0);
        return;
    }
    self->files = files;
    self->request = request;
    self->fd = -1;
    self->offset = 0;
    self->left = 0;
    self->index_tried = false;
    self->started = false;
    self->piece = NULL;
    self->fs.data = self;
    files->transfers++;
    (void)open_path(self);
}

/* ---- the directory ---- */

int gyre_http_files_init(gyre_loop *loop, gyre_http_files **out, const char *path,
                         const char *index)
{
    const gyrei_env *env = gyrei_loop_env(loop);
    const struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC};
    gyre_http_files *files = calloc(1, sizeof(*files));
    int error = GYRE_ENOMEM;

    if (files == NULL)
        return GYRE_ENOMEM;
    files->loop = loop;
    gyrei_list_init(&files->waiting);
    files->index = strdup(index != NULL ? index : "index.html");
    if (files->index != NULL)
        error = env->sys->openat2(env, GYRE_FS_CWD, path, &how);
    if (error < 0) {
        free(files->index);
        free(files);
        return error;
    }
    files->directory = error;
    fill_spares(files);
    *out = files;
    return 0;
}

void gyre_http_files_close(gyre_http_files *files)
{
    files->closed = true;
    release_files(files);
}
