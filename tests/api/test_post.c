/*
 * gyre_post: every node runs, in order per sender, from any thread and from signal handlers; what
 * the loop's end leaves over is called with GYRE_ECANCELED.
 */
#include "fixture.h"

#include <pthread.h>
#include <signal.h>

static gyre_remote *door;

static int door_set_up(void **state)
{
    const int error = loop_set_up(state);

    if (error == 0)
        door = gyre_loop_remote(loop);
    return error;
}

static int door_tear_down(void **state)
{
    const int error = loop_tear_down(state);

    gyre_remote_unref(door);
    return error;
}

#define DOOR_TEST(name) cmocka_unit_test_setup_teardown(name, door_set_up, door_tear_down)

static void post(const char *name, gyre_post_cb cb)
{
    assert_int_equal(gyre_post(door, post_new(name), cb), 0);
}

static void posts_of_a_thread_run_in_order(void **state)
{
    (void)state;
    post("a", journal_post);
    post("b", journal_post);
    post("c", journal_post);
    assert_journal("");
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 0);
    assert_journal("a b c");
}

static void post_another(gyre_post_node *node, int status)
{
    journal_post(node, status);
    journal(gyre_phase_name(gyre_loop_phase(loop)));
    post("child", journal_post);
}

static void one_posted_by_a_post_runs_after_poll(void **state)
{
    gyre_hook *prepare = hook_new("prepare", GYRE_HOOK_PREPARE);
    gyre_hook *check = hook_new("check", GYRE_HOOK_CHECK);

    (void)state;
    gyre_hook_start(prepare, journal_hook);
    gyre_hook_start(check, journal_hook);
    post("parent", post_another);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("parent pending prepare child check");
}

static int reposts;

static void post_again(gyre_post_node *node, int status)
{
    assert_int_equal(status, 0);
    if (++reposts < 1000)
        assert_int_equal(gyre_post(door, node, post_again), 0);
}

static void a_node_may_be_posted_anew_in_its_callback(void **state)
{
    (void)state;
    reposts = 0;
    post("n", post_again);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(reposts, 1000);
}

/* ---- 8 threads x 100,000 ---- */

enum { SENDERS = 8, POSTS = 100000, POSTS_WHEN_SLOW = 20000 };

typedef struct message {
    gyre_post_node node;
    int sender;
    int number;
} message;

typedef struct sender {
    message *messages;
    int count;
    int next; /* the number that must come next */
    int unordered;
    int refused;
} sender;

static sender senders[SENDERS];
static int left;

static void receive(gyre_post_node *node, int status)
{
    const message *self = GYRE_CONTAINER_OF(node, message, node);
    sender *from = &senders[self->sender];

    from->unordered += status != 0 || self->number != from->next;
    from->next = self->number + 1;
    if (--left == 0)
        gyre_loop_release(loop);
}

static void *send_all(void *context)
{
    sender *self = context;

    for (int i = 0; i < self->count; i++)
        self->refused += gyre_post(door, &self->messages[i].node, receive) != 0;
    return NULL;
}

static void posts_of_8_threads_all_run_in_order_per_sender(void **state)
{
    const int count = slowness() > 1 ? POSTS_WHEN_SLOW : POSTS;
    pthread_t threads[SENDERS];

    (void)state;
    left = SENDERS * count;
    gyre_loop_hold(loop);
    for (int s = 0; s < SENDERS; s++) {
        senders[s] = (sender){.messages = lasting((size_t)count * sizeof(message)), .count = count};
        for (int i = 0; i < count; i++) {
            senders[s].messages[i].sender = s;
            senders[s].messages[i].number = i;
        }
    }
    for (int s = 0; s < SENDERS; s++)
        assert_int_equal(pthread_create(&threads[s], NULL, send_all, &senders[s]), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    for (int s = 0; s < SENDERS; s++) {
        pthread_join(threads[s], NULL);
        assert_int_equal(senders[s].next, count);
        assert_int_equal(senders[s].unordered, 0);
        assert_int_equal(senders[s].refused, 0);
    }
    assert_int_equal(left, 0);
}

/* ---- waking ---- */

/* One post at a time, each sent when the last was run: each must wake a loop that may sleep. */
typedef struct ping {
    pthread_mutex_t mutex;
    pthread_cond_t ran;
    gyre_post_node node;
    int count;
    bool waiting;
} ping;

enum { PINGS = 3000 };

static void on_ping(gyre_post_node *node, int status)
{
    ping *self = GYRE_CONTAINER_OF(node, ping, node);

    (void)status;
    pthread_mutex_lock(&self->mutex);
    self->waiting = false;
    if (++self->count == PINGS)
        gyre_loop_release(loop);
    pthread_cond_signal(&self->ran);
    pthread_mutex_unlock(&self->mutex);
}

static void *send_pings(void *context)
{
    ping *self = context;

    for (int i = 0; i < PINGS; i++) {
        pthread_mutex_lock(&self->mutex);
        self->waiting = true;
        if (gyre_post(door, &self->node, on_ping) != 0)
            self->waiting = false;
        while (self->waiting)
            pthread_cond_wait(&self->ran, &self->mutex);
        pthread_mutex_unlock(&self->mutex);
    }
    return NULL;
}

static void each_single_post_wakes_a_sleeping_loop(void **state)
{
    ping self = {.mutex = PTHREAD_MUTEX_INITIALIZER, .ran = PTHREAD_COND_INITIALIZER};
    pthread_t thread;

    (void)state;
    gyre_loop_hold(loop);
    assert_int_equal(pthread_create(&thread, NULL, send_pings, &self), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    pthread_join(thread, NULL);
    assert_int_equal(self.count, PINGS);
}

static void *send_one(void *context)
{
    (void)gyre_post(door, context, journal_post);
    return NULL;
}

static void a_once_woken_by_a_post_runs_it(void **state)
{
    pthread_t thread;

    (void)state;
    gyre_loop_hold(loop);
    assert_int_equal(pthread_create(&thread, NULL, send_one, post_new("p")), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), 1);
    assert_journal("p");
    pthread_join(thread, NULL);
    gyre_loop_release(loop);
}

static gyre_post_node *handler_node;

static void on_signal(int signum)
{
    (void)signum;
    (void)gyre_post(door, handler_node, journal_post);
}

static void a_signal_handler_may_post(void **state)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct sigaction old;

    (void)state;
    handler_node = post_new("signal");
    sigaction(SIGUSR1, &action, &old);
    raise(SIGUSR1);
    sigaction(SIGUSR1, &old, NULL);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("signal");
}

/* ---- the end ---- */

static void posts_at_close_run_with_ecanceled(void **state)
{
    (void)state;
    post("a", journal_post);
    post("b", journal_post);
    assert_int_equal(gyre_loop_close(loop), 0);
    loop = NULL;
    assert_journal("ECANCELED ECANCELED");
}

static void post_when_cancelled(gyre_post_node *node, int status)
{
    journal_post(node, status);
    journal(gyre_errname(gyre_post(door, node, journal_post)));
}

static void a_post_from_a_cancelled_one_says_egone(void **state)
{
    (void)state;
    post("a", post_when_cancelled);
    assert_int_equal(gyre_loop_close(loop), 0);
    loop = NULL;
    assert_journal("ECANCELED EGONE");
}

static void a_post_to_a_closed_loop_says_egone(void **state)
{
    (void)state;
    assert_int_equal(gyre_loop_close(loop), 0);
    loop = NULL;
    assert_int_equal(gyre_post(door, post_new("late"), journal_post), GYRE_EGONE);
    assert_journal("");
}

typedef struct flood {
    gyre_remote *remote;
    message *messages;
    int accepted;
} flood;

static int called;
static int cancelled;

static void count_called(gyre_post_node *node, int status)
{
    (void)node;
    called++;
    cancelled += status == GYRE_ECANCELED;
    if (called == 1000)
        gyre_loop_stop(loop);
}

enum { FLOOD = 1000000 };

static void *send_until_gone(void *context)
{
    flood *self = context;

    while (self->accepted < FLOOD &&
           gyre_post(self->remote, &self->messages[self->accepted].node, count_called) == 0)
        self->accepted++;
    gyre_remote_unref(self->remote);
    return NULL;
}

static void each_post_that_races_the_close_is_run_or_refused(void **state)
{
    flood floods[2] = {{0}};
    pthread_t threads[2];
    const int enough = 1000;

    (void)state;
    called = 0;
    cancelled = 0;
    gyre_loop_hold(loop);
    for (int i = 0; i < 2; i++) {
        floods[i].remote = gyre_loop_remote(loop);
        floods[i].messages = lasting(FLOOD * sizeof(message));
        assert_int_equal(pthread_create(&threads[i], NULL, send_until_gone, &floods[i]), 0);
    }
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 1);
    assert_true(called >= enough);
    assert_int_equal(cancelled, 0);
    assert_int_equal(gyre_loop_close(loop), 0);
    loop = NULL;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(called, floods[0].accepted + floods[1].accepted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DOOR_TEST(posts_of_a_thread_run_in_order),
        DOOR_TEST(one_posted_by_a_post_runs_after_poll),
        DOOR_TEST(a_node_may_be_posted_anew_in_its_callback),
        DOOR_TEST(posts_of_8_threads_all_run_in_order_per_sender),
        DOOR_TEST(each_single_post_wakes_a_sleeping_loop),
        DOOR_TEST(a_once_woken_by_a_post_runs_it),
        DOOR_TEST(a_signal_handler_may_post),
        DOOR_TEST(posts_at_close_run_with_ecanceled),
        DOOR_TEST(a_post_from_a_cancelled_one_says_egone),
        DOOR_TEST(a_post_to_a_closed_loop_says_egone),
        DOOR_TEST(each_post_that_races_the_close_is_run_or_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
