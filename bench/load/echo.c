/* Echo work: each connection keeps `depth` messages of `size` bytes under way.
 *
 * A connection has one send in flight; messages that fall due meanwhile (`owed`) go out together in
 * the next. One multishot receive a connection, which stays armed between windows. */
#include "load.h"

#include "../common/util.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { RECV_GROUP = 0, RECV_BYTES_MAX = 1 << 19, RECV_BUFFERS_MAX = 1024, RECV_BUFFER_MIN = 64 };

struct conn {
    int fd;
    uint32_t sent_at, received_at; /* positions in the pattern */
    uint64_t owed;                 /* bytes that wait for the send in flight */
    uint32_t flight;               /* bytes of the send in flight, 0: none */
    uint32_t partial;              /* bytes of a message that has not come back whole */
    uint32_t asked, answered;      /* messages; their difference is at most depth */
};

enum tag { TAG_SEND = 0, TAG_RECV = 1 };

static struct io_uring ring;
static struct io_uring_buf_ring *buffers;
static char *buffer_memory;
static unsigned buffer_count;
static uint32_t buffer_size;
static const struct load_options *opt;
static const char *pattern;
static struct conn *conns;
static uint64_t *stamps; /* when each message under way was asked for: conn * depth + n % depth */
static struct load_window *window;
static uint64_t now_ns;
static uint64_t under_way;

static uint64_t *stamp_of(const struct conn *conn, uint32_t message)
{
    return &stamps[(size_t)(conn - conns) * opt->depth + message % opt->depth];
}

static void queue_send(struct conn *conn)
{
    uint32_t length = conn->owed < LOAD_CHUNK ? (uint32_t)conn->owed : LOAD_CHUNK;
    struct io_uring_sqe *sqe = load_ring_sqe(&ring);
    io_uring_prep_send(sqe, conn->fd, pattern + conn->sent_at, length, MSG_NOSIGNAL);
    io_uring_sqe_set_data64(sqe, (uint64_t)(conn - conns) << 1 | TAG_SEND);
    conn->flight = length;
}

static void ask(struct conn *conn, uint32_t messages)
{
    for (uint32_t i = 0; i < messages; i++) {
        *stamp_of(conn, conn->asked++) = now_ns;
    }
    under_way += messages;
    conn->owed += (uint64_t)messages * opt->size;
    if (conn->flight == 0) {
        queue_send(conn);
    }
}

static void on_sent(struct conn *conn, int result)
{
    if (result <= 0) {
        errno = -result;
        bench_die("send");
    }
    conn->sent_at = (conn->sent_at + (uint32_t)result) % LOAD_PERIOD;
    conn->owed -= (uint32_t)result;
    conn->flight = 0;
    if (conn->owed > 0) {
        queue_send(conn);
    }
}

static void check_bytes(struct conn *conn, const char *bytes, uint32_t length)
{
    if (memcmp(bytes, pattern + conn->received_at, length) != 0) {
        errno = 0;
        bench_die("the server returned other bytes than it was sent");
    }
    conn->received_at = (conn->received_at + length) % LOAD_PERIOD;
}

static void on_bytes(struct conn *conn, const char *bytes, uint32_t length)
{
    uint32_t done = 0;
    check_bytes(conn, bytes, length);
    for (conn->partial += length; conn->partial >= opt->size; conn->partial -= opt->size) {
        load_hist_add(&window->latency, now_ns - *stamp_of(conn, conn->answered++));
        done++;
    }
    if (done == 0) {
        return;
    }
    under_way -= done;
    window->requests += done;
    if (now_ns < window->deadline_ns) {
        ask(conn, done);
    }
}

static void buffer_give(unsigned buffer)
{
    io_uring_buf_ring_add(buffers, buffer_memory + (size_t)buffer * buffer_size, buffer_size,
                          (unsigned short)buffer, io_uring_buf_ring_mask(buffer_count), 0);
    io_uring_buf_ring_advance(buffers, 1);
}

static void arm_recv(struct conn *conn)
{
    struct io_uring_sqe *sqe = load_ring_sqe(&ring);
    io_uring_prep_recv_multishot(sqe, conn->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = RECV_GROUP;
    io_uring_sqe_set_data64(sqe, (uint64_t)(conn - conns) << 1 | TAG_RECV);
}

static void on_received(struct conn *conn, const struct io_uring_cqe *cqe)
{
    if (cqe->res > 0) {
        unsigned buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        on_bytes(conn, buffer_memory + (size_t)buffer * buffer_size, (uint32_t)cqe->res);
        buffer_give(buffer);
    } else if (cqe->res != -ENOBUFS) {
        errno = -cqe->res;
        bench_die("the server ended a connection");
    }
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        arm_recv(conn);
    }
}

static void on_cqe(const struct io_uring_cqe *cqe)
{
    struct conn *conn = &conns[cqe->user_data >> 1];
    if ((cqe->user_data & 1) == TAG_RECV) {
        on_received(conn, cqe);
    } else {
        on_sent(conn, cqe->res);
    }
}

/* As many buffers as connections, each for all that one connection can have under way, within
 * RECV_BYTES_MAX: more would only walk out of the cache. */
static void open_buffers(void)
{
    struct io_uring_buf_reg reg = {.bgid = RECV_GROUP};
    uint64_t wanted = (uint64_t)opt->size * opt->depth;
    buffer_size = wanted < LOAD_CHUNK ? (uint32_t)wanted : LOAD_CHUNK;
    buffer_size = buffer_size < RECV_BUFFER_MIN ? RECV_BUFFER_MIN : buffer_size;
    buffer_count = 8;
    while (buffer_count < opt->conns && buffer_count < RECV_BUFFERS_MAX &&
           buffer_count * 2 * buffer_size <= RECV_BYTES_MAX) {
        buffer_count *= 2;
    }
    buffer_memory = bench_alloc((size_t)buffer_count * buffer_size);
    if (posix_memalign((void **)&buffers, 4096, buffer_count * sizeof(struct io_uring_buf)) != 0) {
        bench_die("memory");
    }
    io_uring_buf_ring_init(buffers);
    reg.ring_addr = (uint64_t)(uintptr_t)buffers;
    reg.ring_entries = buffer_count;
    int error = io_uring_register_buf_ring(&ring, &reg, 0);
    if (error < 0) {
        errno = -error;
        bench_die("buffer ring");
    }
    for (unsigned i = 0; i < buffer_count; i++) {
        buffer_give(i);
    }
}

void load_echo_open(const struct load_options *options)
{
    opt = options;
    pattern = load_pattern();
    load_ring_open(&ring);
    open_buffers();
    conns = bench_alloc((opt->conns + 1) * sizeof *conns);
    stamps = bench_alloc(((size_t)opt->conns + 1) * opt->depth * sizeof *stamps);
    for (uint32_t i = 0; i < opt->conns; i++) {
        uint32_t start = i * 769 % LOAD_PERIOD; /* no two neighbours send the same bytes */
        conns[i] = (struct conn){.fd = load_connect(opt), .sent_at = start, .received_at = start};
        arm_recv(&conns[i]);
    }
    io_uring_submit(&ring);
    for (uint32_t i = 0; i < opt->idle; i++) {
        load_connect(opt);
    }
}

void load_echo_run(struct load_window *to)
{
    window = to;
    now_ns = bench_now_ns();
    for (uint32_t i = 0; i < opt->conns; i++) {
        ask(&conns[i], opt->depth);
    }
    while (under_way > 0) {
        load_ring_turn(&ring, on_cqe);
        now_ns = bench_now_ns();
    }
}
