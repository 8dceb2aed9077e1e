/*
 * Torture, continued: connections that are moved, reset, opened, kept back and never taken; a loop
 * inside another, in a forked child, with a pool, and in a group.
 */
#include "torture.h"

#include "base/slots.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

static char path_name[64];

/* ---- connections that do not stay where they were ---- */

enum { ANSWER = 200000, CLIENTS = 3, SERVERS = 3, SMALL = 3 };

static struct {
    gyre_tcp listener;
    gyre_tcp clients[CLIENTS];
    gyre_connect_req connects[CLIENTS];
    gyre_tcp servers[SERVERS];
    gyre_write_req answer;
    gyre_detached detached;
    gyre_detached given_up;
    int accepted;
    int asked;
    int connected;
    int64_t heard[CLIENTS]; /* bytes */
    bool over[CLIENTS];
} moves;

static char answer[ANSWER];

static void on_written(gyre_write_req *req, int status)
{
    (void)req;
    (void)status;
    ended++;
}

static void on_moved_bytes(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    const gyre_buf parts[2] = {gyre_buf_init(answer, ANSWER / 2),
                               gyre_buf_init(answer + ANSWER / 2, ANSWER / 2)};
    gyre_address peer;

    if (nread < 0) {
        close_handle(&stream->handle);
        return;
    }
    gyre_read_stop(stream);
    (void)gyre_stream_peer_address(stream, &peer);
    (void)gyre_try_write(stream, buf, 1);
    for (int i = 0; i < SMALL; i++)
        (void)gyre_write_copy(stream, answer, 10);
    if (taking(gyre_write(stream, &moves.answer, parts, 2, on_written)) != 0)
        close_handle(&stream->handle);
    else
        gyre_stream_finish(stream, on_closed);
}

static void on_detached(gyre_detached *detached, int status)
{
    gyre_tcp *anew = &moves.servers[1];

    ended++;
    close_handle(&moves.servers[0].handle);
    if (status != 0)
        return;
    if (opening(gyre_tcp_init(moves.listener.handle.loop, anew)) == 0 &&
        gyre_stream_attach(&anew->stream, detached) == 0 &&
        gyre_read_start(&anew->stream, on_moved_bytes) == 0 &&
        gyre_write_copy(&anew->stream, "again", 5) == 0)
        return;
    if (detached->fd >= 0)
        gyre_detached_close(detached);
}

static void on_given_up(gyre_detached *detached, int status)
{
    ended++;
    close_handle(&moves.servers[2].handle);
    if (status == 0)
        gyre_detached_close(detached);
}

/* A greeting makes the client send two pieces; what comes after the first is the next owner's. */
static void on_first_bytes(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)buf;
    /* The second answer goes out when its callback returns. */
    if (nread > 0 && ++moves.asked <= 2 && gyre_write_copy(stream, answer, 1) == 0)
        return;
    if (nread < 0 || taking(gyre_stream_detach(stream, &moves.detached, on_detached)) != 0)
        close_handle(&stream->handle);
}

static void on_move_connection(gyre_stream *listener, int status)
{
    gyre_tcp *server = &moves.servers[moves.accepted == 0 ? 0 : 2];
    int error;

    if (status != 0 || moves.accepted > 1 || gyre_accept(listener, &server->stream) != 0)
        return;
    opened++;
    if (moves.accepted++ == 0) {
        error = gyre_read_start(&server->stream, on_first_bytes);
        if (error == 0)
            error = gyre_write_copy(&server->stream, "hello", 5);
    } else {
        error = taking(gyre_stream_detach(&server->stream, &moves.given_up, on_given_up));
    }
    if (error != 0)
        close_handle(&server->handle);
}

static void on_answer(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    const ptrdiff_t index = GYRE_CONTAINER_OF(stream, gyre_tcp, stream) - moves.clients;
    const gyre_buf tries[2] = {gyre_buf_init(answer, 1), gyre_buf_init(answer, 0)};

    (void)buf;
    if (nread > 0) {
        moves.heard[index] += nread;
        for (uint32_t i = 0; i < 2 && moves.heard[index] <= 20; i++)
            (void)gyre_try_write(stream, tries, 1 + i);
        return;
    }
    moves.over[index] = true;
    close_handle(&stream->handle);
}

static void on_move_connected(gyre_connect_req *req, int status)
{
    const ptrdiff_t index = req - moves.connects;
    gyre_tcp *client = &moves.clients[index];

    ended++;
    moves.connected++;
    if (status != 0 || gyre_read_start(&client->stream, on_answer) != 0)
        close_handle(&client->handle);
}

static bool moves_are_done(void)
{
    return moves.over[0] && moves.over[1] && moves.connected == CLIENTS && ended == taken;
}

static void start_moves(gyre_loop *on)
{
    gyre_address address;

    if (gyre_address_ip(&address, NULL, 0) != 0 ||
        opening(gyre_tcp_init(on, &moves.listener)) != 0 ||
        gyre_tcp_bind(&moves.listener, &address, 0) != 0 ||
        gyre_listen(&moves.listener.stream, 8, on_move_connection) != 0 ||
        gyre_stream_local_address(&moves.listener.stream, &address) != 0)
        return;
    for (int i = 0; i < CLIENTS; i++) {
        if (opening(gyre_tcp_init(on, &moves.clients[i])) == 0)
            (void)taking(gyre_tcp_connect(&moves.clients[i], &moves.connects[i], &address, 0,
                                          on_move_connected));
    }
}

static void run_moves(void)
{
    const gyre_loop_options options = torture_loop_options();
    gyre_loop *on = NULL;

    memset(&moves, 0, sizeof(moves));
    if (gyre_loop_init(&on, &options) != 0)
        return;
    start_moves(on);
    torture_run_and_end(on, moves_are_done);
}

/* ---- descriptors that come from elsewhere, names, kept buffers, listeners that stop ---- */

enum { KEPT = 2, CALLERS = 12, PARTS = 4 };

static struct {
    gyre_tcp opened_tcp;
    gyre_pipe ends[2];
    gyre_pipe named;
    gyre_tcp listener;
    gyre_fs_req closing;
    gyre_write_req much;
    int callers[CALLERS];
    const void *kept[KEPT];
    int kept_count;
    int bytes;
    bool stopped;
} loose;

/* More than the socket has room for, in more buffers than one. */
static void write_much(gyre_stream *stream)
{
    gyre_buf parts[PARTS];

    for (int i = 0; i < PARTS; i++)
        parts[i] = gyre_buf_init(answer, ANSWER);
    (void)taking(gyre_write(stream, &loose.much, parts, PARTS, on_written));
}

static void on_kept_bytes(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    if (nread < 0)
        return;
    loose.bytes += (int)nread;
    if (loose.kept_count < KEPT && gyre_buf_keep(stream, buf) == 0)
        loose.kept[loose.kept_count++] = buf->base;
    if (loose.bytes == 1) {
        for (int i = 0; i < 2; i++)
            (void)gyre_write_copy(&loose.ends[1].stream, "x", 1);
    } else if (loose.much.stream == NULL && loose.bytes == 3) {
        write_much(&loose.ends[1].stream);
    }
}

static void on_file_closed(gyre_fs_req *req)
{
    (void)req;
    ended++;
}

static void on_nothing(gyre_stream *listener, int status)
{
    (void)status;
    if (!loose.stopped && gyre_listen_stop(listener) == 0)
        loose.stopped = true;
}

/* Connections from outside the loop, which nobody takes. */
static void call_in(const gyre_address *address)
{
    for (int i = 0; i < CALLERS; i++) {
        loose.callers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(loose.callers[i], &address->u.any, address->len);
    }
}

static void start_listener(gyre_loop *on)
{
    gyre_address address;

    if (gyre_address_ip(&address, "127.0.0.1", 0) == 0 &&
        opening(gyre_tcp_init(on, &loose.listener)) == 0 &&
        gyre_tcp_bind(&loose.listener, &address, 0) == 0 &&
        gyre_listen(&loose.listener.stream, 0, on_nothing) == 0 &&
        gyre_stream_local_address(&loose.listener.stream, &address) == 0)
        call_in(&address);
}

/* The descriptor stays ours when it is not taken. */
static void open_pipe(gyre_loop *on, gyre_pipe *pipe, int fd)
{
    if (opening(gyre_pipe_init(on, pipe)) != 0 || gyre_pipe_open(pipe, fd) != 0)
        close(fd);
}

static void start_loose(gyre_loop *on)
{
    int fds[2];

    unix_pair(fds);
    open_pipe(on, &loose.ends[0], fds[0]);
    open_pipe(on, &loose.ends[1], fds[1]);
    if (loose.ends[0].handle.loop != NULL &&
        gyre_read_start(&loose.ends[0].stream, on_kept_bytes) == 0 &&
        loose.ends[1].handle.loop != NULL)
        (void)gyre_write_copy(&loose.ends[1].stream, "x", 1);
    tcp_pair(fds);
    close(fds[0]);
    if (opening(gyre_tcp_init(on, &loose.opened_tcp)) != 0 ||
        gyre_tcp_open(&loose.opened_tcp, fds[1]) != 0)
        close(fds[1]);
    if (opening(gyre_pipe_init(on, &loose.named)) == 0)
        (void)gyre_pipe_bind(&loose.named, path_name);
    fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (taking(gyre_fs_close(on, &loose.closing, fds[0], on_file_closed)) != 0)
        close(fds[0]);
    start_listener(on);
}

static bool loose_is_done(void)
{
    return loose.bytes > PARTS * ANSWER && ended == taken && loose.stopped;
}

static void run_loose(void)
{
    gyre_loop_options options = torture_loop_options();
    gyre_loop *on = NULL;

    memset(&loose, 0, sizeof(loose));
    for (int i = 0; i < CALLERS; i++)
        loose.callers[i] = -1;
    options.read_keep_max = 4;
    (void)unlink(path_name);
    if (gyre_loop_init(&on, &options) == 0) {
        start_loose(on);
        for (int i = 0; i < 100 && !loose_is_done(); i++)
            (void)gyre_loop_run(on, GYRE_RUN_NOWAIT);
        for (int i = 0; i < loose.kept_count; i++)
            gyre_buf_release(on, loose.kept[i]);
        torture_run_and_end(on, loose_is_done);
    }
    for (int i = 0; i < CALLERS; i++) {
        if (loose.callers[i] >= 0)
            close(loose.callers[i]);
    }
}

/* ---- more connections than a table has room for ---- */

enum { CROWD = GYREI_SLOT_CHUNK / 2, GUESTS = 3 };

static struct {
    gyre_tcp listener;
    gyre_tcp fillers[CROWD];
    gyre_tcp guests[GUESTS];
    int callers[GUESTS];
    int accepted;
    int refused;
} crowd;

static void on_guest(gyre_stream *listener, int status)
{
    if (status != 0 || crowd.accepted == GUESTS)
        return;
    if (gyre_accept(listener, &crowd.guests[crowd.accepted].stream) == 0) {
        opened++;
        crowd.accepted++;
    } else {
        crowd.refused++;
    }
}

static bool crowd_is_done(void)
{
    return crowd.accepted == GUESTS;
}

/* The table of operations has 1024 places at first, and a stream takes two. */
static void run_crowd(void)
{
    const gyre_loop_options options = torture_loop_options();
    gyre_address address;
    gyre_loop *on = NULL;

    memset(&crowd, 0, sizeof(crowd));
    for (int i = 0; i < GUESTS; i++)
        crowd.callers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (gyre_loop_init(&on, &options) == 0) {
        if (gyre_address_ip(&address, "127.0.0.1", 0) == 0 &&
            opening(gyre_tcp_init(on, &crowd.listener)) == 0 &&
            gyre_tcp_bind(&crowd.listener, &address, 0) == 0 &&
            gyre_listen(&crowd.listener.stream, 0, on_guest) == 0 &&
            gyre_stream_local_address(&crowd.listener.stream, &address) == 0) {
            for (uint32_t i = 0; i < (GYREI_SLOT_CHUNK - 6) / 2; i++)
                (void)opening(gyre_tcp_init(on, &crowd.fillers[i]));
            for (int i = 0; i < GUESTS; i++)
                (void)connect(crowd.callers[i], &address.u.any, address.len);
        }
        for (int i = 0; i < 100 && !crowd_is_done(); i++)
            (void)gyre_loop_run(on, GYRE_RUN_NOWAIT);
        for (int i = 0; i < crowd.accepted; i++)
            gyre_reset(&crowd.guests[i].stream, on_closed);
        torture_run_and_end(on, crowd_is_done);
    }
    for (int i = 0; i < GUESTS; i++)
        close(crowd.callers[i]);
}

/* ---- a loop that another one drives ---- */

static struct {
    gyre_pipe ends[2];
    gyre_timer timer;
    int bytes;
    int fired;
} inner;

static void on_inner_bytes(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)stream;
    (void)buf;
    inner.bytes += nread > 0 ? (int)nread : 0;
}

static void on_inner_timer(gyre_timer *timer)
{
    (void)timer;
    inner.fired++;
    (void)gyre_write_copy(&inner.ends[1].stream, "x", 1);
}

static void start_inner(gyre_loop *on)
{
    int fds[2];

    unix_pair(fds);
    open_pipe(on, &inner.ends[0], fds[0]);
    open_pipe(on, &inner.ends[1], fds[1]);
    if (inner.ends[0].handle.loop == NULL || inner.ends[1].handle.loop == NULL)
        return;
    (void)gyre_read_start(&inner.ends[0].stream, on_inner_bytes);
    if (opening(gyre_timer_init(on, &inner.timer)) == 0)
        gyre_timer_start(&inner.timer, 0, GYRE_MILLISECOND, on_inner_timer);
}

static bool inner_is_done(void)
{
    return inner.bytes > 0 && inner.fired > 2;
}

static void run_embedded(void)
{
    const gyre_loop_options options = torture_loop_options();
    gyre_loop *on = NULL;
    struct pollfd outer;

    memset(&inner, 0, sizeof(inner));
    if (gyre_loop_init(&on, &options) != 0)
        return;
    outer = (struct pollfd){.fd = gyre_loop_fd(on), .events = POLLIN};
    start_inner(on);
    for (int i = 0; i < 10 && !inner_is_done(); i++) {
        if (gyre_loop_embed_prepare(on) < 0)
            break;
        if (outer.fd >= 0)
            (void)poll(&outer, 1, 1);
        if (gyre_loop_run(on, GYRE_RUN_NOWAIT) < 0)
            break;
    }
    torture_run_and_end(on, inner_is_done);
}

/* ---- a child that goes on with the loop ---- */

enum { CHILD_OK = 0, CHILD_STUCK = 3 };

static void run_child(gyre_loop *on)
{
    const int error = gyre_loop_forked(on);
    int result = 0;

    for (int i = 0; error == 0 && i < 300 && inner.fired < 3; i++)
        (void)gyre_loop_run(on, GYRE_RUN_NOWAIT);
    if (error != 0)
        _exit(CHILD_OK);
    gyre_loop_walk(on, close_each, NULL);
    for (int i = 0; i < 2000 && closed < opened; i++)
        (void)gyre_loop_run(on, GYRE_RUN_NOWAIT);
    for (int i = 0; i < 3 && (i == 0 || result != 0); i++)
        result = gyre_loop_shutdown(on, GYRE_SECOND);
    if (result != 0 || closed != opened || torture->blocks != 0)
        _exit(CHILD_STUCK);
    _exit(CHILD_OK);
}

static void run_forked(void)
{
    const gyre_loop_options options = torture_loop_options();
    gyre_loop *on = NULL;
    int64_t blocks;
    int status;
    pid_t child;

    memset(&inner, 0, sizeof(inner));
    if (gyre_loop_init(&on, &options) != 0)
        return;
    start_inner(on);
    (void)gyre_loop_run(on, GYRE_RUN_NOWAIT);
    blocks = torture->blocks;
    child = fork();
    if (child == 0)
        run_child(on);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), CHILD_OK);
    torture->blocks = blocks; /* the child's memory was another one */
    torture_run_and_end(on, inner_is_done);
}

/* ---- a pool, slices, mailboxes, and who wakes whom ---- */

enum { JOBS = 4, LETTERS = 3 };

static struct {
    gyre_pool *pool;
    gyre_work jobs[JOBS];
    gyre_slice slice;
    gyre_mailbox mailbox;
    gyre_sender *sender;
    gyre_timer beat;
    int received;
    int beats;
} office;

static void run_job(gyre_work *work)
{
    (void)work;
    if (office.sender != NULL)
        (void)gyre_sender_send(office.sender, &(int){1});
}

static void job_done(gyre_work *work, int status)
{
    (void)work;
    (void)status;
    ended++;
}

static int take_step(gyre_slice *slice)
{
    return slice->steps < 3;
}

static void slice_done(gyre_slice *slice, int status)
{
    (void)slice;
    (void)status;
    ended++;
}

static void on_message(gyre_mailbox *mailbox, void *item, int status)
{
    (void)mailbox;
    (void)item;
    office.received += status == 0;
}

/* A wake-up that fails is not for ever: the loop looks again. */
static void on_beat(gyre_timer *timer)
{
    (void)timer;
    office.beats++;
}

static bool office_is_done(void)
{
    return ended == taken && office.received == JOBS;
}

static void start_office(gyre_loop *on)
{
    if (opening(gyre_timer_init(on, &office.beat)) == 0)
        gyre_timer_start(&office.beat, 0, GYRE_MILLISECOND, on_beat);
    if (opening(gyre_mailbox_init(on, &office.mailbox, sizeof(int), JOBS, on_message)) == 0)
        office.sender = gyre_mailbox_sender(&office.mailbox);
    if (office.pool != NULL)
        (void)gyre_loop_set_pool(on, office.pool);
    for (int i = 0; i < JOBS; i++)
        (void)taking(gyre_work_submit(on, &office.jobs[i], NULL, run_job, job_done));
    (void)taking(gyre_slice_start(on, &office.slice, 0, take_step, slice_done));
}

static void run_office(void)
{
    const gyre_pool_options pool = {.size = sizeof(pool), .allocator = &tortured_allocator};
    const gyre_loop_options options = torture_loop_options();
    gyre_loop *on = NULL;

    memset(&office, 0, sizeof(office));
    if (gyre_pool_init(&office.pool, &pool) != 0)
        office.pool = NULL;
    if (gyre_loop_init(&on, &options) == 0) {
        start_office(on);
        /* Asleep, as far as there is something that ends it, so that others must wake the loop. */
        for (int i = 0; i < 10 && !office_is_done(); i++) {
            if (gyre_is_active(&office.beat.handle) && gyre_loop_run(on, GYRE_RUN_ONCE) < 0)
                break;
        }
        torture_run_and_end(on, office_is_done);
    }
    /* No job runs any more. */
    if (office.sender != NULL)
        gyre_sender_unref(office.sender);
    if (office.pool != NULL)
        assert_int_equal(gyre_pool_close(office.pool), 0);
}

/* ---- a group ---- */

static int set_up_member(gyre_group *group, uint32_t index, gyre_loop *on, void *ctx)
{
    gyre_timer *timers = ctx;

    (void)group;
    return gyre_timer_init(on, &timers[index]);
}

static void run_group(void)
{
    const gyre_loop_options loops = torture_loop_options();
    const gyre_group_options options = {.size = sizeof(options), .loop = &loops};
    static gyre_timer timers[2];
    gyre_group_options with_context = options;
    gyre_group *group = NULL;

    memset(timers, 0, sizeof(timers));
    with_context.ctx = timers;
    /* Whoever is not woken is stopped at the end of the time. */
    if (gyre_group_open(&group, 2, &with_context, set_up_member) == 0)
        (void)gyre_group_close(group, 20 * GYRE_MILLISECOND);
}

/* ---- the tests ---- */

#define TORTURE_TEST(program)                                                                      \
    static void program##_survives(void **state)                                                   \
    {                                                                                              \
        const torture_program this = {#program, run_##program};                                    \
                                                                                                   \
        (void)state;                                                                               \
        torture_all(&this);                                                                        \
    }

TORTURE_TEST(moves)
TORTURE_TEST(loose)
TORTURE_TEST(crowd)
TORTURE_TEST(embedded)
TORTURE_TEST(forked)
TORTURE_TEST(office)
TORTURE_TEST(group)

/* With an argument only the programs that it names, as group* does. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves_survives),  cmocka_unit_test(loose_survives),
        cmocka_unit_test(crowd_survives),  cmocka_unit_test(embedded_survives),
        cmocka_unit_test(forked_survives), cmocka_unit_test(office_survives),
        cmocka_unit_test(group_survives),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    torture_wrap_kernel();
    (void)snprintf(path_name, sizeof(path_name), "/tmp/gyre-torture-%d", (int)getpid());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
