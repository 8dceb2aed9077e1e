/*
 * Mailboxes: each message sent is received once, in order per sender; the bound; one wake-up a
 * burst; and what a close does to messages and senders, also in the midst of sending.
 */
#include "fixture.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { SENDERS = 4, EACH = 20000, ROOM = 64, ROUNDS = 200 };

typedef struct message {
    uint32_t from;
    uint32_t number;
} message;

static gyre_mailbox *box;
static gyre_sender *door;
static uint32_t received;
static uint32_t canceled;
static uint32_t next_of[SENDERS];
static int disorder;
static int closes;
static uint32_t sent; /* atomic: calls that returned 0 */
static int go;        /* atomic */

static void on_message(gyre_mailbox *mailbox, void *item, int status)
{
    const message *got = item;

    (void)mailbox;
    disorder += got->number != next_of[got->from];
    next_of[got->from] = got->number + 1;
    received += status == 0;
    canceled += status == GYRE_ECANCELED;
}

static void on_close(gyre_handle *handle)
{
    (void)handle;
    closes++;
}

static void open_box(uint32_t capacity, gyre_mailbox_cb cb)
{
    box = lasting(sizeof(*box));
    received = canceled = sent = 0;
    disorder = closes = go = 0;
    memset(next_of, 0, sizeof(next_of));
    assert_int_equal(gyre_mailbox_init(loop, box, sizeof(message), capacity, cb), 0);
    door = gyre_mailbox_sender(box);
}

static int send_number(uint32_t number)
{
    const message item = {.number = number};

    return gyre_sender_send(door, &item);
}

static void close_box(void)
{
    gyre_close(&box->handle, on_close);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(closes, 1);
    assert_int_equal(send_number(0), GYRE_EGONE);
    gyre_sender_unref(door);
}

static void messages_are_received_in_order(void **state)
{
    (void)state;
    open_box(ROOM, on_message);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(send_number(i), 0);
    assert_int_equal(received, 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 1);
    assert_int_equal(received, 10);
    assert_int_equal(disorder, 0);
    close_box();
    assert_int_equal(canceled, 0);
}

static void a_full_mailbox_refuses_and_goes_on(void **state)
{
    uint32_t number = 0;

    (void)state;
    open_box(ROOM, on_message);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < ROOM; i++)
            assert_int_equal(send_number(number++), 0);
        assert_int_equal(send_number(number), GYRE_ENOBUFS);
        assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 1);
        assert_int_equal(received, number);
    }
    assert_int_equal(disorder, 0);
    close_box();
}

static void the_smallest_takes_two(void **state)
{
    (void)state;
    open_box(1, on_message);
    assert_int_equal(send_number(0), 0);
    assert_int_equal(send_number(1), 0);
    assert_int_equal(send_number(2), GYRE_ENOBUFS);
    close_box();
    assert_int_equal(received, 0);
    assert_int_equal(canceled, 2);
    assert_int_equal(disorder, 0);
}

static void close_on_third(gyre_mailbox *mailbox, void *item, int status)
{
    on_message(mailbox, item, status);
    if (status == 0 && received == 3)
        gyre_close(&mailbox->handle, on_close);
}

static void a_close_inside_the_callback_cancels_the_rest(void **state)
{
    (void)state;
    open_box(ROOM, close_on_third);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(send_number(i), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(received, 3);
    assert_int_equal(canceled, 7);
    assert_int_equal(disorder, 0);
    assert_int_equal(closes, 1);
    gyre_sender_unref(door);
}

static void turn_inside(gyre_mailbox *mailbox, void *item, int status)
{
    const message before = *(message *)item;

    on_message(mailbox, item, status);
    if (before.number == 2) {
        gyre_close(&mailbox->handle, on_close);
        (void)gyre_loop_run(loop, GYRE_RUN_NOWAIT);
        assert_int_equal(received + canceled, 10);
        assert_int_equal(closes, 0); /* this callback is not over */
        assert_memory_equal(item, &before, sizeof(before));
    }
}

static void a_turn_inside_the_callback_goes_on_behind_it(void **state)
{
    (void)state;
    open_box(ROOM, turn_inside);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(send_number(i), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(received, 3);
    assert_int_equal(canceled, 7);
    assert_int_equal(disorder, 0);
    assert_int_equal(closes, 1);
    gyre_sender_unref(door);
}

static void answer_itself(gyre_mailbox *mailbox, void *item, int status)
{
    on_message(mailbox, item, status);
    if (status == 0 && received < 1000)
        (void)send_number(received);
}

static void a_mailbox_that_feeds_itself_lets_the_loop_turn(void **state)
{
    (void)state;
    open_box(ROOM, answer_itself);
    assert_int_equal(send_number(0), 0);
    assert_true(gyre_loop_run(loop, GYRE_RUN_NOWAIT) == 1);
    assert_true(received < 100);
    while (received < 1000)
        (void)gyre_loop_run(loop, GYRE_RUN_ONCE);
    assert_int_equal(disorder, 0);
    close_box();
}

static void unref_lets_the_loop_end(void **state)
{
    (void)state;
    open_box(ROOM, on_message);
    gyre_unref(&box->handle);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    gyre_ref(&box->handle);
    assert_int_equal(gyre_loop_alive(loop), 1);
    close_box();
}

static void bad_sizes_are_refused(void **state)
{
    gyre_mailbox one;

    (void)state;
    assert_int_equal(gyre_mailbox_init(loop, &one, 0, 1, on_message), GYRE_EINVAL);
    assert_int_equal(gyre_mailbox_init(loop, &one, 65537, 1, on_message), GYRE_EINVAL);
    assert_int_equal(gyre_mailbox_init(loop, &one, 8, 0, on_message), GYRE_EINVAL);
    assert_int_equal(gyre_mailbox_init(loop, &one, 8, GYRE_MAILBOX_CAPACITY_MAX + 1, on_message),
                     GYRE_EINVAL);
}

/* ---- other threads ---- */

static uint32_t names[SENDERS] = {0, 1, 2, 3};

static void *send_each(void *context)
{
    message item = {.from = *(const uint32_t *)context};

    while (item.number < EACH) {
        const int error = gyre_sender_send(door, &item);

        if (error == 0)
            item.number++;
        else
            sched_yield(); /* full: the bound holds back */
    }
    return NULL;
}

static void many_senders_lose_nothing(void **state)
{
    pthread_t threads[SENDERS];

    (void)state;
    open_box(ROOM, on_message);
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_each, &names[i]), 0);
    while (received < SENDERS * EACH)
        assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 1);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(disorder, 0);
    close_box();
    assert_int_equal(received, SENDERS * EACH);
    assert_int_equal(canceled, 0);
}

static void *send_until_gone(void *context)
{
    message item = {.from = *(const uint32_t *)context};
    int error;

    while (__atomic_load_n(&go, __ATOMIC_ACQUIRE) == 0)
        sched_yield();
    while ((error = gyre_sender_send(door, &item)) != GYRE_EGONE) {
        if (error == 0) {
            item.number++;
            __atomic_add_fetch(&sent, 1, __ATOMIC_RELAXED);
        }
    }
    gyre_sender_unref(door);
    return NULL;
}

/* Exactly what was taken is received or cancelled, wherever in the sending the close falls. */
static void a_close_while_others_send_is_exact(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t threads[SENDERS];

        open_box(4, on_message);
        for (int i = 0; i < SENDERS; i++) {
            gyre_sender_ref(door);
            assert_int_equal(pthread_create(&threads[i], NULL, send_until_gone, &names[i]), 0);
        }
        __atomic_store_n(&go, 1, __ATOMIC_RELEASE);
        for (int turn = 0; turn < round % 4; turn++)
            (void)gyre_loop_run(loop, GYRE_RUN_ONCE);
        gyre_close(&box->handle, on_close);
        assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
        assert_int_equal(closes, 1);
        for (int i = 0; i < SENDERS; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(received + canceled, sent);
        assert_int_equal(disorder, 0);
        gyre_sender_unref(door);
    }
}

static int woken;

static void count_wake(gyre_hook *hook)
{
    (void)hook;
    woken++;
}

/* ---- one wake-up a burst ---- */

static void *send_burst(void *unused)
{
    for (uint32_t i = 0; i < ROOM; i++)
        (void)send_number(i);
    return unused;
}

static void a_burst_wakes_the_loop_once(void **state)
{
    gyre_hook *hook = hook_new("check", GYRE_HOOK_CHECK);
    pthread_t thread;

    (void)state;
    open_box(ROOM, on_message);
    woken = 0;
    gyre_hook_start(hook, count_wake);
    assert_int_equal(pthread_create(&thread, NULL, send_burst, NULL), 0);
    pthread_join(thread, NULL);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 1);
    assert_int_equal(received, ROOM);
    assert_int_equal(woken, 1);
    assert_int_equal(gyre_loop_tick(loop), 1); /* the hook, and nothing else */
    gyre_close(&hook->handle, NULL);
    close_box();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(messages_are_received_in_order),
        LOOP_TEST(a_full_mailbox_refuses_and_goes_on),
        LOOP_TEST(the_smallest_takes_two),
        LOOP_TEST(a_close_inside_the_callback_cancels_the_rest),
        LOOP_TEST(a_turn_inside_the_callback_goes_on_behind_it),
        LOOP_TEST(a_mailbox_that_feeds_itself_lets_the_loop_turn),
        LOOP_TEST(unref_lets_the_loop_end),
        LOOP_TEST(bad_sizes_are_refused),
        LOOP_TEST(many_senders_lose_nothing),
        LOOP_TEST(a_close_while_others_send_is_exact),
        LOOP_TEST(a_burst_wakes_the_loop_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
