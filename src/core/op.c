/*
 * The states of operations, and the run queue. Nothing else changes op->state.
 *
 * Invariants: an op is in loop->queued iff QUEUED and not being submitted; in loop->runnable iff
 * GYREI_OP_IN_RUN_QUEUE; its slot is renewed with each final result, so that what the kernel still
 * says of the old submission finds nothing. Must not know what an op is for.
 */
#include "core/op.h"

#include "base/hot.h"
#include "core/loop.h"

/* Out of line: without it the functions below need no frame on the stack. */
__attribute__((cold, noinline)) static void trace_state(gyre_loop *loop, const gyre_op *op,
                                                        uint32_t from)
{
    gyre_trace_event event = {
        .now_ns = gyrei_loop_now_ns(loop),
        .type = GYRE_TRACE_OP_STATE,
        .phase = loop->phase,
        .object = op,
        .op_kind = gyrei_op_kind_name(op->kind),
        .op_from = gyrei_op_state_name(from),
        .op_to = gyrei_op_state_name(op->state),
        .result = (op->flags & GYREI_OP_HAS_RESULT) != 0 ? op->result : 0,
    };

    loop->trace(loop->trace_ctx, &event);
}

static inline void set_state(gyre_loop *loop, gyre_op *op, gyrei_op_state state)
{
    const uint32_t from = op->state;

    op->state = (uint8_t)state;
    if (__builtin_expect(loop->trace != NULL, 0) && op->state != from)
        trace_state(loop, op, from);
}

static void run_queue_append(gyre_loop *loop, gyre_op *op)
{
    if ((op->flags & GYREI_OP_IN_RUN_QUEUE) != 0)
        return;
    op->flags |= GYREI_OP_IN_RUN_QUEUE;
    gyrei_list_append(&loop->runnable, &op->link);
    loop->runnable_count++;
}

int gyrei_op_init(gyre_loop *loop, gyre_op *op)
{
    *op = (gyre_op){.fd = -1, .slot = GYREI_SLOT_NONE};
    gyrei_list_init(&op->link);
    return gyrei_slots_reserve(&loop->slots);
}

void gyrei_op_close(gyre_loop *loop, gyre_op *op)
{
    GYRE_ASSERT(op->state == GYREI_OP_IDLE);
    if (op->slot == GYREI_SLOT_NONE) {
        gyrei_slots_unreserve(&loop->slots);
        return;
    }
    GYRE_ASSERT(gyrei_slots_at(&loop->slots, op->slot)->object == op);
    gyrei_slots_release(&loop->slots, op->slot);
}

void gyrei_op_prepare(gyre_op *op, gyrei_op_kind kind, int fd, uint32_t flags, gyrei_op_done done)
{
    GYRE_ASSERT(op->state == GYREI_OP_IDLE);
    GYRE_ASSERT((flags & ~(uint32_t)(GYREI_OP_MULTISHOT | GYREI_OP_POLL_FIRST)) == 0);
    op->kind = (uint8_t)kind;
    op->flags = (uint16_t)flags;
    op->fd = fd;
    op->done = done;
    op->pointer = NULL;
    op->arg32 = 0;
    op->arg64 = 0;
}

void gyrei_op_submit(gyre_loop *loop, gyre_op *op)
{
    GYRE_ASSERT(op->state == GYREI_OP_IDLE);
    GYRE_ASSERT(op->records == NULL);
    if (op->slot == GYREI_SLOT_NONE)
        op->slot = gyrei_slots_take(&loop->slots, op);
    op->flags &= GYREI_OP_MULTISHOT | GYREI_OP_POLL_FIRST;
    set_state(loop, op, GYREI_OP_QUEUED);
    if (!loop->enabled || loop->ops->submit(loop->backend, op) != 0)
        gyrei_list_append(&loop->queued, &op->link);
}

void gyrei_op_flush_queued(gyre_loop *loop)
{
    gyre_link *link;

    while ((link = gyrei_list_pop(&loop->queued)) != NULL) {
        gyre_op *op = GYRE_CONTAINER_OF(link, gyre_op, link);

        if (loop->ops->submit(loop->backend, op) != 0) {
            gyrei_list_prepend(&loop->queued, link);
            break;
        }
    }
}

/* A runnable op that was to be performed is not; one that has its final result keeps it. */
static void cancel_runnable(gyre_loop *loop, gyre_op *op)
{
    if ((op->flags & GYREI_OP_PERFORM) == 0)
        return;
    op->flags &= (uint16_t)~GYREI_OP_PERFORM;
    op->flags |= GYREI_OP_HAS_RESULT;
    op->result = GYRE_ECANCELED;
    gyrei_slots_renew(&loop->slots, op->slot);
}

void gyrei_op_cancel(gyre_loop *loop, gyre_op *op)
{
    /* A close cannot be taken back: the descriptor would leak. */
    if (op->state == GYREI_OP_IDLE || op->kind == GYREI_OP_CLOSE ||
        (op->flags & GYREI_OP_CANCELING) != 0)
        return;
    op->flags |= GYREI_OP_CANCELING;
    switch ((gyrei_op_state)op->state) {
    case GYREI_OP_QUEUED:
        gyrei_list_remove(&op->link);
        gyrei_op_complete(loop, op, GYRE_ECANCELED, 0, 0);
        break;
    case GYREI_OP_RUNNABLE: cancel_runnable(loop, op); break;
    case GYREI_OP_PARKED:
    case GYREI_OP_IN_KERNEL: loop->ops->cancel(loop->backend, op); break;
    case GYREI_OP_IDLE: break;
    }
}

void gyrei_op_close_queued(gyre_loop *loop)
{
    gyre_link *link = loop->queued.next;

    while (link != &loop->queued) {
        gyre_op *op = GYRE_CONTAINER_OF(link, gyre_op, link);

        link = link->next;
        if (op->kind != GYREI_OP_CLOSE)
            continue;
        gyrei_list_remove(&op->link);
        gyrei_op_complete(loop, op, loop->env->sys->close(loop->env, op->fd), 0, 0);
    }
}

void gyrei_op_change_events(gyre_loop *loop, gyre_op *op, uint32_t events)
{
    GYRE_ASSERT(op->kind == GYREI_OP_POLL && op->state != GYREI_OP_IDLE);
    if (op->arg32 == events)
        return;
    op->arg32 = events;
    if (op->state == GYREI_OP_PARKED || op->state == GYREI_OP_IN_KERNEL)
        loop->ops->change_events(loop->backend, op);
}

GYREI_HOT void gyrei_op_parked(gyre_loop *loop, gyre_op *op)
{
    GYRE_ASSERT(op->state == GYREI_OP_QUEUED || op->state == GYREI_OP_RUNNABLE);
    set_state(loop, op, GYREI_OP_PARKED);
}

void gyrei_op_in_kernel(gyre_loop *loop, gyre_op *op)
{
    GYRE_ASSERT(op->state == GYREI_OP_QUEUED);
    set_state(loop, op, GYREI_OP_IN_KERNEL);
}

GYREI_HOT void gyrei_op_ready(gyre_loop *loop, gyre_op *op)
{
    GYRE_ASSERT(op->state == GYREI_OP_QUEUED || op->state == GYREI_OP_PARKED ||
                (op->state == GYREI_OP_RUNNABLE && (op->flags & GYREI_OP_IN_RUN_QUEUE) == 0));
    GYRE_ASSERT((op->flags & GYREI_OP_HAS_RESULT) == 0);
    op->flags |= GYREI_OP_PERFORM;
    set_state(loop, op, GYREI_OP_RUNNABLE);
    run_queue_append(loop, op);
}

/* Puts a result behind those that wait already. */
static bool push_record(gyre_loop *loop, gyre_op *op, const gyrei_record *values)
{
    gyrei_record *record = loop->records_free;

    if (record == NULL)
        return false;
    loop->records_free = record->next;
    *record = *values;
    if (op->records == NULL) {
        record->next = record;
    } else {
        record->next = op->records->next;
        op->records->next = record;
    }
    op->records = record;
    return true;
}

static void set_result(gyre_op *op, const gyrei_record *values)
{
    op->flags &= (uint16_t) ~(GYREI_OP_RESULT_MORE | GYREI_OP_RESULT_BUFFER);
    op->flags |= GYREI_OP_HAS_RESULT;
    if ((values->flags & GYREI_RESULT_MORE) != 0)
        op->flags |= GYREI_OP_RESULT_MORE;
    if ((values->flags & GYREI_RESULT_BUFFER) != 0)
        op->flags |= GYREI_OP_RESULT_BUFFER;
    op->result = values->value;
    op->result_offset = values->offset;
}

GYREI_HOT bool gyrei_op_complete(gyre_loop *loop, gyre_op *op, int32_t value, uint32_t flags,
                                 uint32_t offset)
{
    gyrei_record values = {.value = value, .flags = flags, .offset = offset};

    GYRE_ASSERT(op->state != GYREI_OP_IDLE && op->state != GYREI_OP_RUNNABLE);
    GYRE_ASSERT((flags & GYREI_RESULT_MORE) == 0 || (op->flags & GYREI_OP_MULTISHOT) != 0);
    if ((op->flags & GYREI_OP_HAS_RESULT) == 0)
        set_result(op, &values);
    else if (!push_record(loop, op, &values))
        return false;
    if ((flags & GYREI_RESULT_MORE) == 0) {
        set_state(loop, op, GYREI_OP_RUNNABLE);
        gyrei_slots_renew(&loop->slots, op->slot);
    }
    run_queue_append(loop, op);
    return true;
}

void gyrei_op_lose(gyre_loop *loop, gyre_op *op)
{
    GYRE_ASSERT(op->state == GYREI_OP_IN_KERNEL);
    if (gyrei_op_complete(loop, op, GYRE_ECANCELED, 0, 0))
        return;
    if (op->records != NULL)
        op->records->flags &= ~(uint32_t)GYREI_RESULT_MORE;
    else
        op->flags &= (uint16_t)~GYREI_OP_RESULT_MORE;
    set_state(loop, op, GYREI_OP_RUNNABLE);
    gyrei_slots_renew(&loop->slots, op->slot);
}

bool gyrei_loop_offload(gyre_loop *loop, gyre_op *op, gyrei_op_call call)
{
    GYRE_ASSERT(op->state == GYREI_OP_RUNNABLE);
    if (loop->offload == NULL || !loop->offload->start(loop, op, call))
        return false;
    gyrei_op_parked(loop, op);
    return true;
}

void gyrei_loop_offload_cancel(gyre_loop *loop, gyre_op *op)
{
    GYRE_ASSERT(op->state == GYREI_OP_PARKED);
    loop->offload->cancel(loop, op);
}

GYREI_HOT bool gyrei_op_any_runnable(const gyre_loop *loop)
{
    return loop->runnable_count > 0;
}

uint64_t gyrei_op_id(const gyre_loop *loop, const gyre_op *op)
{
    return gyrei_slots_id(&loop->slots, op->slot);
}

GYREI_HOT gyre_op *gyrei_op_find(const gyre_loop *loop, uint64_t id)
{
    return gyrei_slots_find(&loop->slots, id);
}

gyre_op *gyrei_op_next(const gyre_loop *loop, uint32_t *position)
{
    const uint32_t end = loop->slots.chunk_count * GYREI_SLOT_CHUNK;

    while (*position < end) {
        gyre_op *op = gyrei_slots_at(&loop->slots, (*position)++)->object;

        if (op != NULL && op->state != GYREI_OP_IDLE)
            return op;
    }
    return NULL;
}

GYREI_HOT void gyrei_op_take_result(gyre_loop *loop, gyre_op *op, gyrei_result *result)
{
    gyrei_record *last = op->records;

    result->value = op->result;
    result->flags = 0;
    result->base = NULL;
    if ((op->flags & GYREI_OP_RESULT_BUFFER) != 0) {
        result->flags |= GYREI_RESULT_BUFFER;
        result->base = loop->ops->buf_base(loop->backend, op->result_offset);
    }
    if ((op->flags & GYREI_OP_RESULT_MORE) != 0)
        result->flags |= GYREI_RESULT_MORE;
    else
        set_state(loop, op, GYREI_OP_IDLE);
    if (last == NULL) {
        op->flags &=
            (uint16_t) ~(GYREI_OP_HAS_RESULT | GYREI_OP_RESULT_MORE | GYREI_OP_RESULT_BUFFER);
        return;
    }
    gyrei_record *first = last->next;

    set_result(op, first);
    if (first == last)
        op->records = NULL;
    else
        last->next = first->next;
    first->next = loop->records_free;
    loop->records_free = first;
    run_queue_append(loop, op);
}

void gyrei_op_performed(gyre_loop *loop, gyre_op *op)
{
    gyrei_slots_renew(&loop->slots, op->slot);
    set_state(loop, op, GYREI_OP_IDLE);
}

/* ---- the audit ---- */

static const char *verify_list(const gyre_link *head, gyrei_op_state state, uint32_t *count)
{
    for (const gyre_link *link = head->next; link != head; link = link->next) {
        const gyre_op *op = GYRE_CONTAINER_OF(link, gyre_op, link);
        const bool runs = (op->flags & GYREI_OP_IN_RUN_QUEUE) != 0;

        if (link->next->prev != link)
            return "a list of operations is torn";
        if (state == GYREI_OP_QUEUED ? op->state != state || runs : !runs)
            return "an operation stands in the wrong list";
        (*count)++;
    }
    return NULL;
}

const char *gyrei_ops_verify_queues(const gyre_loop *loop)
{
    uint32_t count = 0;
    const char *flaw = verify_list(&loop->runnable, GYREI_OP_RUNNABLE, &count);

    if (flaw == NULL && count != loop->runnable_count)
        flaw = "the run queue is miscounted";
    return flaw;
}

/* What each state promises, seen between two callbacks. */
static const char *verify_state(const gyre_op *op)
{
    const bool runs = (op->flags & GYREI_OP_IN_RUN_QUEUE) != 0;
    const bool has_result = (op->flags & GYREI_OP_HAS_RESULT) != 0;
    const bool perform = (op->flags & GYREI_OP_PERFORM) != 0;

    if (op->records != NULL && !has_result)
        return "results of an operation wait behind none";
    switch ((gyrei_op_state)op->state) {
    case GYREI_OP_IDLE:
    case GYREI_OP_QUEUED:
    case GYREI_OP_PARKED:
        return runs || has_result || perform ? "an operation that has no result would be run"
                                             : NULL;
    case GYREI_OP_IN_KERNEL:
        return runs != has_result || perform ? "an operation in the kernel waits wrongly" : NULL;
    case GYREI_OP_RUNNABLE:
        return !runs || has_result == perform ? "a runnable operation would not be run" : NULL;
    }
    return "an operation is in no state";
}

/* A final result is the last: one behind it would be a second end of the operation. */
static const char *verify_results(const gyre_op *op, uint32_t *records)
{
    bool more = (op->flags & GYREI_OP_RESULT_MORE) != 0;
    const gyrei_record *record = op->records;

    while (record != NULL) {
        record = record->next;
        if (!more)
            return "an operation ends twice";
        more = (record->flags & GYREI_RESULT_MORE) != 0;
        if (++*records > GYREI_RECORDS)
            return "the records of an operation do not end";
        if (record == op->records)
            break;
    }
    if ((op->flags & GYREI_OP_HAS_RESULT) != 0 && more != (op->state == GYREI_OP_IN_KERNEL))
        return "an operation is in the kernel after its end, or not before";
    return NULL;
}

static const char *verify_op(const gyre_op *op, uint32_t slot, uint32_t *records)
{
    const char *flaw;

    if (op->slot != slot)
        return "an operation stands in two slots";
    flaw = verify_state(op);
    return flaw != NULL ? flaw : verify_results(op, records);
}

const char *gyrei_ops_verify(const gyre_loop *loop)
{
    const uint32_t end = loop->slots.chunk_count * GYREI_SLOT_CHUNK;
    const char *flaw = gyrei_slots_verify(&loop->slots);
    uint32_t in_state[GYREI_OP_RUNNABLE + 1] = {0};
    uint32_t running = 0;
    uint32_t queued = 0;
    uint32_t records = 0;

    for (uint32_t slot = 0; flaw == NULL && slot < end; slot++) {
        const gyre_op *op = gyrei_slots_at(&loop->slots, slot)->object;

        if (op == NULL)
            continue;
        flaw = verify_op(op, slot, &records);
        if (flaw != NULL)
            break;
        in_state[op->state]++;
        running += (op->flags & GYREI_OP_IN_RUN_QUEUE) != 0;
    }
    for (const gyrei_record *record = loop->records_free; record != NULL; record = record->next) {
        if (++records > GYREI_RECORDS)
            break;
    }
    if (flaw == NULL)
        flaw = verify_list(&loop->queued, GYREI_OP_QUEUED, &queued);
    if (flaw == NULL && (queued != in_state[GYREI_OP_QUEUED] || running != loop->runnable_count))
        flaw = "an operation that waits is in no list";
    if (flaw == NULL && records != GYREI_RECORDS)
        flaw = "a record was lost";
    return flaw;
}

const char *gyrei_op_kind_name(uint32_t kind)
{
    static const char *const names[GYREI_OP_KINDS] = {
        "none", "accept", "connect", "recv", "send", "poll", "open", "stat", "read", "close",
    };

    return kind < GYREI_OP_KINDS ? names[kind] : "none";
}

const char *gyrei_op_state_name(uint32_t state)
{
    static const char *const names[] = {"idle", "queued", "parked", "in_kernel", "runnable"};

    return state < sizeof(names) / sizeof(names[0]) ? names[state] : "none";
}
