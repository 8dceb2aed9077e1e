/*
 * The ring as a backend: ops go in, completions come out, in an order that the seed decides except
 * that those of one request keep theirs.
 *
 * Receive buffers have one owner at any time: the kernel, a completion and then the loop (LENT), or
 * the user (KEPT); a buffer that goes back is overwritten. POLL ops live in a poller of their own,
 * as with io_uring. Must not know what an op is for.
 */
#include "sim/ring.h"

#include <stdlib.h>
#include <string.h>

enum { BUFFERS = 8, POISON = 0xB5 };

static gyrei_sim_ring *ring_of(gyrei_backend *backend)
{
    return (gyrei_sim_ring *)(void *)backend;
}

/* ---- buffers ---- */

uint32_t gyrei_sim_ring_buffer(gyrei_sim_ring *ring)
{
    if (ring->lent >= ring->lent_max)
        return UINT32_MAX;
    for (uint32_t i = 0; i < ring->buffer_count; i++) {
        if (ring->buffers[i].state == 0) {
            ring->buffers[i].state = GYREI_SIM_LENT;
            ring->buffers[i].bytes = 0;
            ring->lent++;
            return i;
        }
    }
    return UINT32_MAX;
}

void gyrei_sim_ring_give(gyrei_sim_ring *ring, uint32_t index)
{
    const gyrei_sim_buffer *buffer = &ring->buffers[index];

    GYRE_ASSERT(buffer->state == GYREI_SIM_LENT);
    memset(ring->arena + (size_t)index * ring->buffer_bytes, POISON, buffer->bytes);
    ring->buffers[index].state = 0;
    ring->lent--;
    gyrei_sim_requests_feed(ring);
}

static uint32_t buffer_at(const gyrei_sim_ring *ring, const void *base)
{
    const size_t offset = (size_t)((const char *)base - ring->arena);

    GYRE_ASSERT(offset < (size_t)ring->buffer_count * ring->buffer_bytes);
    return (uint32_t)(offset / ring->buffer_bytes);
}

static char *ring_buf_base(gyrei_backend *backend, uint32_t offset)
{
    const gyrei_sim_ring *ring = ring_of(backend);

    GYRE_ASSERT((ring->buffers[offset / ring->buffer_bytes].state & GYREI_SIM_LENT) != 0);
    return ring->arena + offset;
}

static int ring_buf_keep(gyrei_backend *backend, const void *base)
{
    gyrei_sim_ring *ring = ring_of(backend);
    gyrei_sim_buffer *buffer = &ring->buffers[buffer_at(ring, base)];

    GYRE_ASSERT((buffer->state & GYREI_SIM_LENT) != 0);
    if ((buffer->state & GYREI_SIM_KEPT) != 0)
        return GYRE_EALREADY;
    if (ring->kept == ring->kept_max)
        return GYRE_ENOBUFS;
    buffer->state |= GYREI_SIM_KEPT;
    ring->kept++;
    return 0;
}

/* A kept buffer leaves those that may be lent when its callback is over. */
static void ring_buf_release(gyrei_backend *backend, const void *base)
{
    gyrei_sim_ring *ring = ring_of(backend);
    const uint32_t index = buffer_at(ring, base);

    GYRE_ASSERT((ring->buffers[index].state & GYREI_SIM_LENT) != 0);
    if ((ring->buffers[index].state & GYREI_SIM_KEPT) == 0) {
        gyrei_sim_ring_give(ring, index);
        return;
    }
    ring->buffers[index].state = GYREI_SIM_KEPT;
    ring->lent--;
    gyrei_sim_requests_feed(ring);
}

static void ring_buf_unkeep(gyrei_backend *backend, const void *base)
{
    gyrei_sim_ring *ring = ring_of(backend);
    const uint32_t index = buffer_at(ring, base);

    GYRE_ASSERT((ring->buffers[index].state & GYREI_SIM_KEPT) != 0);
    ring->kept--;
    ring->buffers[index].state &= ~(uint32_t)GYREI_SIM_KEPT;
    if (ring->buffers[index].state != 0)
        return;
    ring->buffers[index].state = GYREI_SIM_LENT;
    ring->lent++;
    gyrei_sim_ring_give(ring, index);
}

/* ---- completions ---- */

static gyrei_sim_completion *completion_at(gyre_link *link)
{
    return GYRE_CONTAINER_OF(link, gyrei_sim_completion, link);
}

void gyrei_sim_ring_push(gyrei_sim_ring *ring, const gyrei_sim_completion *values)
{
    gyre_sim *sim = ring->host->sim;
    gyrei_sim_completion *new = gyrei_sim_new(sizeof(*new));
    gyre_link *before = &ring->completions;
    uint64_t steps = 0;

    *new = *values;
    gyrei_sim_note(sim, ring->host, "completion", values->kind, values->value);
    if (!gyrei_list_empty(&ring->completions) && gyrei_sim_strikes(sim, GYRE_SIM_REORDERED))
        steps = gyrei_sim_between(&sim->random, 1, 8);
    for (; steps > 0 && before->prev != &ring->completions; steps--) {
        if (completion_at(before->prev)->id == values->id)
            break;
        before = before->prev;
    }
    gyrei_list_append(before, &new->link);
}

/* What a completion brings that nobody waits for any more. */
static void dispose(gyrei_sim_ring *ring, const gyrei_sim_completion *values)
{
    if ((values->flags & GYREI_RESULT_BUFFER) != 0)
        gyrei_sim_ring_give(ring, values->buffer);
    if (values->kind == GYREI_OP_ACCEPT && values->value >= 0)
        (void)gyrei_sim_fd_close(ring->host, values->value);
}

static bool reap(gyrei_sim_ring *ring, gyrei_sim_completion *first)
{
    gyre_op *op = gyrei_op_find(ring->base.loop, first->id);

    if (op == NULL)
        dispose(ring, first);
    else if (!gyrei_op_complete(ring->base.loop, op, first->value, first->flags,
                                first->buffer * ring->buffer_bytes))
        return false;
    gyrei_list_remove(&first->link);
    free(first);
    return true;
}

/* Until the loop has no room for more: then the rest stays. */
static void reap_all(gyrei_sim_ring *ring)
{
    gyre_link *link = ring->completions.next;

    while (link != &ring->completions) {
        gyrei_sim_completion *first = completion_at(link);

        link = link->next;
        if (!reap(ring, first))
            return;
    }
}

static bool ring_ready(const gyrei_sim_loop *loop)
{
    const gyrei_sim_ring *ring = GYRE_CONTAINER_OF(loop, const gyrei_sim_ring, base);

    return !gyrei_list_empty(&ring->completions) ||
           (ring->foreign_used && gyrei_sim_poller_ready(ring->foreign.poller));
}

static int ring_wait(gyrei_backend *backend, uint64_t timeout_ns, gyrei_wait_call *call)
{
    gyrei_sim_ring *ring = ring_of(backend);
    int error = gyrei_ready_flush(&ring->foreign);

    (void)call;
    if (error == 0)
        error =
            gyrei_sim_sleep(&ring->base, gyrei_op_any_runnable(ring->base.loop) ? 0 : timeout_ns);
    if (error != 0)
        return error == GYRE_EINTR ? 0 : error;
    ring->base.woken = false;
    if (ring->foreign_used)
        error = gyrei_ready_look(&ring->foreign);
    reap_all(ring);
    return error;
}

/* ---- life ---- */

static void free_ring(gyrei_sim_ring *ring)
{
    gyre_link *link = ring->completions.next;

    while (link != &ring->completions) {
        gyrei_sim_completion *one = completion_at(link);

        link = link->next;
        free(one);
    }
    free(ring->arena);
    free(ring->buffers);
    free(ring);
}

static void ring_drop(gyrei_sim_loop *loop)
{
    gyrei_sim_ring *ring = GYRE_CONTAINER_OF(loop, gyrei_sim_ring, base);

    gyrei_sim_requests_drop(ring);
    gyrei_sim_poller_free(ring->foreign.poller);
    free_ring(ring);
}

static const gyrei_sim_kernel_ops kernel_ops = {.ready = ring_ready, .drop = ring_drop};

static int ring_open(gyre_loop *loop, const gyrei_backend_config *config, gyrei_backend **backend)
{
    gyrei_sim_ring *ring = gyrei_sim_new(sizeof(*ring));
    int error;

    ring->host = gyrei_sim_host_of(gyrei_loop_env(loop));
    error = gyrei_ready_init(&ring->foreign, loop, &gyrei_sim_poller_ops, NULL);
    if (error != 0) {
        free(ring);
        return error;
    }
    gyrei_list_init(&ring->requests);
    gyrei_list_init(&ring->starved);
    gyrei_list_init(&ring->completions);
    ring->lent_max = config->read_buffers != 0 ? config->read_buffers : BUFFERS;
    ring->kept_max = config->read_keep_max;
    ring->buffer_count = ring->lent_max + ring->kept_max;
    ring->buffer_bytes = config->read_buffer_bytes;
    ring->arena = gyrei_sim_new((size_t)ring->buffer_count * ring->buffer_bytes);
    ring->buffers = gyrei_sim_new(ring->buffer_count * sizeof(*ring->buffers));
    gyrei_sim_loop_open(&ring->base, loop, config->wake_fd, &kernel_ops);
    *backend = (gyrei_backend *)(void *)ring;
    return 0;
}

static void ring_close(gyrei_backend *backend)
{
    gyrei_sim_ring *ring = ring_of(backend);

    GYRE_ASSERT(gyrei_list_empty(&ring->requests));
    GYRE_ASSERT(ring->lent == 0);
    gyrei_sim_loop_close(&ring->base);
    gyrei_ready_close(&ring->foreign);
    free_ring(ring);
}

/* ---- the rest of the seam ---- */

static int ring_enable(gyrei_backend *backend)
{
    (void)backend;
    return 0;
}

static int ring_attach(gyrei_backend *backend, int fd, bool foreign)
{
    return foreign ? gyrei_ready_attach(&ring_of(backend)->foreign, fd) : 0;
}

static void ring_forget(gyrei_backend *backend, int fd)
{
    gyrei_ready_forget(&ring_of(backend)->foreign, fd);
}

static int ring_submit(gyrei_backend *backend, gyre_op *op)
{
    gyrei_sim_ring *ring = ring_of(backend);

    if (op->kind == GYREI_OP_POLL) {
        ring->foreign_used = true;
        return gyrei_ready_submit(&ring->foreign, op);
    }
    if (gyrei_sim_strikes(ring->host->sim, GYRE_SIM_QUEUE_FULL))
        return GYRE_EAGAIN;
    gyrei_op_in_kernel(ring->base.loop, op);
    gyrei_sim_request_start(ring, op);
    return 0;
}

static void ring_cancel(gyrei_backend *backend, gyre_op *op)
{
    if (op->kind == GYREI_OP_POLL)
        gyrei_ready_cancel(&ring_of(backend)->foreign, op);
    else
        gyrei_sim_request_cancel(ring_of(backend), op);
}

static void ring_change_events(gyrei_backend *backend, gyre_op *op)
{
    gyrei_ready_change_events(&ring_of(backend)->foreign, op);
}

static bool ring_perform(gyrei_backend *backend, gyre_op *op, gyrei_result *result)
{
    GYRE_ASSERT(op->kind == GYREI_OP_POLL);
    return gyrei_ready_perform(&ring_of(backend)->foreign, op, result);
}

static int ring_forked(gyrei_backend *backend)
{
    (void)backend;
    return GYRE_ENOSYS;
}

static int ring_fd(gyrei_backend *backend)
{
    (void)backend;
    return GYRE_ENOTSUP;
}

static int ring_flush(gyrei_backend *backend)
{
    return gyrei_ready_flush(&ring_of(backend)->foreign);
}

const gyrei_backend_ops gyrei_backend_sim_ring = {
    .name = "sim",
    .open = ring_open,
    .close = ring_close,
    .enable = ring_enable,
    .attach = ring_attach,
    .forget = ring_forget,
    .leave = ring_forget,
    .submit = ring_submit,
    .cancel = ring_cancel,
    .change_events = ring_change_events,
    .perform = ring_perform,
    .wait_begin = ring_wait,
    .forked = ring_forked,
    .fd = ring_fd,
    .flush = ring_flush,
    .buf_base = ring_buf_base,
    .buf_keep = ring_buf_keep,
    .buf_release = ring_buf_release,
    .buf_unkeep = ring_buf_unkeep,
    .verify = gyrei_sim_ring_verify,
};
