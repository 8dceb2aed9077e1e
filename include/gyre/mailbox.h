/*
 * Mailboxes: a bounded queue of messages from many threads to one loop.
 *
 * Messages are items of one size and are copied in. Each one that was sent is received exactly
 * once, those of one sender in their order. A burst of messages wakes the loop once. A sender is
 * counted and outlives the mailbox: sending to one that was closed says GYRE_EGONE. Sending neither
 * locks nor allocates. See gyre_post for what needs no bound.
 */
#ifndef GYRE_MAILBOX_H
#define GYRE_MAILBOX_H

#include "gyre/handle.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What senders hold of a mailbox. Counted. */
typedef struct gyre_sender gyre_sender;
typedef struct gyre_mailbox gyre_mailbox;

/*
 * A message. `status` is 0, or GYRE_ECANCELED when the mailbox was closed before it was received:
 * give back what it refers to. `item` may be changed, and is gone when the callback returns.
 */
typedef void (*gyre_mailbox_cb)(gyre_mailbox *mailbox, void *item, int status);

struct gyre_mailbox {
    union {
        gyre_handle handle;
        void *data;
    };
    gyre_sender *sender;
    gyre_mailbox_cb cb;
};

/* The largest number of messages of a mailbox. */
#define GYRE_MAILBOX_CAPACITY_MAX (UINT32_C(1) << 24)

/*
 * Makes an empty mailbox and starts it: it keeps the loop alive until closed or unref'd.
 *
 * Closing it ends sending at once. What had been sent by then, and not received, is still given to
 * `cb`, with GYRE_ECANCELED; then comes the close callback.
 *
 * Params: item_bytes: of a message, 1..65536. capacity: messages that may wait,
 *         1..GYRE_MAILBOX_CAPACITY_MAX, rounded up to a power of two, at least 2. cb: not NULL.
 * Owns:   the mailbox's memory is the library's until its close callback.
 * Thread: loop.
 * Phase:  `cb` runs in the pending phase, or right after poll.
 * Errors: GYRE_EINVAL, GYRE_ENOMEM.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_mailbox_init(gyre_loop *loop, gyre_mailbox *mailbox, size_t item_bytes,
                                  uint32_t capacity, gyre_mailbox_cb cb);

/*
 * The sender of `mailbox`, with one more reference: drop it with gyre_sender_unref.
 *
 * Params: mailbox: initialised, not closed.
 * Owns:   the caller holds one reference.
 * Thread: loop, or any thread that knows the mailbox to be open.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT gyre_sender *gyre_mailbox_sender(gyre_mailbox *mailbox);

/*
 * Takes one more reference.
 *
 * Params: sender: on which the caller has a reference.
 * Owns:   the caller holds one reference more.
 * Thread: any.
 * Phase:  none.
 * Errors: none; returns `sender`.
 * Since:  0.1.
 */
GYRE_EXPORT gyre_sender *gyre_sender_ref(gyre_sender *sender);

/*
 * Drops one reference; the last one frees the object, with the allocator of the mailbox's loop.
 *
 * Params: sender: may be NULL.
 * Owns:   the caller's reference ends.
 * Thread: any.
 * Phase:  none.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_sender_unref(gyre_sender *sender);

/*
 * Sends a message.
 *
 * Params: item: of the size that the mailbox was made with.
 * Owns:   it is copied. What it refers to is the receiver's if 0 is returned.
 * Thread: any, the mailbox's own included; also from a signal handler.
 * Phase:  none here.
 * Errors: GYRE_ENOBUFS when as many messages wait as there may, GYRE_EGONE when the mailbox was
 *         closed: then it was not sent.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_sender_send(gyre_sender *sender, const void *item);

#ifdef __cplusplus
}
#endif
#endif
