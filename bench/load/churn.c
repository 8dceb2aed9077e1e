/* Churn work: each of `conns` slots connects, sends one message, receives it, closes, and begins
 * again. connect, send and receive are one linked chain on the ring. */
#include "load.h"

#include "../common/util.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum { CHURN_SIZE_MAX = 4096 };

enum tag { TAG_STEP = 0, TAG_RECV = 1 };

struct slot {
    int fd;
    uint64_t started_ns;
    char bytes[CHURN_SIZE_MAX];
};

static struct io_uring ring;
static const struct load_options *opt;
static const char *pattern;
static struct slot *slots;
static uint32_t turns;
static uint32_t under_way;
static uint64_t now_ns;
static struct load_window *window;

/* Steps before the receive stay silent unless they fail. */
static void tag_step(struct io_uring_sqe *sqe, unsigned flags)
{
    sqe->flags |= (uint8_t)(IOSQE_CQE_SKIP_SUCCESS | flags);
    io_uring_sqe_set_data64(sqe, TAG_STEP);
}

static void start(struct slot *slot)
{
    uint32_t length;
    const struct sockaddr *address = load_address(opt, &length);
    turns = turns % UINT32_MAX + 1;
    slot->fd = load_socket(opt, turns);
    slot->started_ns = now_ns;
    under_way++;

    struct io_uring_sqe *sqe = load_ring_sqe(&ring);
    io_uring_prep_connect(sqe, slot->fd, address, length);
    tag_step(sqe, IOSQE_IO_LINK);
    sqe = load_ring_sqe(&ring);
    io_uring_prep_send(sqe, slot->fd, pattern, opt->size, MSG_NOSIGNAL | MSG_WAITALL);
    tag_step(sqe, IOSQE_IO_LINK);
    sqe = load_ring_sqe(&ring);
    io_uring_prep_recv(sqe, slot->fd, slot->bytes, opt->size, MSG_WAITALL);
    io_uring_sqe_set_data64(sqe, (uint64_t)(slot - slots) << 1 | TAG_RECV);
}

static void on_cqe(const struct io_uring_cqe *cqe)
{
    struct slot *slot = &slots[cqe->user_data >> 1];
    if ((cqe->user_data & 1) != TAG_RECV || cqe->res != (int)opt->size) {
        errno = cqe->res < 0 ? -cqe->res : 0;
        bench_die("a connection failed");
    }
    if (memcmp(slot->bytes, pattern, opt->size) != 0) {
        errno = 0;
        bench_die("the server returned other bytes than it was sent");
    }
    struct io_uring_sqe *sqe = load_ring_sqe(&ring);
    io_uring_prep_close(sqe, slot->fd);
    tag_step(sqe, 0);
    load_hist_add(&window->latency, now_ns - slot->started_ns);
    window->requests++;
    under_way--;
    if (now_ns < window->deadline_ns) {
        start(slot);
    }
}

void load_churn_open(const struct load_options *options)
{
    opt = options;
    pattern = load_pattern();
    if (opt->size > CHURN_SIZE_MAX || opt->idle > 0 || opt->depth > 1) {
        errno = 0;
        bench_die("churn takes a small size, no depth and no idle connections");
    }
    load_ring_open(&ring);
    slots = bench_alloc(opt->conns * sizeof *slots);
}

void load_churn_run(struct load_window *to)
{
    window = to;
    now_ns = bench_now_ns();
    for (uint32_t i = 0; i < opt->conns; i++) {
        start(&slots[i]);
    }
    while (under_way > 0) {
        load_ring_turn(&ring, on_cqe);
        now_ns = bench_now_ns();
    }
    io_uring_submit(&ring); /* the last closes */
}
