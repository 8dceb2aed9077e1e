/*
 * The reactor: operations on top of readiness, by try, park, retry.
 *
 *   submit --+--> park in the descriptor's slot --(event)--> runnable --> perform: the system call
 *            |               ^                                                 |       |
 *            +--> runnable --|-------------------------------------------------+       v
 *                            +---------------------- it would block -------------  result
 *
 * Each descriptor number has a slot with the operations parked on it and the interest that the
 * kernel was told. A slot whose interest may have to change stands in the list of dirty ones, which
 * is flushed once, before waiting: so a mask that changes to and fro costs nothing. Interest in
 * reading is given up late, when an event comes that nobody waits for: so a receive submitted anew
 * costs no system call. Interest in writing and what foreign descriptors are watched for is exact.
 *
 * Invariants: a PARKED op stands in its descriptor's slot, in `starved`, or is offloaded. Scanning
 * events calls no user code; it only marks ops runnable, and the system call is made at dispatch,
 * just before the callback: closes, re-used numbers and changed minds need no special case. An id
 * carries the slot's generation, which `forget` raises: an event of a former descriptor finds
 * nothing. Must not know which poller waits.
 */
#include "backend/ready.h"

#include "base/hot.h"
#include "base/list.h"
#include "gyre/poll.h"
#include "os/here.h"

#include <stddef.h>
#include <sys/stat.h>

enum {
    READ_MASK = GYRE_POLL_IN,
    WRITE_MASK = GYRE_POLL_OUT,
    FAILURE_MASK = GYRE_POLL_ERR | GYRE_POLL_HUP /* reported unasked */
};

enum slot_flags {
    SLOT_DIRTY = 1,
    SLOT_FOREIGN = 2, /* a POLL op was parked here: the owner may have other names for the file */
    SLOT_UNWANTED = 4 /* an event came that nobody waited for: it would come again at once */
};

/*
 * op flags of ours: what a CONNECT has come to, that an ACCEPT is tried beyond the last one, that
 * another thread has the op.
 */
#define OP_CONNECTING GYREI_OP_BACKEND_A
#define OP_EXTRA_TRY GYREI_OP_BACKEND_B
#define OP_OFFLOADED GYREI_OP_BACKEND_C

/* Receive buffers, unless the user says how many. */
enum { BUFFERS = 4 };

/* One accept beyond the last is tried after so many events that brought a connection each. */
enum { EAGER_FROM = 4, EAGER_BACKOFF = -16, EAGER_MAX = 100 };

/* ---- slots ---- */

static gyrei_ready_slot *slot_of(const gyrei_ready *ready, int fd)
{
    const uint32_t index = (uint32_t)fd;

    GYRE_ASSERT(fd >= 0 && index / GYREI_READY_CHUNK < ready->chunk_count);
    return &ready->chunks[index / GYREI_READY_CHUNK][index % GYREI_READY_CHUNK];
}

static uint64_t slot_id(const gyrei_ready_slot *slot, int fd)
{
    return (uint64_t)slot->generation << 32 | (uint32_t)fd;
}

static int grow(gyrei_ready *ready, uint32_t chunk_count)
{
    gyrei_ready_slot **chunks = gyrei_loop_alloc(ready->loop, chunk_count * sizeof(*chunks));

    if (chunks == NULL)
        return GYRE_ENOMEM;
    for (uint32_t i = 0; i < ready->chunk_count; i++)
        chunks[i] = ready->chunks[i];
    gyrei_loop_free(ready->loop, ready->chunks, ready->chunk_count * sizeof(*chunks));
    ready->chunks = chunks;
    ready->chunk_count = chunk_count;
    return 0;
}

static gyrei_ready_slot *known_slot(const gyrei_ready *ready, int fd)
{
    const uint32_t chunk = (uint32_t)fd / GYREI_READY_CHUNK;

    return chunk < ready->chunk_count && ready->chunks[chunk] != NULL ? slot_of(ready, fd) : NULL;
}

static __attribute__((noinline)) int add_chunk(gyrei_ready *ready, uint32_t chunk)
{
    gyrei_ready_slot *slots;

    if (chunk >= ready->chunk_count) {
        const uint32_t doubled = ready->chunk_count * 2;

        if (grow(ready, chunk + 1 > doubled ? chunk + 1 : doubled) != 0)
            return GYRE_ENOMEM;
    }
    slots = gyrei_loop_alloc(ready->loop, GYREI_READY_CHUNK * sizeof(*slots));
    if (slots == NULL)
        return GYRE_ENOMEM;
    for (uint32_t i = 0; i < GYREI_READY_CHUNK; i++) {
        slots[i].generation = 1;
        gyrei_list_init(&slots[i].parked);
    }
    ready->chunks[chunk] = slots;
    return 0;
}

int gyrei_ready_attach(gyrei_ready *ready, int fd)
{
    GYRE_ASSERT(fd >= 0);
    return known_slot(ready, fd) != NULL ? 0 : add_chunk(ready, (uint32_t)fd / GYREI_READY_CHUNK);
}

/* ---- interest ---- */

static inline uint32_t op_mask(const gyre_op *op)
{
    static const uint8_t masks[GYREI_OP_KINDS] = {
        [GYREI_OP_ACCEPT] = READ_MASK,
        [GYREI_OP_RECV] = READ_MASK,
        [GYREI_OP_CONNECT] = WRITE_MASK,
        [GYREI_OP_SEND] = WRITE_MASK,
    };

    return op->kind == GYREI_OP_POLL ? op->arg32 : masks[op->kind];
}

/* What the parked ops wait for, all together. */
static uint32_t wanted_mask(const gyrei_ready_slot *slot)
{
    uint32_t mask = 0;

    for (const gyre_link *link = slot->parked.next; link != &slot->parked; link = link->next)
        mask |= op_mask(GYRE_CONTAINER_OF(link, gyre_op, link));
    return mask;
}

static void make_dirty(gyrei_ready *ready, gyrei_ready_slot *slot, int fd)
{
    if ((slot->flags & SLOT_DIRTY) != 0)
        return;
    slot->flags |= SLOT_DIRTY;
    slot->next_dirty = ready->dirty;
    ready->dirty = (uint32_t)fd + 1;
}

GYREI_HOT static void park(gyrei_ready *ready, gyre_op *op)
{
    gyrei_ready_slot *slot = slot_of(ready, op->fd);

    gyrei_list_append(&slot->parked, &op->link);
    if (op->kind == GYREI_OP_POLL)
        slot->flags |= SLOT_FOREIGN;
    if ((op_mask(op) & ~(uint32_t)slot->armed) != 0)
        make_dirty(ready, slot, op->fd);
    gyrei_op_parked(ready->loop, op);
}

/* Takes a parked op out. What it waited for may be given up before the next wait. */
static inline void unpark(gyrei_ready *ready, gyre_op *op)
{
    gyrei_list_remove(&op->link);
    if (op->kind != GYREI_OP_RECV && op->kind != GYREI_OP_ACCEPT)
        make_dirty(ready, slot_of(ready, op->fd), op->fd);
}

/* The kernel will not watch this descriptor: that is the result of all that waits for it. */
static void fail_parked(gyrei_ready *ready, gyrei_ready_slot *slot, int error)
{
    gyre_link *link;

    while ((link = gyrei_list_pop(&slot->parked)) != NULL)
        (void)gyrei_op_complete(ready->loop, GYRE_CONTAINER_OF(link, gyre_op, link), error, 0, 0);
}

void gyrei_ready_changed(gyrei_ready *ready, const gyrei_ready_change *change, int error)
{
    gyrei_ready_slot *slot = slot_of(ready, change->fd);

    if (error == 0) {
        slot->armed = (uint8_t)change->to;
        return;
    }
    /* What was armed before may be so still; forgetting it is harmless if not. */
    fail_parked(ready, slot, error);
    if (slot->armed != 0)
        ready->ops->forget(ready, change->fd, true);
    slot->armed = 0;
}

/* Interest in reading is kept until it disturbs; all other is given up with its op. */
static uint32_t kept_mask(const gyrei_ready_slot *slot)
{
    return (slot->flags & (SLOT_FOREIGN | SLOT_UNWANTED)) == 0 ? slot->armed & READ_MASK : 0;
}

bool gyrei_ready_next_change(gyrei_ready *ready, gyrei_ready_change *change)
{
    while (ready->dirty != 0) {
        const int fd = (int)(ready->dirty - 1);
        gyrei_ready_slot *slot = slot_of(ready, fd);
        const uint32_t mask = wanted_mask(slot) | kept_mask(slot);

        ready->dirty = slot->next_dirty;
        slot->flags &= (uint8_t) ~(SLOT_DIRTY | SLOT_UNWANTED);
        if (mask == slot->armed)
            continue;
        *change = (gyrei_ready_change){
            .id = slot_id(slot, fd), .fd = fd, .from = slot->armed, .to = mask};
        return true;
    }
    return false;
}

static int watch_anew(gyrei_ready *ready)
{
    const int error = ready->ops->renew(ready);

    for (uint32_t fd = 0; error == 0 && fd < ready->chunk_count * GYREI_READY_CHUNK; fd++) {
        gyrei_ready_slot *slots = ready->chunks[fd / GYREI_READY_CHUNK];
        gyrei_ready_slot *slot = slots != NULL ? &slots[fd % GYREI_READY_CHUNK] : NULL;

        if (slot != NULL && slot->armed != 0) {
            slot->armed = 0;
            make_dirty(ready, slot, (int)fd);
        }
    }
    return error;
}

int gyrei_ready_flush(gyrei_ready *ready)
{
    if (ready->stale) {
        const int error = watch_anew(ready);

        if (error != 0)
            return error;
        ready->stale = false;
        ready->shared = true;
    }
    if (ready->dirty != 0)
        ready->ops->arm(ready);
    return 0;
}

int gyrei_ready_forked(gyrei_ready *ready)
{
    return watch_anew(ready);
}

static inline void forget(gyrei_ready *ready, gyrei_ready_slot *slot, int fd, bool stays_open)
{
    const bool armed = slot->armed != 0;

    GYRE_ASSERT(gyrei_list_empty(&slot->parked));
    slot->armed = 0;
    slot->flags &= SLOT_DIRTY;
    slot->eager = 0;
    if (++slot->generation == 0)
        slot->generation = 1;
    if (armed)
        ready->ops->forget(ready, fd, stays_open);
}

void gyrei_ready_forget(gyrei_ready *ready, int fd)
{
    gyrei_ready_slot *slot = known_slot(ready, fd);

    if (slot != NULL)
        forget(ready, slot, fd, ready->shared || (slot->flags & SLOT_FOREIGN) != 0);
}

void gyrei_ready_leave(gyrei_ready *ready, int fd)
{
    gyrei_ready_slot *slot = known_slot(ready, fd);

    if (slot != NULL)
        forget(ready, slot, fd, true);
}

/* ---- events ---- */

static gyrei_ready_slot *find_slot(const gyrei_ready *ready, uint64_t id)
{
    const uint32_t fd = (uint32_t)id;
    gyrei_ready_slot *slot;

    if (fd / GYREI_READY_CHUNK >= ready->chunk_count)
        return NULL;
    slot = slot_of(ready, (int)fd);
    return slot->generation == (uint32_t)(id >> 32) ? slot : NULL;
}

GYREI_HOT void gyrei_ready_event(gyrei_ready *ready, uint64_t id, uint32_t events)
{
    gyrei_ready_slot *slot = find_slot(ready, id);
    uint32_t served = 0;
    gyre_link *link;

    if (slot == NULL) {
        ready->stale = true;
        return;
    }
    link = slot->parked.next;
    while (link != &slot->parked) {
        gyre_op *op = GYRE_CONTAINER_OF(link, gyre_op, link);
        const uint32_t mask = op_mask(op) | FAILURE_MASK;

        link = link->next;
        if ((events & mask) == 0)
            continue;
        served |= mask;
        unpark(ready, op);
        if (op->kind == GYREI_OP_POLL)
            op->arg64 = events & mask;
        gyrei_op_ready(ready->loop, op);
    }
    if ((events & ~served) != 0) {
        slot->flags |= SLOT_UNWANTED;
        make_dirty(ready, slot, (int)(uint32_t)id);
    }
}

GYREI_HOT int gyrei_ready_wait_begin(gyrei_ready *ready, uint64_t timeout_ns, gyrei_wait_call *call)
{
    int error;

    /* Interest that the kernel refused has made its ops runnable; what it reports counts anyway. */
    call->error = gyrei_ready_flush(ready);
    if (call->error != 0 || gyrei_op_any_runnable(ready->loop))
        timeout_ns = 0;
    error = ready->ops->wait_begin(ready, timeout_ns, call);
    return call->error != 0 ? call->error : error;
}

GYREI_HOT int gyrei_ready_wait_end(gyrei_ready *ready, const gyrei_wait_call *call, int result)
{
    const int error = ready->ops->wait_end(ready, result);

    return call->error != 0 ? call->error : error;
}

int gyrei_ready_look(gyrei_ready *ready)
{
    gyrei_wait_call call = {.kind = GYREI_WAIT_NONE};
    const int error = gyrei_ready_wait_begin(ready, 0, &call);

    if (call.kind == GYREI_WAIT_NONE)
        return error;
    return gyrei_ready_wait_end(ready, &call, gyrei_here_wait(ready->env, &call));
}

/* ---- the system calls, at dispatch ---- */

static bool blocked(gyrei_ready *ready, gyre_op *op)
{
    park(ready, op);
    return false;
}

static bool finished(gyrei_result *result, int64_t value)
{
    *result = (gyrei_result){.value = (int32_t)value};
    return true;
}

/* A multishot op goes on waiting; its callback may cancel it, so it is parked before. */
static bool go_on(gyrei_ready *ready, gyre_op *op, gyrei_result *result)
{
    if ((op->flags & GYREI_OP_MULTISHOT) == 0)
        return true;
    result->flags |= GYREI_RESULT_MORE;
    park(ready, op);
    return true;
}

static bool is_pool_receive(const gyre_op *op)
{
    return op->pointer == NULL;
}

GYREI_HOT bool gyrei_ready_recv_begin(gyrei_ready *ready, gyre_op *op, gyrei_recv_call *call)
{
    call->fd = op->fd;
    if (!is_pool_receive(op)) {
        call->base = op->pointer;
        call->len = op->arg32;
        return true;
    }
    call->base = gyrei_bufpool_lend(&ready->buffers);
    call->len = ready->buffers.bytes;
    if (call->base != NULL)
        return true;
    gyrei_op_parked(ready->loop, op);
    gyrei_list_append(&ready->starved, &op->link);
    return false;
}

GYREI_HOT bool gyrei_ready_recv_end(gyrei_ready *ready, gyre_op *op, const gyrei_recv_call *call,
                                    int64_t got, gyrei_result *result)
{
    const bool lent = is_pool_receive(op);

    if (got <= 0 && lent)
        gyrei_bufpool_release(&ready->buffers, call->base);
    if (got == GYRE_EAGAIN)
        return blocked(ready, op);
    finished(result, got);
    if (got <= 0)
        return true;
    if (lent) {
        result->base = call->base;
        result->flags |= GYREI_RESULT_BUFFER;
    }
    return go_on(ready, op, result);
}

static void feed_starved(gyrei_ready *ready)
{
    gyre_link *link = gyrei_list_pop(&ready->starved);

    gyrei_op_ready(ready->loop, GYRE_CONTAINER_OF(link, gyre_op, link));
}

GYREI_HOT void gyrei_ready_release(gyrei_ready *ready, const void *base)
{
    gyrei_bufpool_release(&ready->buffers, base);
    if (!gyrei_list_empty(&ready->starved))
        feed_starved(ready);
}

/*
 * One connection an event is fair to others and costs no call in vain. Where each event brings one,
 * there may be more: then one accept more is tried, until it finds nothing.
 */
static bool accept_again(gyrei_ready_slot *slot, gyre_op *op)
{
    if (slot->eager < EAGER_MAX)
        slot->eager++;
    if (slot->eager < EAGER_FROM)
        return false;
    op->flags |= OP_EXTRA_TRY;
    return true;
}

bool gyrei_ready_accept_end(gyrei_ready *ready, gyre_op *op, int fd, gyrei_result *result)
{
    gyrei_ready_slot *slot = slot_of(ready, op->fd);
    const bool extra = (op->flags & OP_EXTRA_TRY) != 0;

    op->flags &= (uint16_t)~OP_EXTRA_TRY;
    if (fd == GYRE_EAGAIN) {
        if (extra)
            slot->eager = EAGER_BACKOFF;
        return blocked(ready, op);
    }
    finished(result, fd);
    if (fd < 0)
        return true;
    if ((op->flags & GYREI_OP_MULTISHOT) == 0 || !accept_again(slot, op))
        return go_on(ready, op, result);
    result->flags |= GYREI_RESULT_MORE;
    gyrei_op_ready(ready->loop, op);
    return true;
}

static bool perform_send(gyrei_ready *ready, gyre_op *op, gyrei_result *result)
{
    const gyrei_sys *sys = ready->env->sys;
    const gyre_buf *bufs = op->pointer;
    const int64_t n = op->arg32 == 1 ? sys->send(ready->env, op->fd, bufs->base, bufs->len)
                                     : sys->sendv(ready->env, op->fd, bufs, op->arg32);

    return n == GYRE_EAGAIN ? blocked(ready, op) : finished(result, n);
}

/* Readiness may be false: a socket without an error that has no peer is still connecting. */
static int connect_result(const gyrei_ready *ready, int fd)
{
    const gyrei_sys *sys = ready->env->sys;
    gyre_address peer;
    int error = 0;
    uint32_t len = sizeof(error);
    const int failed = sys->get_option(ready->env, fd, SOL_SOCKET, SO_ERROR, &error, &len);

    if (failed != 0)
        return failed;
    if (error != 0)
        return error;
    return sys->peer_address(ready->env, fd, &peer) == GYRE_ENOTCONN ? GYRE_EINPROGRESS : 0;
}

static bool perform_connect(gyrei_ready *ready, gyre_op *op, gyrei_result *result)
{
    int error;

    if ((op->flags & OP_CONNECTING) != 0)
        error = connect_result(ready, op->fd);
    else
        error = ready->env->sys->connect(ready->env, op->fd, op->pointer, op->arg32);
    if (error != GYRE_EINPROGRESS)
        return finished(result, error);
    op->flags |= OP_CONNECTING;
    return blocked(ready, op);
}

static bool perform_poll(gyrei_ready *ready, gyre_op *op, gyrei_result *result)
{
    finished(result, (int64_t)op->arg64);
    return go_on(ready, op, result);
}

/* An op carries addresses as numbers, as the entries of a ring do. */
static void *address_of(uint64_t number)
{
    return (void *)(uintptr_t)number; /* NOLINT(performance-no-int-to-ptr) */
}

/* ---- files: a poller calls them ready always, but a disk takes its time ---- */

static int64_t call_file(const gyrei_env *env, const gyre_op *op)
{
    switch ((gyrei_op_kind)op->kind) {
    case GYREI_OP_OPEN: return env->sys->openat2(env, op->fd, op->pointer, address_of(op->arg64));
    case GYREI_OP_STAT:
        return env->sys->statx(env, op->fd, op->pointer, (int)op->arg32, STATX_BASIC_STATS,
                               address_of(op->arg64));
    case GYREI_OP_READ: return env->sys->pread(env, op->fd, op->pointer, op->arg32, op->arg64);
    case GYREI_OP_CLOSE: return env->sys->close(env, op->fd);
    default: return GYRE_ENOTSUP;
    }
}

/*
 * What the kernel has in memory. A descriptor's own inode is, and close does not wait for a disk;
 * on a file system that asks a server for both (NFS, FUSE) they are waited for here.
 */
static int64_t call_file_now(const gyrei_env *env, const gyre_op *op)
{
    const char *path = op->pointer;

    switch ((gyrei_op_kind)op->kind) {
    case GYREI_OP_OPEN: return env->sys->openat2_now(env, op->fd, path, address_of(op->arg64));
    case GYREI_OP_READ: return env->sys->pread_now(env, op->fd, op->pointer, op->arg32, op->arg64);
    case GYREI_OP_STAT: return *path == '\0' ? call_file(env, op) : GYRE_EAGAIN;
    default: return call_file(env, op);
    }
}

/* The rest goes to a thread; without one the loop waits itself. */
static bool perform_file(gyrei_ready *ready, gyre_op *op, gyrei_result *result)
{
    int64_t value = call_file_now(ready->env, op);

    if (value == GYRE_EAGAIN) {
        op->flags |= OP_OFFLOADED;
        if (gyrei_loop_offload(ready->loop, op, call_file))
            return false;
        value = call_file(ready->env, op);
    }
    return finished(result, value);
}

bool gyrei_ready_perform(gyrei_ready *ready, gyre_op *op, gyrei_result *result)
{
    switch ((gyrei_op_kind)op->kind) {
    case GYREI_OP_SEND: return perform_send(ready, op, result);
    case GYREI_OP_CONNECT: return perform_connect(ready, op, result);
    case GYREI_OP_POLL: return perform_poll(ready, op, result);
    default: return perform_file(ready, op, result);
    }
}

/* ---- ops ---- */

int gyrei_ready_submit(gyrei_ready *ready, gyre_op *op)
{
    switch ((gyrei_op_kind)op->kind) {
    case GYREI_OP_ACCEPT:
    case GYREI_OP_RECV:
    case GYREI_OP_POLL: park(ready, op); return 0;
    case GYREI_OP_SEND:
        if ((op->flags & GYREI_OP_POLL_FIRST) != 0) {
            park(ready, op);
            return 0;
        }
        break;
    default: break;
    }
    gyrei_op_ready(ready->loop, op);
    return 0;
}

void gyrei_ready_cancel(gyrei_ready *ready, gyre_op *op)
{
    if ((op->flags & OP_OFFLOADED) != 0) {
        gyrei_loop_offload_cancel(ready->loop, op);
        return;
    }
    unpark(ready, op);
    (void)gyrei_op_complete(ready->loop, op, GYRE_ECANCELED, 0, 0);
}

void gyrei_ready_change_events(gyrei_ready *ready, gyre_op *op)
{
    make_dirty(ready, slot_of(ready, op->fd), op->fd);
}

/* ---- the audit ---- */

static const char *verify_dirty(const gyrei_ready *ready, uint32_t flagged)
{
    for (uint32_t next = ready->dirty; next != 0; flagged--) {
        const gyrei_ready_slot *slot = known_slot(ready, (int)(next - 1));

        if (slot == NULL || (slot->flags & SLOT_DIRTY) == 0 || flagged == 0)
            return "a descriptor stands wrongly among the dirty ones";
        next = slot->next_dirty;
    }
    return flagged == 0 ? NULL : "a descriptor's interest would never be flushed";
}

static const char *verify_slot(const gyrei_ready_slot *slot, int fd, uint32_t *parked)
{
    for (const gyre_link *link = slot->parked.next; link != &slot->parked; link = link->next) {
        const gyre_op *op = GYRE_CONTAINER_OF(link, gyre_op, link);

        if (op->state != GYREI_OP_PARKED || op->fd != fd || (op->flags & OP_OFFLOADED) != 0)
            return "an operation is parked where it does not belong";
        (*parked)++;
    }
    if ((wanted_mask(slot) & ~(uint32_t)slot->armed) != 0 && (slot->flags & SLOT_DIRTY) == 0)
        return "an operation waits for what the kernel was not asked";
    return slot->generation == 0 ? "a descriptor has the generation that means none" : NULL;
}

static const char *verify_starved(const gyrei_ready *ready, uint32_t *parked)
{
    for (const gyre_link *link = ready->starved.next; link != &ready->starved; link = link->next) {
        const gyre_op *op = GYRE_CONTAINER_OF(link, gyre_op, link);

        if (op->state != GYREI_OP_PARKED || op->kind != GYREI_OP_RECV || op->pointer != NULL)
            return "an operation that needs no buffer waits for one";
        (*parked)++;
    }
    return NULL;
}

/* What the loop takes for parked must be found again here: else nothing would ever wake it. */
static uint32_t count_parked(const gyrei_ready *ready)
{
    uint32_t position = 0;
    uint32_t count = 0;
    const gyre_op *op;

    while ((op = gyrei_op_next(ready->loop, &position)) != NULL)
        count += op->state == GYREI_OP_PARKED && (op->flags & OP_OFFLOADED) == 0;
    return count;
}

const char *gyrei_ready_verify(const gyrei_ready *ready)
{
    const uint32_t end = ready->chunk_count * GYREI_READY_CHUNK;
    uint32_t dirty = 0;
    uint32_t parked = 0;
    const char *flaw = verify_starved(ready, &parked);

    for (uint32_t fd = 0; flaw == NULL && fd < end; fd++) {
        const gyrei_ready_slot *slot = known_slot(ready, (int)fd);

        if (slot == NULL)
            continue;
        dirty += (slot->flags & SLOT_DIRTY) != 0;
        flaw = verify_slot(slot, (int)fd, &parked);
    }
    if (flaw == NULL)
        flaw = verify_dirty(ready, dirty);
    if (flaw == NULL && parked != count_parked(ready))
        flaw = "an operation is parked nowhere";
    if (flaw == NULL)
        flaw = gyrei_bufpool_verify(&ready->buffers, gyrei_loop_depth(ready->loop));
    return flaw;
}

/* ---- life ---- */

int gyrei_ready_init(gyrei_ready *ready, gyre_loop *loop, const gyrei_poller_ops *ops,
                     const gyrei_backend_config *config)
{
    const uint32_t buffers = config == NULL || config->read_buffers != 0 ? 0 : BUFFERS;
    int error = 0;

    *ready = (gyrei_ready){.loop = loop, .env = gyrei_loop_env(loop), .ops = ops, .wake_fd = -1};
    gyrei_list_init(&ready->starved);
    if (config != NULL) {
        ready->wake_fd = config->wake_fd;
        error = gyrei_bufpool_init(&ready->buffers, loop, buffers + config->read_buffers,
                                   config->read_buffer_bytes, config->read_keep_max);
    }
    if (error != 0)
        return error;
    error = ops->open(ready);
    if (error != 0)
        gyrei_bufpool_close(&ready->buffers);
    return error;
}

void gyrei_ready_close(gyrei_ready *ready)
{
    ready->ops->close(ready);
    for (uint32_t i = 0; i < ready->chunk_count; i++)
        gyrei_loop_free(ready->loop, ready->chunks[i],
                        GYREI_READY_CHUNK * sizeof(gyrei_ready_slot));
    gyrei_loop_free(ready->loop, ready->chunks, ready->chunk_count * sizeof(*ready->chunks));
    gyrei_bufpool_close(&ready->buffers);
}
