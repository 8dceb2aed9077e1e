/*
 * Mailboxes: a ring of cells with a turn number each, and a waker.
 *
 *   a cell at position p:  turn p (free) --claimed, written--> turn p + 1 (a message)
 *                          --received--> turn p + cells (free for the next round)
 *
 * Invariants: a sender claims a position by moving `tail`, and only there can closing be seen: the
 * CLOSED bit is part of `tail`, so that each message is either before it, and received, or was
 * refused. `head` and the fields of the mailbox are the loop's thread's. A cell is freed after its
 * callback, so that the message stays where it is; turns that the callback runs go on behind it.
 */
#include "base/memory.h"
#include "core/async.h"
#include "core/handle.h"
#include "core/loop.h"
#include "gyre/mailbox.h"

#include <string.h>

enum { ITEM_BYTES_MAX = 65536, ALIGNMENT = 16 };

#define CLOSED (UINT64_C(1) << 63)

typedef struct cell {
    uint64_t turn;
    uint64_t reserved; /* the message behind it is aligned */
} cell;

struct gyre_sender {
    uint32_t references;
    uint32_t mask; /* of a position: the number of cells - 1 */
    size_t item_bytes;
    size_t cell_bytes;
    size_t bytes; /* of the whole object */
    gyre_remote *waker;
    gyre_allocator allocator;
    uint64_t head; /* the position of the next message to receive */
    char apart[64];
    uint64_t tail; /* the position of the next message to send, and CLOSED */
    char behind[64];
    unsigned char cells[];
};

static cell *cell_at(gyre_sender *sender, uint64_t position)
{
    return (cell *)(void *)(sender->cells + (position & sender->mask) * sender->cell_bytes);
}

/* ---- senders ---- */

gyre_sender *gyre_sender_ref(gyre_sender *sender)
{
    __atomic_fetch_add(&sender->references, 1, __ATOMIC_RELAXED);
    return sender;
}

void gyre_sender_unref(gyre_sender *sender)
{
    gyre_allocator allocator;

    if (sender == NULL || __atomic_fetch_sub(&sender->references, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    allocator = sender->allocator;
    gyre_remote_unref(sender->waker);
    gyrei_free(&allocator, sender, sender->bytes);
}

/* Claims a position; GYRE_ENOBUFS, GYRE_EGONE. */
static int claim(gyre_sender *sender, uint64_t *position)
{
    uint64_t tail = __atomic_load_n(&sender->tail, __ATOMIC_RELAXED);

    for (;;) {
        uint64_t turn;

        if ((tail & CLOSED) != 0)
            return GYRE_EGONE;
        turn = __atomic_load_n(&cell_at(sender, tail)->turn, __ATOMIC_ACQUIRE);
        if (turn == tail) {
            if (__atomic_compare_exchange_n(&sender->tail, &tail, tail + 1, true, __ATOMIC_RELAXED,
                                            __ATOMIC_RELAXED))
                break;
        } else {
            const uint64_t seen = tail;

            /* Full, unless `tail` is old: then others have moved it meanwhile. */
            tail = __atomic_load_n(&sender->tail, __ATOMIC_RELAXED);
            if (tail == seen)
                return GYRE_ENOBUFS;
        }
    }
    *position = tail;
    return 0;
}

int gyre_sender_send(gyre_sender *sender, const void *item)
{
    uint64_t position = 0;
    const int error = claim(sender, &position);
    cell *at;

    GYRE_ASSERT(item != NULL);
    if (error != 0)
        return error;
    at = cell_at(sender, position);
    memcpy(at + 1, item, sender->item_bytes);
    __atomic_store_n(&at->turn, position + 1, __ATOMIC_RELEASE);
    /* The waker stays open until all that was claimed has been received. */
    (void)gyre_async_send(sender->waker);
    return 0;
}

/* ---- the mailbox ---- */

static bool has_message(gyre_sender *sender)
{
    return __atomic_load_n(&cell_at(sender, sender->head)->turn, __ATOMIC_ACQUIRE) ==
           sender->head + 1;
}

static void receive(gyre_loop *loop, gyre_mailbox *mailbox)
{
    gyre_sender *sender = mailbox->sender;
    const uint64_t position = sender->head++;
    cell *at = cell_at(sender, position);
    gyrei_frame frame;

    gyrei_callback_enter(loop, &frame, GYRE_HANDLE_MAILBOX, mailbox, mailbox->handle.name);
    mailbox->cb(mailbox, at + 1, gyrei_handle_is_closing(&mailbox->handle) ? GYRE_ECANCELED : 0);
    gyrei_callback_leave(loop, &frame);
    __atomic_store_n(&at->turn, position + sender->mask + 1, __ATOMIC_RELEASE);
}

/*
 * Receives what had been sent when it began; what comes meanwhile has waked the loop again. The
 * handle is held, as a callback may close it and run the turn in which it would end.
 */
static void mailbox_run(gyre_loop *loop, void *context)
{
    gyre_mailbox *mailbox = context;
    gyre_sender *sender = mailbox->sender;
    const uint64_t until = __atomic_load_n(&sender->tail, __ATOMIC_ACQUIRE) & ~CLOSED;

    gyrei_handle_hold(&mailbox->handle);
    while (sender->head < until && has_message(sender))
        receive(loop, mailbox);
    if (gyrei_handle_is_closing(&mailbox->handle) && sender->waker->run != NULL &&
        (__atomic_load_n(&sender->tail, __ATOMIC_RELAXED) & ~CLOSED) == sender->head) {
        gyre_remote_ref(sender->waker); /* senders may still look at it */
        gyrei_waker_close(sender->waker);
        gyrei_handle_release(&mailbox->handle);
    }
    gyrei_handle_release(&mailbox->handle);
}

static void mailbox_close(gyre_loop *loop, gyre_handle *handle)
{
    gyre_mailbox *mailbox = GYRE_CONTAINER_OF(handle, gyre_mailbox, handle);

    (void)loop;
    gyrei_handle_hold(handle);
    __atomic_fetch_or(&mailbox->sender->tail, CLOSED, __ATOMIC_ACQ_REL);
    (void)gyre_async_send(mailbox->sender->waker);
}

static void mailbox_finish(gyre_loop *loop, gyre_handle *handle)
{
    gyre_mailbox *mailbox = GYRE_CONTAINER_OF(handle, gyre_mailbox, handle);

    (void)loop;
    gyre_sender_unref(mailbox->sender);
    mailbox->sender = NULL;
}

static const gyrei_handle_class mailbox_class = {
    .kind = GYRE_HANDLE_MAILBOX,
    .bytes = sizeof(gyre_mailbox),
    .close = mailbox_close,
    .finish = mailbox_finish,
};

static gyre_sender *sender_new(gyre_loop *loop, size_t item_bytes, uint32_t capacity)
{
    const size_t padded = (item_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    const size_t cell_bytes = sizeof(cell) + padded;
    uint32_t cells = 2;
    gyre_sender *sender;
    size_t bytes;

    while (cells < capacity)
        cells *= 2;
    if (cell_bytes > (SIZE_MAX - sizeof(*sender)) / cells)
        return NULL;
    bytes = sizeof(*sender) + cells * cell_bytes;
    sender = gyrei_loop_alloc(loop, bytes);
    if (sender == NULL)
        return NULL;
    sender->references = 1;
    sender->mask = cells - 1;
    sender->item_bytes = item_bytes;
    sender->cell_bytes = cell_bytes;
    sender->bytes = bytes;
    sender->allocator = loop->allocator;
    for (uint32_t i = 0; i < cells; i++)
        cell_at(sender, i)->turn = i;
    return sender;
}

int gyre_mailbox_init(gyre_loop *loop, gyre_mailbox *mailbox, size_t item_bytes, uint32_t capacity,
                      gyre_mailbox_cb cb)
{
    gyre_sender *sender;
    int error;

    GYRE_ASSERT(cb != NULL);
    gyrei_loop_check(loop);
    if (item_bytes == 0 || item_bytes > ITEM_BYTES_MAX || capacity == 0 ||
        capacity > GYRE_MAILBOX_CAPACITY_MAX)
        return GYRE_EINVAL;
    sender = sender_new(loop, item_bytes, capacity);
    if (sender == NULL)
        return GYRE_ENOMEM;
    error = gyrei_waker_init(loop, mailbox_run, mailbox, &sender->waker);
    if (error != 0) {
        gyre_sender_unref(sender);
        return error;
    }
    gyrei_handle_init(loop, &mailbox->handle, &mailbox_class);
    mailbox->sender = sender;
    mailbox->cb = cb;
    gyrei_handle_set_active(&mailbox->handle, true);
    return 0;
}

gyre_sender *gyre_mailbox_sender(gyre_mailbox *mailbox)
{
    GYRE_ASSERT(mailbox->sender != NULL);
    return gyre_sender_ref(mailbox->sender);
}
