/*
 * A filter between the kernel and the io_uring backend, which knows nothing of it: the backend's
 * pointers into the completion queue are bent to a queue of the filter's own.
 *
 *   backend --entries--> [edited] --> kernel --completions--> held --> shown --> backend
 *
 * Entries are shortened or become refusals before the kernel sees them; completions are held back,
 * shown out of order where the kernel promises none, in a queue of eight; multishot requests end
 * early: the filter cancels them in the kernel and takes F_MORE from the last result that they had.
 * All by one seed, as far as the kernel's own timing allows.
 *
 * And a ledger of the receive buffers: what the kernel has, where its next byte goes, and that
 * nobody writes where he must not. Memory that no completion has reported holds POISON, which
 * sanitizers could not tell, since they do not see what the kernel writes.
 */
#ifndef GYRE_TEST_URING_FILTER_H
#define GYRE_TEST_URING_FILTER_H

#include "backend/uring_abi.h"
#include "uring_support.h"

enum { FILTER_SHOWN = 8, FILTER_HELD = 65536, FILTER_BUFFERS = 128, POISON = 0xA5 };

/* How often, in a thousand. */
typedef struct filter_rates {
    unsigned hold;    /* a completion waits for a later call */
    unsigned reorder; /* the next completion overtakes one of another request */
    unsigned end;     /* a multishot request ends with this result */
    unsigned shorten; /* a send or a read is asked for less */
    unsigned refuse;  /* an entry has an error for its result, which is not the user's business */
    unsigned fail;    /* ... which is */
} filter_rates;

/* A struct io_uring_cqe without the flexible array behind it. */
typedef struct filter_cqe {
    uint64_t user_data;
    int32_t res;
    uint32_t flags;
} filter_cqe;

typedef struct filter_buffer {
    uint32_t used;    /* bytes that completions have reported since it was provided */
    bool provided;    /* the kernel's */
    bool is_poisoned; /* the pool's, at rest */
} filter_buffer;

typedef struct test_filter {
    filter_rates rates;
    uint64_t random;
    gyrei_uring *uring;
    /* the kernel's queue */
    unsigned *kernel_head;
    unsigned *kernel_tail;
    struct io_uring_cqe *kernel_cqes;
    unsigned kernel_mask;
    /* the one that the backend sees */
    unsigned head;
    unsigned tail;
    filter_cqe shown[FILTER_SHOWN];
    filter_cqe held[FILTER_HELD]; /* in the kernel's order */
    unsigned held_count;
    filter_buffer buffers[FILTER_BUFFERS];
    uint16_t provided_tail;
    /* what was done */
    unsigned busy, holds, reorders, ends, shortened, refused, failed, checked, lent, taken;
} test_filter;

static test_filter filter;

static inline uint64_t filter_random(void)
{
    filter.random ^= filter.random << 13;
    filter.random ^= filter.random >> 7;
    filter.random ^= filter.random << 17;
    return filter.random;
}

static inline bool filter_draw(unsigned rate)
{
    return filter_random() % 1000 < rate;
}

static inline uint32_t filter_tag(uint64_t user_data)
{
    return (uint32_t)((user_data & GYREI_URING_TAG_MASK) >> GYREI_URING_TAG_SHIFT);
}

/* ---- the ledger ---- */

static inline char *filter_memory(uint32_t buffer)
{
    const gyrei_uring_pool *pool = &filter.uring->pool;

    return pool->arena + ((size_t)buffer << pool->shift);
}

static inline void filter_check_poison(uint32_t buffer, uint32_t from)
{
    const unsigned char *bytes = (const unsigned char *)filter_memory(buffer);

    for (uint32_t at = from; at < filter.uring->pool.bytes; at++)
        assert_int_equal(bytes[at], POISON);
    filter.checked++;
}

static inline void filter_poison(uint32_t buffer)
{
    memset(filter_memory(buffer), POISON, filter.uring->pool.bytes);
}

/* Before the kernel runs: what the backend has provided since, and what rests. */
static inline void filter_note_provided(void)
{
    const gyrei_uring_pool *pool = &filter.uring->pool;

    assert_true(pool->count <= FILTER_BUFFERS);
    for (uint16_t at = filter.provided_tail; at != pool->tail; at++) {
        const uint32_t id = pool->ring->bufs[at & (pool->ring_entries - 1)].bid;
        filter_buffer *buffer = &filter.buffers[id];

        assert_false(buffer->provided);               /* the kernel has it already */
        assert_int_equal(pool->buffers[id].parts, 0); /* nobody reads it any more */
        if (buffer->is_poisoned)
            filter_check_poison(id, 0);
        else
            filter_poison(id);
        *buffer = (filter_buffer){.provided = true};
    }
    filter.provided_tail = pool->tail;
    for (uint32_t id = 0; id < pool->count; id++) {
        filter_buffer *buffer = &filter.buffers[id];

        if (pool->buffers[id].provided || pool->buffers[id].parts > 0 || buffer->is_poisoned)
            continue;
        filter_poison(id);
        buffer->is_poisoned = true;
    }
}

/* A completion as the kernel made it, in the kernel's order. */
static inline void filter_note_filled(const filter_cqe *cqe)
{
    filter_buffer *buffer = &filter.buffers[cqe->flags >> IORING_CQE_BUFFER_SHIFT];

    if ((cqe->flags & IORING_CQE_F_BUFFER) == 0)
        return;
    assert_true(buffer->provided);
    assert_true(cqe->res > 0 && (uint32_t)cqe->res <= filter.uring->pool.bytes - buffer->used);
    buffer->used += (uint32_t)cqe->res;
    if ((cqe->flags & GYREI_URING_CQE_BUFFER_MORE) == 0)
        buffer->provided = false;
}

/* When all completions were seen, nothing but what they reported was written. */
static inline void filter_check_buffers(void)
{
    if ((*filter.uring->ring.sq.kflags & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN)) != 0)
        return;
    for (uint32_t id = 0; id < filter.uring->pool.count; id++) {
        if (filter.buffers[id].provided)
            filter_check_poison(id, filter.buffers[id].used);
    }
}

/* Bytes in a callback: reported by the kernel, and lent, unless they are a copy. */
static inline void filter_check_lent(const char *base, size_t len)
{
    const gyrei_uring_pool *pool = &filter.uring->pool;
    const size_t at = (size_t)(base - pool->arena);
    const size_t id = at >> pool->shift;

    if (base < pool->arena || id >= pool->count)
        return;
    assert_true(pool->buffers[id].parts > 0);
    assert_true(at - (id << pool->shift) + len <= filter.buffers[id].used);
    filter.lent++;
}

/* ---- entries ---- */

/* What the manual pages list for each call; accept's last three make the listener pause. */
static inline int filter_refusal(uint32_t tag, bool harmless)
{
    static const int interludes[] = {GYRE_ENOBUFS, GYRE_EINTR, GYRE_EAGAIN, GYRE_ENOBUFS};
    static const int receives[] = {GYRE_ECONNRESET, GYRE_ETIMEDOUT, GYRE_ECONNRESET, GYRE_ENOMEM};
    static const int sends[] = {GYRE_EPIPE, GYRE_ECONNRESET, GYRE_ETIMEDOUT, GYRE_EPIPE};
    static const int connects[] = {GYRE_ECONNREFUSED, GYRE_ETIMEDOUT, GYRE_EHOSTUNREACH,
                                   GYRE_ENETUNREACH};
    static const int accepts[] = {GYRE_ECONNABORTED, GYRE_EMFILE, GYRE_ENFILE, GYRE_ENOMEM};
    const uint64_t which = filter_random() % 4;

    if (harmless)
        return tag == GYREI_OP_RECV || tag == GYREI_OP_ACCEPT ? interludes[which] : 0;
    switch (tag) {
    case GYREI_OP_RECV: return receives[which];
    case GYREI_OP_SEND: return sends[which];
    case GYREI_OP_CONNECT: return connects[which];
    case GYREI_OP_ACCEPT: return accepts[which];
    case GYREI_OP_READ: return GYRE_EIO;
    default: return 0;
    }
}

/* IORING_NOP_INJECT_RESULT, Linux 6.10: the result is what `len` says. */
static inline void filter_make_refusal(struct io_uring_sqe *sqe, int error)
{
    const uint64_t user_data = sqe->user_data;

    memset(sqe, 0, sizeof(*sqe));
    sqe->opcode = IORING_OP_NOP;
    sqe->user_data = user_data;
    sqe->len = (uint32_t)error;
    sqe->rw_flags = 1;
}

static inline void filter_edit(struct io_uring_sqe *sqe)
{
    const uint32_t tag = filter_tag(sqe->user_data);
    const bool harmless = filter_draw(filter.rates.refuse);
    const int error =
        harmless || filter_draw(filter.rates.fail) ? filter_refusal(tag, harmless) : 0;

    if (error != 0 && tag < GYREI_OP_KINDS) {
        /* A connection that has failed is dead for its peer, too. */
        if (!harmless && (tag == GYREI_OP_RECV || tag == GYREI_OP_SEND))
            (void)shutdown(sqe->fd, SHUT_RDWR);
        filter_make_refusal(sqe, error);
        *(harmless ? &filter.refused : &filter.failed) += 1;
    } else if ((sqe->opcode == IORING_OP_SEND || sqe->opcode == IORING_OP_READ) && sqe->len > 1 &&
               filter_draw(filter.rates.shorten)) {
        sqe->len = 1 + (uint32_t)(filter_random() % (sqe->len - 1));
        filter.shortened++;
    }
}

static inline void filter_edit_entries(uint32_t count)
{
    struct io_uring_sq *sq = &filter.uring->ring.sq;

    for (uint32_t i = 0; i < count; i++)
        filter_edit(&sq->sqes[(*sq->khead + i) & sq->ring_mask]);
}

/* What is sent at once may find the socket full, and then goes by an entry. */
static inline int64_t filter_send(const gyrei_env *env, int fd, const void *base, size_t len)
{
    if (filter_draw(filter.rates.shorten))
        return GYRE_EAGAIN;
    if (len > 1 && filter_draw(filter.rates.shorten)) {
        len = 1 + (size_t)(filter_random() % (len - 1));
        filter.shortened++;
    }
    return gyrei_env_os.sys->send(env, fd, base, len);
}

static inline int64_t filter_sendv(const gyrei_env *env, int fd, const gyre_buf *bufs,
                                   uint32_t count)
{
    return filter_draw(filter.rates.shorten) ? GYRE_EAGAIN
                                             : gyrei_env_os.sys->sendv(env, fd, bufs, count);
}

/* ---- completions ---- */

static inline void filter_take(void)
{
    const unsigned tail = __atomic_load_n(filter.kernel_tail, __ATOMIC_ACQUIRE);
    unsigned head = *filter.kernel_head;

    for (; head != tail; head++) {
        assert_true(filter.held_count < FILTER_HELD);
        memcpy(&filter.held[filter.held_count], &filter.kernel_cqes[head & filter.kernel_mask],
               sizeof(filter_cqe));
        filter_note_filled(&filter.held[filter.held_count++]);
        filter.taken++;
    }
    __atomic_store_n(filter.kernel_head, head, __ATOMIC_RELEASE);
}

static inline int filter_call(uint32_t submit, uint32_t wait, uint32_t flags, const void *argument,
                              size_t size)
{
    const int result = gyrei_env_os.sys->uring_enter(&gyrei_env_os, filter.uring->enter_fd, submit,
                                                     wait, flags, argument, size);

    filter_take();
    filter_check_buffers();
    return result;
}

static inline int filter_find_end(uint64_t user_data)
{
    for (unsigned i = 0; i < filter.held_count; i++) {
        if (filter.held[i].user_data == user_data &&
            (filter.held[i].flags & IORING_CQE_F_MORE) == 0)
            return (int)i;
    }
    return -1;
}

static inline void filter_remove(unsigned at)
{
    filter.held_count--;
    memmove(&filter.held[at], &filter.held[at + 1],
            (filter.held_count - at) * sizeof(filter.held[0]));
}

/* Ends the request of held[at], which has F_MORE, as the kernel may at any time. */
static inline void filter_end(unsigned at)
{
    const uint64_t user_data = filter.held[at].user_data;
    struct io_uring_sync_cancel_reg cancel = {
        .addr = user_data, .fd = -1, .timeout = {.tv_sec = -1, .tv_nsec = -1}};
    int end;
    unsigned last = at;

    (void)gyrei_env_os.sys->uring_register(&gyrei_env_os, filter.uring->fd,
                                           IORING_REGISTER_SYNC_CANCEL, &cancel, 1);
    for (int i = 0; (end = filter_find_end(user_data)) < 0; i++) {
        assert_true(i < 100000);
        (void)filter_call(0, 0, filter.uring->enter_flags | IORING_ENTER_GETEVENTS, NULL, 0);
    }
    if (filter.held[end].res != -ECANCELED)
        return;
    filter_remove((unsigned)end);
    for (unsigned i = at; i < filter.held_count; i++) {
        if (filter.held[i].user_data == user_data)
            last = i;
    }
    filter.held[last].flags &= ~(uint32_t)IORING_CQE_F_MORE;
    filter.ends++;
}

static inline bool filter_may_end(const filter_cqe *cqe)
{
    const uint32_t tag = filter_tag(cqe->user_data);

    return (cqe->flags & IORING_CQE_F_MORE) != 0 &&
           (tag == GYREI_OP_RECV || tag == GYREI_OP_ACCEPT || tag == GYREI_URING_WAKE);
}

/* A later one that may go first: of another request, and of no buffer, for those keep order. */
static inline unsigned filter_overtaker(void)
{
    const unsigned at = 1 + (unsigned)(filter_random() % 4);

    if (at >= filter.held_count || (filter.held[at].flags & IORING_CQE_F_BUFFER) != 0)
        return 0;
    for (unsigned i = 0; i < at; i++) {
        if ((filter.held[i].user_data ^ filter.held[at].user_data) << 32 << 4 == 0)
            return 0; /* the same op, or its cancel */
    }
    filter.reorders++;
    return at;
}

/* Shows what is held, oldest first, as far as there is room and chance lets it; `must` one. */
static inline void filter_show(bool must)
{
    while (filter.held_count > 0 &&
           filter.tail - __atomic_load_n(&filter.head, __ATOMIC_ACQUIRE) < FILTER_SHOWN) {
        unsigned at = 0;

        if (!must && filter_draw(filter.rates.hold)) {
            filter.holds++;
            return;
        }
        must = false;
        if (filter_draw(filter.rates.reorder))
            at = filter_overtaker();
        if (filter_may_end(&filter.held[at]) && filter_draw(filter.rates.end))
            filter_end(at);
        filter.shown[filter.tail % FILTER_SHOWN] = filter.held[at];
        filter_remove(at);
        __atomic_store_n(&filter.tail, filter.tail + 1, __ATOMIC_RELEASE);
    }
}

static inline int filter_enter(const gyrei_env *env, int ring, uint32_t submit, uint32_t wait,
                               uint32_t flags, const void *argument, size_t size)
{
    const bool has_some = filter.held_count > 0 || filter.head != filter.tail;
    int result;

    (void)env;
    if (filter.uring == NULL) /* before the filter was put in */
        return gyrei_env_os.sys->uring_enter(env, ring, submit, wait, flags, argument, size);
    /* io_uring_enter(2): EBUSY, completions have overflown; EAGAIN, no memory for a request. */
    if (submit > 0 && filter_draw(filter.rates.hold / 2)) {
        filter.busy++;
        return filter_draw(500) ? GYRE_EBUSY : GYRE_EAGAIN;
    }
    filter_note_provided();
    filter_edit_entries(submit);
    result = filter_call(submit, has_some ? 0 : wait, flags, argument, size);
    filter_show(wait > 0 && filter.head == filter.tail);
    return result;
}

/* ---- life ---- */

static inline int filter_small_ring(uint32_t *entries, struct io_uring_params *params)
{
    *entries = 4;
    params->cq_entries = 8;
    return 0;
}

/* Opens the test's loop with the filter in it. */
static inline void filter_open(uint64_t seed, const filter_rates *rates, gyre_loop_options options)
{
    filter = (test_filter){.rates = *rates, .random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1};
    kernel.on_setup = filter_small_ring;
    kernel_sys.uring_enter = filter_enter;
    kernel_sys.send = filter_send;
    kernel_sys.sendv = filter_sendv;
    loop_open_well(options);
    filter.uring = uring_of_loop();
    filter.kernel_head = filter.uring->ring.cq.khead;
    filter.kernel_tail = filter.uring->ring.cq.ktail;
    filter.kernel_cqes = filter.uring->ring.cq.cqes;
    filter.kernel_mask = filter.uring->ring.cq.ring_mask;
    filter.uring->ring.cq.khead = &filter.head;
    filter.uring->ring.cq.ktail = &filter.tail;
    filter.uring->ring.cq.cqes = (struct io_uring_cqe *)(void *)filter.shown;
    filter.uring->ring.cq.ring_mask = FILTER_SHOWN - 1;
}

#endif
