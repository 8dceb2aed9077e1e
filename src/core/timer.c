/*
 * Timers: deadlines in the heap, a batch of due ones, and the handle around them.
 *
 *   IDLE --start--> WAITING (in the heap) --collect--> DUE (in loop->due) --run--> IDLE, or WAITING
 *   again if it repeats
 *
 * Most timers are timeouts that are put off or stopped, and never come. So their place in the heap
 * is left alone: one that is started anew for later is LATER, one that is stopped is STOPPED, and
 * both are dealt with when they come to the top, or sooner if they are started for an earlier
 * moment or closed. The heap's keys are never too late, so the first that waits where it stands is
 * the first of all. With slack the key is not the deadline: such a timer (WAITING_SLACK) is moved
 * at once.
 *
 * Equals are common: connections of one turn with one timeout. The heap has them in any order, and
 * they are put into that of their start once they are due, all of them together.
 *
 * A timer is never run before deadline_ns; the loop wakes for the heap's key, which is the deadline
 * plus slack. Collecting ends at the first node of the heap that is not due, so that slack never
 * holds back a timer beyond its own latest moment.
 */
#include "core/timer.h"

#include "core/loop.h"

/* From NODE_STOPPED on it is in the heap, from NODE_WAITING on where it belongs. */
enum { NODE_IDLE = 0, NODE_DUE, NODE_STOPPED, NODE_LATER, NODE_WAITING, NODE_WAITING_SLACK };

/* It repeats or has slack. Most do not: starting them leaves that line of memory alone. */
enum { TIMER_TUNED = GYREI_HANDLE_OWN };

/*
 * How many at the top are put where they belong in one go, and for each that is due beside others
 * of its key: the rest waits for the next turn.
 */
enum { MOVES_MAX = 64, MOVES_EACH = 4 };

int gyrei_timer_node_init(gyre_loop *loop, gyre_timer_node *node,
                          void (*fire)(gyre_loop *loop, gyre_timer_node *node))
{
    *node = (gyre_timer_node){.fire = fire, .state = NODE_IDLE};
    return gyrei_heap_reserve(&loop->timers);
}

void gyrei_timer_node_close(gyre_loop *loop, gyre_timer_node *node)
{
    gyrei_timer_node_stop(loop, node);
    if (node->state == NODE_STOPPED)
        gyrei_heap_remove(&loop->timers, node);
    node->state = NODE_IDLE;
    gyrei_heap_unreserve(&loop->timers);
}

static bool stands_in_heap(const gyre_timer_node *node)
{
    return node->state >= NODE_STOPPED;
}

/* Puts the node where it belongs in the heap. */
__attribute__((noinline)) static void wait_from_now_on(gyre_loop *loop, gyre_timer_node *node,
                                                       uint64_t slack_ns)
{
    const uint64_t key_ns = gyrei_time_add(node->deadline_ns, slack_ns);

    if (stands_in_heap(node))
        gyrei_heap_update(&loop->timers, node, key_ns);
    else
        gyrei_heap_push(&loop->timers, node, key_ns);
    node->waiting.key_ns = key_ns;
    node->state = slack_ns == 0 ? NODE_WAITING : NODE_WAITING_SLACK;
}

/*
 * Of a million timers that are put off, as many are waited for at a time as fit with their
 * instructions into the processor's window: this is inline, so that they are few.
 */
static inline void node_start(gyre_loop *loop, gyre_timer_node *node, uint64_t deadline_ns,
                              uint64_t slack_ns)
{
    if (node->state == NODE_DUE)
        gyrei_timer_node_stop(loop, node);
    node->deadline_ns = deadline_ns;
    node->waiting.sequence = loop->timer_sequence++;
    if (slack_ns == 0 && stands_in_heap(node) && deadline_ns > node->waiting.key_ns)
        node->state = NODE_LATER;
    else
        wait_from_now_on(loop, node, slack_ns);
}

void gyrei_timer_node_start(gyre_loop *loop, gyre_timer_node *node, uint64_t deadline_ns,
                            uint64_t slack_ns)
{
    node_start(loop, node, deadline_ns, slack_ns);
}

void gyrei_timer_node_stop(gyre_loop *loop, gyre_timer_node *node)
{
    (void)loop;
    if (stands_in_heap(node)) {
        node->state = NODE_STOPPED;
        return;
    }
    if (node->state == NODE_DUE)
        gyrei_list_remove(&node->link);
    node->state = NODE_IDLE;
}

bool gyrei_timer_node_started(const gyre_timer_node *node)
{
    return node->state != NODE_IDLE && node->state != NODE_STOPPED;
}

static void put_where_it_belongs(gyre_loop *loop, gyre_timer_node *node)
{
    if (node->state == NODE_STOPPED) {
        gyrei_heap_remove(&loop->timers, node);
        node->state = NODE_IDLE;
        return;
    }
    wait_from_now_on(loop, node, 0);
}

/*
 * The first timer of all, or NULL. Once `moves` are used up it may be one that was left behind: to
 * wake for its old key is early, and no harm.
 */
static gyre_timer_node *first_of_all(gyre_loop *loop, int64_t *moves)
{
    gyre_timer_node *node = gyrei_heap_first(&loop->timers);

    while (node != NULL && node->state<NODE_WAITING && * moves> 0) {
        (*moves)--;
        put_where_it_belongs(loop, node);
        node = gyrei_heap_first(&loop->timers);
    }
    return node;
}

static bool is_due(const gyre_loop *loop, const gyre_timer_node *node)
{
    return node->state >= NODE_WAITING && node->deadline_ns <= loop->now_ns;
}

static void append_due(gyre_loop *loop, gyre_timer_node *node)
{
    node->state = NODE_DUE;
    gyrei_list_append(&loop->due, &node->link);
}

/* ---- equals: put in order of start by merging ---- */

/* Lists through next_equal, each in order: list i has 2^i nodes, if `count` has bit i. */
typedef struct equals {
    gyre_timer_node *lists[32];
    uint32_t count;
} equals;

static gyre_timer_node *merge(gyre_timer_node *a, gyre_timer_node *b)
{
    gyre_timer_node *first = NULL;
    gyre_timer_node **end = &first;

    while (a != NULL && b != NULL) {
        gyre_timer_node **sooner = a->waiting.sequence < b->waiting.sequence ? &a : &b;

        *end = *sooner;
        end = &(*sooner)->waiting.next_equal;
        *sooner = *end;
    }
    *end = a != NULL ? a : b;
    return first;
}

static void equals_add(equals *all, gyre_timer_node *node)
{
    uint32_t i = 0;

    node->waiting.next_equal = NULL;
    for (; (all->count >> i & 1) != 0; i++)
        node = merge(all->lists[i], node);
    all->lists[i] = node;
    all->count++;
}

static gyre_timer_node *equals_in_order(const equals *all)
{
    gyre_timer_node *first = NULL;

    for (uint32_t i = 0; all->count >> i != 0; i++) {
        if ((all->count >> i & 1) != 0)
            first = merge(all->lists[i], first);
    }
    return first;
}

/* Whether the first of the heap is one more of `key_ns`. */
static bool has_equal(const gyre_loop *loop, uint64_t key_ns)
{
    return loop->timers.count > 0 && gyrei_heap_first_key(&loop->timers) == key_ns;
}

/* Those that were taken out for nothing. */
static void put_back(gyre_loop *loop, gyre_timer_node *node, uint64_t key_ns)
{
    while (node != NULL) {
        gyre_timer_node *equal = node->waiting.next_equal;

        gyrei_heap_push(&loop->timers, node, key_ns);
        node->waiting.key_ns = key_ns;
        node = equal;
    }
}

static void append_all(gyre_loop *loop, gyre_timer_node *node)
{
    while (node != NULL) {
        gyre_timer_node *equal = node->waiting.next_equal;

        append_due(loop, node);
        node = equal;
    }
}

/*
 * Collects `node`, taken out already, and all of its key that are due. False, and none of them is:
 * too many that were left behind stand among them; they are fewer the next time.
 */
static bool collect_equals(gyre_loop *loop, gyre_timer_node *node, uint64_t key_ns, int64_t *moves)
{
    equals all;

    all.count = 0;
    equals_add(&all, node);
    while (has_equal(loop, key_ns)) {
        node = first_of_all(loop, moves);
        if (!has_equal(loop, key_ns))
            break;
        if (node->state < NODE_WAITING) {
            put_back(loop, equals_in_order(&all), key_ns);
            return false;
        }
        if (!is_due(loop, node))
            break;
        gyrei_heap_remove(&loop->timers, node);
        equals_add(&all, node);
        *moves += MOVES_EACH;
    }
    append_all(loop, equals_in_order(&all));
    return true;
}

void gyrei_timers_collect(gyre_loop *loop)
{
    int64_t moves = MOVES_MAX;
    gyre_timer_node *node;

    GYRE_ASSERT(loop->now_ns < UINT64_MAX && !loop->clock_due);
    while ((node = first_of_all(loop, &moves)) != NULL && is_due(loop, node)) {
        const uint64_t key_ns = gyrei_heap_first_key(&loop->timers);

        gyrei_heap_remove(&loop->timers, node);
        if (!has_equal(loop, key_ns))
            append_due(loop, node);
        else if (!collect_equals(loop, node, key_ns, &moves))
            break;
    }
}

bool gyrei_timers_run_next(gyre_loop *loop)
{
    gyre_link *link = gyrei_list_pop(&loop->due);
    gyre_timer_node *node;

    if (link == NULL)
        return false;
    node = GYRE_CONTAINER_OF(link, gyre_timer_node, link);
    GYRE_ASSERT(node->state == NODE_DUE && node->deadline_ns <= loop->now_ns);
    node->state = NODE_IDLE;
    node->fire(loop, node);
    return true;
}

uint64_t gyrei_timers_next_ns(gyre_loop *loop)
{
    int64_t moves = MOVES_MAX;

    return first_of_all(loop, &moves) != NULL ? gyrei_heap_first_key(&loop->timers) : UINT64_MAX;
}

static const char *verify_entry(const gyrei_heap_entry *entry)
{
    const gyre_timer_node *node = entry->node;

    if (node->state < NODE_STOPPED || node->state > NODE_WAITING_SLACK)
        return "a timer that does not wait stands in the heap";
    if ((node->state == NODE_LATER || node->state == NODE_WAITING) &&
        entry->key > node->deadline_ns)
        return "a timer would be late";
    if (entry->key != node->waiting.key_ns ||
        (node->state >= NODE_WAITING && entry->key < node->deadline_ns))
        return "a timer's key is not its own";
    return NULL;
}

const char *gyrei_timers_verify(const gyre_loop *loop)
{
    const char *flaw = gyrei_heap_verify(&loop->timers);

    for (uint32_t i = 0; flaw == NULL && i < loop->timers.count; i++)
        flaw = verify_entry(&loop->timers.entries[i]);
    for (const gyre_link *link = loop->due.next; flaw == NULL && link != &loop->due;
         link = link->next) {
        const gyre_timer_node *node = GYRE_CONTAINER_OF(link, gyre_timer_node, link);

        if (node->state != NODE_DUE || node->deadline_ns > loop->now_ns)
            flaw = "a timer is due early";
    }
    return flaw;
}

static uint64_t timer_repeat_ns(const gyre_timer *timer)
{
    return (timer->handle.flags & TIMER_TUNED) != 0 ? timer->repeat_ns : 0;
}

static uint64_t timer_slack_ns(const gyre_timer *timer)
{
    return (timer->handle.flags & TIMER_TUNED) != 0 ? timer->slack_ns : 0;
}

static void timer_close(gyre_loop *loop, gyre_handle *handle)
{
    gyre_timer *timer = GYRE_CONTAINER_OF(handle, gyre_timer, handle);

    gyrei_timer_node_close(loop, &timer->node);
}

static const gyrei_handle_class timer_class = {
    .kind = GYRE_HANDLE_TIMER,
    .bytes = sizeof(gyre_timer),
    .close = timer_close,
};

/*
 * Puts a repeating timer on the next point of its grid that is still to come, and counts those that
 * are lost.
 */
static void start_next_period(gyre_loop *loop, gyre_timer *timer)
{
    const uint64_t due = timer->node.deadline_ns;
    const uint64_t skipped = (gyrei_loop_now_ns(loop) - due) / timer->repeat_ns;
    const uint64_t ahead = gyrei_time_add(skipped * timer->repeat_ns, timer->repeat_ns);

    timer->missed += skipped;
    gyrei_timer_node_start(loop, &timer->node, gyrei_time_add(due, ahead), timer->slack_ns);
}

static void timer_fire(gyre_loop *loop, gyre_timer_node *node)
{
    gyre_timer *timer = GYRE_CONTAINER_OF(node, gyre_timer, node);
    gyrei_frame frame;

    if (timer->repeat_ns > 0)
        start_next_period(loop, timer);
    else
        gyrei_handle_set_active(&timer->handle, false);
    gyrei_callback_enter(loop, &frame, GYRE_HANDLE_TIMER, timer, timer->handle.name);
    timer->cb(timer);
    gyrei_callback_leave(loop, &frame);
}

int gyre_timer_init(gyre_loop *loop, gyre_timer *timer)
{
    int error;

    gyrei_loop_check(loop);
    error = gyrei_timer_node_init(loop, &timer->node, timer_fire);
    if (error != 0)
        return error;
    gyrei_handle_init(loop, &timer->handle, &timer_class);
    timer->cb = NULL;
    timer->repeat_ns = 0;
    timer->slack_ns = 0;
    timer->missed = 0;
    return 0;
}

void gyre_timer_start_at(gyre_timer *timer, uint64_t deadline_ns, uint64_t repeat_ns,
                         gyre_timer_cb cb)
{
    GYRE_ASSERT(cb != NULL);
    GYRE_ASSERT(!gyrei_handle_is_closing(&timer->handle));
    gyrei_loop_check(timer->handle.loop);
    timer->cb = cb;
    if (repeat_ns != timer_repeat_ns(timer))
        gyre_timer_set_repeat(timer, repeat_ns);
    node_start(timer->handle.loop, &timer->node, deadline_ns, timer_slack_ns(timer));
    gyrei_handle_set_active(&timer->handle, true);
}

void gyre_timer_start(gyre_timer *timer, uint64_t timeout_ns, uint64_t repeat_ns, gyre_timer_cb cb)
{
    gyre_loop *loop = timer->handle.loop;
    /* The loop's time may be a long callback old: counted from there the timer would be early. */
    const uint64_t from = timeout_ns > 0 ? loop->env->now_ns(loop->env) : gyrei_loop_now_ns(loop);

    gyre_timer_start_at(timer, gyrei_time_add(from, timeout_ns), repeat_ns, cb);
}

void gyre_timer_stop(gyre_timer *timer)
{
    gyrei_loop_check(timer->handle.loop);
    if (gyrei_handle_is_closing(&timer->handle))
        return;
    gyrei_timer_node_stop(timer->handle.loop, &timer->node);
    gyrei_handle_set_active(&timer->handle, false);
}

int gyre_timer_again(gyre_timer *timer)
{
    if (timer->cb == NULL || timer->repeat_ns == 0 || gyrei_handle_is_closing(&timer->handle))
        return GYRE_EINVAL;
    gyre_timer_start(timer, timer->repeat_ns, timer->repeat_ns, timer->cb);
    return 0;
}

void gyre_timer_set_slack(gyre_timer *timer, uint64_t slack_ns)
{
    gyrei_loop_check(timer->handle.loop);
    timer->slack_ns = slack_ns;
    timer->handle.flags |= TIMER_TUNED;
}

void gyre_timer_set_repeat(gyre_timer *timer, uint64_t repeat_ns)
{
    gyrei_loop_check(timer->handle.loop);
    timer->repeat_ns = repeat_ns;
    timer->handle.flags |= TIMER_TUNED;
}

uint64_t gyre_timer_repeat_ns(const gyre_timer *timer)
{
    return timer->repeat_ns;
}

uint64_t gyre_timer_due_in_ns(const gyre_timer *timer)
{
    const uint64_t now_ns = gyrei_loop_now_ns(timer->handle.loop);

    if (timer->node.state < NODE_LATER || timer->node.deadline_ns <= now_ns)
        return 0;
    return timer->node.deadline_ns - now_ns;
}

uint64_t gyre_timer_missed(const gyre_timer *timer)
{
    return timer->missed;
}
