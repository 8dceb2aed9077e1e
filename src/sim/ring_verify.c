/*
 * The audit of a ring: each op that is in the kernel has one request or one last completion, and
 * each buffer that is lent has one owner: a completion, a result that waits in the loop, or a
 * callback.
 */
#include "sim/ring.h"

static const char *own(gyrei_sim_ring *ring, uint32_t index)
{
    if (index >= ring->buffer_count || (ring->buffers[index].state & GYREI_SIM_LENT) == 0)
        return "a result stands in a buffer that is not lent";
    return ring->buffers[index].owners++ == 0 ? NULL : "a buffer has two owners";
}

/* Completions that the loop has not seen; counts the last ones of ops that wait for them. */
static const char *verify_completions(gyrei_sim_ring *ring, uint32_t *ends)
{
    const char *flaw = NULL;

    for (const gyre_link *link = ring->completions.next; flaw == NULL && link != &ring->completions;
         link = link->next) {
        const gyrei_sim_completion *one = GYRE_CONTAINER_OF(link, const gyrei_sim_completion, link);

        if ((one->flags & GYREI_RESULT_BUFFER) != 0)
            flaw = own(ring, one->buffer);
        if ((one->flags & GYREI_RESULT_MORE) == 0 &&
            gyrei_op_find(ring->base.loop, one->id) != NULL)
            (*ends)++;
    }
    return flaw;
}

static const char *verify_results(gyrei_sim_ring *ring, const gyre_op *op)
{
    const gyrei_record *record = op->records;
    const char *flaw = NULL;

    if ((op->flags & GYREI_OP_RESULT_BUFFER) != 0)
        flaw = own(ring, op->result_offset / ring->buffer_bytes);
    while (flaw == NULL && record != NULL) {
        record = record->next;
        if ((record->flags & GYREI_RESULT_BUFFER) != 0)
            flaw = own(ring, record->offset / ring->buffer_bytes);
        if (record == op->records)
            break;
    }
    return flaw;
}

static const char *verify_ops(gyrei_sim_ring *ring, uint32_t *in_kernel)
{
    uint32_t position = 0;
    const char *flaw = NULL;
    const gyre_op *op;

    while (flaw == NULL && (op = gyrei_op_next(ring->base.loop, &position)) != NULL) {
        *in_kernel += op->state == GYREI_OP_IN_KERNEL;
        flaw = verify_results(ring, op);
    }
    return flaw;
}

static const char *verify_buffers(const gyrei_sim_ring *ring)
{
    uint32_t lent = 0;
    uint32_t kept = 0;
    uint32_t owned = 0;

    for (uint32_t i = 0; i < ring->buffer_count; i++) {
        lent += (ring->buffers[i].state & GYREI_SIM_LENT) != 0;
        kept += (ring->buffers[i].state & GYREI_SIM_KEPT) != 0;
        owned += ring->buffers[i].owners;
    }
    if (lent != ring->lent || kept != ring->kept)
        return "buffers are miscounted";
    if (lent > ring->lent_max || kept > ring->kept_max)
        return "more buffers are out than may be";
    return lent - owned <= gyrei_loop_depth(ring->base.loop) ? NULL : "a buffer was lost";
}

const char *gyrei_sim_ring_verify(gyrei_backend *backend)
{
    gyrei_sim_ring *ring = (gyrei_sim_ring *)(void *)backend;
    uint32_t in_kernel = 0;
    uint32_t ends = 0;
    uint32_t requests = 0;
    const char *flaw;

    for (uint32_t i = 0; i < ring->buffer_count; i++)
        ring->buffers[i].owners = 0;
    flaw = verify_completions(ring, &ends);
    if (flaw == NULL)
        flaw = verify_ops(ring, &in_kernel);
    if (flaw == NULL)
        flaw = gyrei_sim_requests_verify(ring, &requests);
    if (flaw == NULL && in_kernel != requests + ends)
        flaw = "an operation in the kernel has no request, or two ends";
    if (flaw == NULL)
        flaw = verify_buffers(ring);
    return flaw != NULL ? flaw : gyrei_ready_verify(&ring->foreign);
}
