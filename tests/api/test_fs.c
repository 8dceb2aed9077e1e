/*
 * Files: open, stat, read and close as requests, their errors as results.
 */
#include "child.h"
#include "peers.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];
static int called;
static bool inside;

static int set_up(void **state)
{
    called = 0;
    inside = false;
    (void)snprintf(folder, sizeof(folder), "/tmp/gyre-fs-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    return loop_set_up(state);
}

static int tear_down(void **state)
{
    char command[128];
    const int error = loop_tear_down(state);

    (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command) == 0 ? error : -1; /* NOLINT(cert-env33-c) */
}

#define FS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void on_done(gyre_fs_req *req)
{
    assert_false(inside);
    assert_non_null(req);
    called++;
}

static gyre_fs_req *req_new(void)
{
    return lasting(sizeof(gyre_fs_req));
}

/* Waits for a request that was made just now, with `error` as what the call returned. */
static int64_t result_of(const gyre_fs_req *req, int error)
{
    const int goal = called + 1;

    if (error != 0)
        return error;
    run_until(&called, goal);
    return req->result;
}

static int64_t open_file(const char *path, uint32_t flags)
{
    gyre_fs_req *req = req_new();

    return result_of(req, gyre_fs_open(loop, req, GYRE_FS_CWD, path, flags, 0600, on_done));
}

static int64_t read_file(int fd, void *bytes, size_t len, uint64_t offset)
{
    gyre_fs_req *req = req_new();

    return result_of(req, gyre_fs_read(loop, req, fd, bytes, len, offset, on_done));
}

static int64_t close_file(int64_t fd)
{
    gyre_fs_req *req = req_new();

    return result_of(req, gyre_fs_close(loop, req, (int)fd, on_done));
}

/* A file of that name in the test's folder, with these bytes; its path lasts. */
static char *file_with(const char *name, const char *bytes, size_t len)
{
    char *path = lasting(128);
    FILE *file;

    (void)snprintf(path, 128, "%s/%s", folder, name);
    file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    return path;
}

static void a_file_is_opened_looked_at_read_and_closed(void **state)
{
    char *path = file_with("file", "hello, gyre", 11);
    gyre_fs_req *req = req_new();
    char *bytes = lasting(32);
    struct stat expected;
    int64_t fd = open_file(path, GYRE_FS_READ);

    (void)state;
    assert_true(fd >= 0);
    assert_true((fcntl((int)fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(result_of(req, gyre_fs_stat_fd(loop, req, (int)fd, on_done)), 0);
    assert_int_equal(stat(path, &expected), 0);
    assert_int_equal(req->stat.size, 11);
    assert_int_equal(req->stat.type, GYRE_FS_FILE);
    assert_int_equal(req->stat.inode, expected.st_ino);
    assert_int_equal(req->stat.modified_ns / (int64_t)GYRE_SECOND, expected.st_mtim.tv_sec);
    assert_int_equal(read_file((int)fd, bytes, 32, 0), 11);
    assert_memory_equal(bytes, "hello, gyre", 11);
    assert_int_equal(read_file((int)fd, bytes, 4, 7), 4);
    assert_memory_equal(bytes, "gyre", 4);
    assert_int_equal(read_file((int)fd, bytes, 4, 11), 0);
    assert_int_equal(read_file((int)fd, bytes, 4, 1000), 0);
    assert_int_equal(close_file(fd), 0);
    assert_int_equal(close_file(fd), GYRE_EBADF);
}

static void stat_follows_links_and_knows_kinds(void **state)
{
    const struct {
        const char *path;
        int64_t result;
        gyre_fs_type type;
    } cases[] = {
        {"/", 0, GYRE_FS_DIRECTORY},
        {"/dev/null", 0, GYRE_FS_OTHER},
        {"/proc/self/exe", 0, GYRE_FS_FILE},
        {"/nonexistent", GYRE_ENOENT, GYRE_FS_OTHER},
        {"/dev/null/x", GYRE_ENOTDIR, GYRE_FS_OTHER},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        gyre_fs_req *req = req_new();
        const int error = gyre_fs_stat_path(loop, req, GYRE_FS_CWD, cases[i].path, on_done);

        assert_int_equal(result_of(req, error), cases[i].result);
        if (cases[i].result == 0)
            assert_int_equal(req->stat.type, cases[i].type);
    }
}

static void errors_are_results(void **state)
{
    char *path = file_with("file", "x", 1);
    char byte;

    (void)state;
    assert_int_equal(open_file("/nonexistent/file", GYRE_FS_READ), GYRE_ENOENT);
    assert_int_equal(open_file(path, GYRE_FS_READ | GYRE_FS_DIRECTORY_ONLY), GYRE_ENOTDIR);
    assert_int_equal(open_file(path, GYRE_FS_WRITE | GYRE_FS_CREATE | GYRE_FS_EXCLUSIVE),
                     GYRE_EEXIST);
    assert_int_equal(open_file("/", GYRE_FS_WRITE), GYRE_EISDIR);
    assert_int_equal(read_file(1 << 19, &byte, 1, 0), GYRE_EBADF);
    assert_int_equal(read_file(lasting_fd(open("/", O_RDONLY | O_CLOEXEC)), &byte, 1, 0),
                     GYRE_EISDIR);
}

/* What is beneath a directory stays there, however the path is spelt. */
static void paths_that_leave_the_directory_are_refused(void **state)
{
    const char *const paths[] = {"../etc/passwd", "/etc/passwd", "link", "down/../../etc/passwd"};
    char from[128];
    int directory;

    (void)state;
    file_with("inside", "x", 1);
    (void)snprintf(from, sizeof(from), "%s/link", folder);
    assert_int_equal(symlink("/etc/passwd", from), 0);
    (void)snprintf(from, sizeof(from), "%s/down", folder);
    assert_int_equal(mkdir(from, 0700), 0);
    directory = lasting_fd(open(folder, O_PATH | O_CLOEXEC));
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        gyre_fs_req *req = req_new();
        const int error = gyre_fs_open(loop, req, directory, paths[i],
                                       GYRE_FS_READ | GYRE_FS_BENEATH, 0, on_done);

        assert_int_equal(result_of(req, error), GYRE_EXDEV);
    }
    gyre_fs_req *req = req_new();
    const int error = gyre_fs_open(loop, req, directory, "down/../inside",
                                   GYRE_FS_READ | GYRE_FS_BENEATH, 0, on_done);
    const int64_t fd = result_of(req, error);

    assert_true(fd >= 0);
    lasting_fd((int)fd);
}

static void files_are_made_truncated_and_appended_to(void **state)
{
    char path[128];
    int64_t fd;
    struct stat expected;

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/new", folder);
    fd = open_file(path, GYRE_FS_WRITE | GYRE_FS_CREATE | GYRE_FS_EXCLUSIVE);
    assert_true(fd >= 0);
    assert_int_equal(write((int)fd, "abc", 3), 3);
    assert_int_equal(close_file(fd), 0);
    assert_int_equal(stat(path, &expected), 0);
    assert_int_equal(expected.st_mode & 0777, 0600);
    fd = open_file(path, GYRE_FS_WRITE | GYRE_FS_APPEND);
    assert_int_equal(write((int)fd, "d", 1), 1);
    assert_int_equal(close_file(fd), 0);
    assert_int_equal(stat(path, &expected), 0);
    assert_int_equal(expected.st_size, 4);
    fd = open_file(path, GYRE_FS_WRITE | GYRE_FS_TRUNCATE);
    assert_int_equal(close_file(fd), 0);
    assert_int_equal(stat(path, &expected), 0);
    assert_int_equal(expected.st_size, 0);
}

static void a_large_read_is_whole(void **state)
{
    enum { BYTES = 5000000 };
    char *bytes = lasting(BYTES);
    char *got = lasting(BYTES);
    char *path;
    int64_t fd;

    (void)state;
    for (size_t i = 0; i < BYTES; i++)
        bytes[i] = (char)(i * 31 >> 3);
    path = file_with("large", bytes, BYTES);
    fd = open_file(path, GYRE_FS_READ);
    lasting_fd((int)fd);
    assert_int_equal(read_file((int)fd, got, BYTES, 0), BYTES);
    assert_memory_equal(got, bytes, BYTES);
}

static void cancelled_requests_call_back_once(void **state)
{
    enum { COUNT = 200 };

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        gyre_fs_req *req = req_new();

        inside = true;
        assert_int_equal(gyre_fs_stat_path(loop, req, GYRE_FS_CWD, "/", on_done), 0);
        if (i % 2 == 0)
            assert_int_equal(gyre_fs_cancel(req), 0);
        inside = false;
    }
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(called, COUNT);
}

/* A fifo without another end holds nobody up: the flag only says what the descriptor is. */
static void a_fifo_is_not_waited_for(void **state)
{
    char path[128];
    int64_t fd;

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/fifo", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    fd = open_file(path, GYRE_FS_READ | GYRE_FS_NONBLOCK);
    assert_true(fd >= 0);
    lasting_fd((int)fd);
    assert_true((fcntl((int)fd, F_GETFL) & O_NONBLOCK) != 0);
    fd = open_file(path, GYRE_FS_READ);
    assert_true(fd >= 0);
    lasting_fd((int)fd);
    assert_true((fcntl((int)fd, F_GETFL) & O_NONBLOCK) == 0);
}

/* Nor where the kernel needs a thread for the call, as for a file that may have to be made. */
static void a_fifo_is_not_waited_for_by_a_thread(void **state)
{
    char path[128];
    int64_t fd;

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/fifo", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(open_file(path, GYRE_FS_WRITE | GYRE_FS_CREATE), GYRE_ENXIO);
    fd = open_file(path, GYRE_FS_READ | GYRE_FS_CREATE);
    assert_true(fd >= 0);
    lasting_fd((int)fd);
    assert_true((fcntl((int)fd, F_GETFL) & O_NONBLOCK) == 0);
    fd = open_file(path, GYRE_FS_WRITE | GYRE_FS_APPEND);
    assert_true(fd >= 0);
    lasting_fd((int)fd);
    assert_int_equal(fcntl((int)fd, F_GETFL) & (O_NONBLOCK | O_APPEND), O_APPEND);
}

static int leased;

static void take_note(int signum)
{
    (void)signum;
}

static void give_up_lease(gyre_timer *timer)
{
    (void)timer;
    assert_int_equal(fcntl(leased, F_SETLEASE, F_UNLCK), 0);
}

/* Who holds a lease is asked to give it up (SIGIO), and that is waited for. */
static void a_file_under_a_lease_is_opened_when_that_ends(void **state)
{
    char *path = file_with("file", "x", 1);
    void (*before)(int) = signal(SIGIO, take_note);
    gyre_timer *timer = lasting(sizeof(*timer));
    int64_t fd;

    (void)state;
    leased = lasting_fd(open(path, O_RDONLY | O_CLOEXEC));
    assert_int_equal(fcntl(leased, F_SETLEASE, F_RDLCK), 0);
    assert_int_equal(gyre_timer_init(loop, timer), 0);
    gyre_timer_start(timer, 20 * GYRE_MILLISECOND, 0, give_up_lease);
    fd = open_file(path, GYRE_FS_WRITE);
    assert_true(fd >= 0);
    lasting_fd((int)fd);
    assert_true((fcntl((int)fd, F_GETFL) & O_NONBLOCK) == 0);
    gyre_close(&timer->handle, NULL);
    assert_true(signal(SIGIO, before) == take_note);
}

/* ---- what has to wait for a disk ---- */

static bool has_ring(void)
{
    return strcmp(gyre_loop_backend_name(loop), "uring") == 0;
}

/* A thread counts what it ran a moment after it gave the result back. */
static void expect_on_threads(uint64_t expected)
{
    gyre_pool *pool;
    gyre_pool_stats stats;

    assert_int_equal(gyre_loop_pool(loop, &pool), 0);
    do
        gyre_pool_stats_get(pool, GYRE_WORK_FILE, &stats);
    while (stats.ran < expected);
    assert_int_equal(stats.ran, expected);
}

static void what_is_in_memory_needs_no_thread(void **state)
{
    char *path = file_with("file", "hello, gyre", 11);
    char *bytes = lasting(32);
    gyre_fs_req *req = req_new();
    const int64_t fd = open_file(path, GYRE_FS_READ);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(result_of(req, gyre_fs_stat_fd(loop, req, (int)fd, on_done)), 0);
    assert_int_equal(read_file((int)fd, bytes, 32, 0), 11);
    assert_int_equal(close_file(fd), 0);
    expect_on_threads(0);
}

/* A path may lead anywhere, and a file that is made has to be written down. */
static void what_may_wait_goes_to_a_thread(void **state)
{
    char *path = file_with("file", "hello, gyre", 11);
    gyre_fs_req *req = req_new();
    int64_t fd;

    (void)state;
    assert_int_equal(result_of(req, gyre_fs_stat_path(loop, req, GYRE_FS_CWD, path, on_done)), 0);
    assert_int_equal(req->stat.size, 11);
    expect_on_threads(has_ring() ? 0 : 1);
    fd = open_file(path, GYRE_FS_WRITE | GYRE_FS_CREATE | GYRE_FS_TRUNCATE);
    assert_true(fd >= 0);
    lasting_fd((int)fd);
    expect_on_threads(has_ring() ? 0 : 2);
}

static void read_pages_from_disk(const char *path)
{
    enum { BYTES = 1 << 20 };
    char *bytes = lasting(BYTES);
    const int64_t fd = open_file(path, GYRE_FS_READ);

    assert_true(fd >= 0);
    lasting_fd((int)fd);
    assert_int_equal(fsync((int)fd), 0);
    assert_int_equal(posix_fadvise((int)fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    assert_int_equal(read_file((int)fd, bytes, BYTES, 0), BYTES);
    for (size_t i = 0; i < BYTES; i++)
        assert_int_equal((unsigned char)bytes[i], i % 251);
    /* The pages of the middle are gone: what is left at both ends is not the whole. */
    assert_int_equal(posix_fadvise((int)fd, BYTES / 4, BYTES / 2, POSIX_FADV_DONTNEED), 0);
    bytes[BYTES / 2] = 1;
    assert_int_equal(read_file((int)fd, bytes, BYTES, 0), BYTES);
    for (size_t i = 0; i < BYTES; i++)
        assert_int_equal((unsigned char)bytes[i], i % 251);
}

static void a_read_is_whole_wherever_the_pages_are(void **state)
{
    enum { BYTES = 1 << 20 };
    char *bytes = lasting(BYTES);

    (void)state;
    for (size_t i = 0; i < BYTES; i++)
        bytes[i] = (char)(i % 251);
    read_pages_from_disk(file_with("large", bytes, BYTES));
}

/* The one thread for files, held up. */
static int hold_up[2];
static int held_status;

static void wait_for_a_byte(gyre_work *work)
{
    char byte;

    (void)work;
    (void)!read(hold_up[0], &byte, 1);
}

static void on_held(gyre_work *work, int status)
{
    (void)work;
    called++;
    held_status = status;
}

static gyre_pool *pool_of_one_held_up(uint32_t queue_max)
{
    const gyre_pool_options options = {
        .size = sizeof(options), .threads_max = {1, 1, 1}, .queue_max = queue_max};
    const gyre_work_options class = {.size = sizeof(class), .work_class = GYRE_WORK_FILE};
    gyre_pool *pool;

    assert_int_equal(pipe(hold_up), 0);
    lasting_fd(hold_up[0]);
    lasting_fd(hold_up[1]);
    assert_int_equal(gyre_pool_init(&pool, &options), 0);
    assert_int_equal(gyre_loop_set_pool(loop, pool), 0);
    assert_int_equal(
        gyre_work_submit(loop, lasting(sizeof(gyre_work)), &class, wait_for_a_byte, on_held), 0);
    return pool;
}

static void a_slow_disk_does_not_hold_the_loop_up(void **state)
{
    gyre_pool *pool = pool_of_one_held_up(0);
    gyre_fs_req *slow = req_new();
    gyre_fs_req *other = req_new();
    char *path = file_with("file", "x", 1);
    char *bytes = lasting(1);
    int64_t fd;

    (void)state;
    assert_int_equal(gyre_fs_stat_path(loop, slow, GYRE_FS_CWD, path, on_done), 0);
    assert_int_equal(gyre_fs_stat_path(loop, other, GYRE_FS_CWD, path, on_done), 0);
    if (has_ring())
        run_until(&called, 2);
    fd = open_file(path, GYRE_FS_READ);
    assert_true(fd >= 0);
    lasting_fd((int)fd);
    assert_int_equal(read_file((int)fd, bytes, 1, 0), 1);
    if (!has_ring()) {
        assert_int_equal(gyre_fs_cancel(other), 0);
        run_until(&called, 3);
        assert_int_equal(other->result, GYRE_ECANCELED);
        assert_int_equal(gyre_fs_cancel(other), GYRE_ENOENT);
    }
    assert_int_equal(write(hold_up[1], "x", 1), 1);
    run_until(&called, 5);
    assert_int_equal(slow->result, 0);
    assert_int_equal(gyre_loop_set_pool(loop, NULL), 0);
    assert_int_equal(gyre_pool_close(pool), 0);
}

static void begin_stat(gyre_fs_req *req)
{
    assert_int_equal(gyre_fs_stat_path(loop, req, GYRE_FS_CWD, folder, on_done), 0);
    assert_true(gyre_loop_run(loop, GYRE_RUN_NOWAIT) >= 0);
}

static void let_pool_go(gyre_pool *pool)
{
    assert_int_equal(write(hold_up[1], "x", 1), 1);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(held_status, 0);
    assert_int_equal(gyre_loop_set_pool(loop, NULL), 0);
    assert_int_equal(gyre_pool_close(pool), 0);
}

static void where_no_more_may_wait_the_loop_does(void **state)
{
    gyre_pool *pool = pool_of_one_held_up(1);
    gyre_fs_req *first = req_new();
    gyre_fs_req *second = req_new();
    gyre_pool_stats stats;

    (void)state;
    do /* until the thread has what holds it up */
        gyre_pool_stats_get(pool, GYRE_WORK_FILE, &stats);
    while (stats.waiting > 0);
    begin_stat(first);
    begin_stat(second);
    run_until(&called, has_ring() ? 2 : 1);
    assert_int_equal(second->result, 0);
    assert_int_equal(second->stat.type, GYRE_FS_DIRECTORY);
    let_pool_go(pool);
    assert_int_equal(called, 3);
    assert_int_equal(first->result, 0);
}

/* How far a child gets; 0 is all the way. */
static int run_child(gyre_fs_req *req)
{
    if (gyre_loop_forked(loop) != 0 || gyre_loop_run(loop, GYRE_RUN_DEFAULT) != 0)
        return 1;
    if (called != 2 || held_status != GYRE_ECANCELED)
        return 2;
    if (!has_ring() && req->result != GYRE_ECANCELED)
        return 3;
    if (gyre_fs_stat_path(loop, req, GYRE_FS_CWD, folder, on_done) != 0 ||
        gyre_loop_run(loop, GYRE_RUN_DEFAULT) != 0 || req->result != 0)
        return 4;
    return gyre_loop_close(loop) == 0 ? 0 : 5;
}

static void in_a_child_what_a_thread_had_ends(void **state)
{
    gyre_pool *pool = pool_of_one_held_up(0);
    gyre_fs_req *req = req_new();
    int status = 0;
    pid_t child;

    (void)state;
    begin_stat(req);
    child = CAN_FORK_THREADS ? fork() : -1;
    if (child == 0)
        child_exit(run_child(req));
    if (child > 0)
        assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    let_pool_go(pool);
    assert_int_equal(req->result, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FS_TEST(a_file_is_opened_looked_at_read_and_closed),
        FS_TEST(stat_follows_links_and_knows_kinds),
        FS_TEST(errors_are_results),
        FS_TEST(paths_that_leave_the_directory_are_refused),
        FS_TEST(files_are_made_truncated_and_appended_to),
        FS_TEST(a_large_read_is_whole),
        FS_TEST(cancelled_requests_call_back_once),
        FS_TEST(a_fifo_is_not_waited_for),
        FS_TEST(a_fifo_is_not_waited_for_by_a_thread),
        FS_TEST(a_file_under_a_lease_is_opened_when_that_ends),
        FS_TEST(what_is_in_memory_needs_no_thread),
        FS_TEST(what_may_wait_goes_to_a_thread),
        FS_TEST(a_read_is_whole_wherever_the_pages_are),
        FS_TEST(a_slow_disk_does_not_hold_the_loop_up),
        FS_TEST(where_no_more_may_wait_the_loop_does),
        FS_TEST(in_a_child_what_a_thread_had_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
