/*
 * The tests of exercise 02. Their kernel has a clock that stands still until it is told to go on, a
 * list of arrivals ("at 30, descriptor 1 has something to read"), and a log of what happens:
 *
 *     w10  a wait with a timeout of 10     t5a  timer `a` ran at 5     r5b  reader `b` ran at 5
 */
#include "check.h"
#include "exercise.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { WAITS_MAX = 100, LOG_BYTES = 512 };

typedef struct arrival {
    int64_t at_ms;
    int fd;
} arrival;

typedef struct world {
    struct kernel kernel; /* first: a kernel is a world */
    int64_t now_ms;
    const arrival *arrivals; /* by time; read ones are behind `next` */
    int arrival_count;
    int next;
    int waits;
    bool wakes_early; /* the next sleep ends in its middle, with nothing */
    char log[LOG_BYTES];
} world;

typedef struct actor {
    char letter;
    int64_t takes_ms; /* how long its handler runs */
    int stops_timer;
    int stops_fd; /* 0: none */
    struct actor *starts;
    int64_t starts_in_ms;
} actor;

static world sim;
static struct loop the_loop;

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
    const size_t length = strlen(sim.log);
    char text[32];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    CHECK(length + strlen(text) + 2 < LOG_BYTES, "too much happens; so far: %s", sim.log);
    (void)snprintf(sim.log + length, LOG_BYTES - length, "%s%s", length > 0 ? " " : "", text);
}

static int64_t sim_now(struct kernel *kernel)
{
    return ((world *)(void *)kernel)->now_ms;
}

/* What has arrived: each arrival is seen once. */
static int take_arrivals(int *ready)
{
    int count = 0;

    while (sim.next < sim.arrival_count && sim.arrivals[sim.next].at_ms <= sim.now_ms &&
           count < LOOP_FDS_MAX)
        ready[count++] = sim.arrivals[sim.next++].fd;
    return count;
}

static int sim_wait(struct kernel *kernel, int64_t timeout_ms, int *ready)
{
    const int64_t end_ms = sim.now_ms + timeout_ms;
    int count = take_arrivals(ready);

    (void)kernel;
    note("w%lld", (long long)timeout_ms);
    CHECK(timeout_ms >= -1, "a timeout of %lld", (long long)timeout_ms);
    CHECK(++sim.waits < WAITS_MAX, "the loop waits again and again and nothing happens: %s",
          sim.log);
    if (count > 0 || timeout_ms == 0)
        return count;
    if (sim.wakes_early && timeout_ms > 1) {
        sim.wakes_early = false;
        sim.now_ms += timeout_ms - 1;
        return 0;
    }
    if (sim.next < sim.arrival_count &&
        (timeout_ms < 0 || sim.arrivals[sim.next].at_ms <= end_ms)) {
        sim.now_ms = sim.arrivals[sim.next].at_ms;
        return take_arrivals(ready);
    }
    CHECK(timeout_ms >= 0,
          "the loop sleeps for ever: nothing will arrive, and no timer was told"
          " of; so far: %s",
          sim.log);
    sim.now_ms = end_ms;
    return 0;
}

static void begin(const arrival *arrivals, int count)
{
    sim = (world){.kernel = {.now_ms = sim_now, .wait = sim_wait},
                  .arrivals = arrivals,
                  .arrival_count = count};
    loop_init(&the_loop, &sim.kernel);
}

static void act(const actor *self);

static void on_timer(struct loop *loop, void *data)
{
    const actor *self = data;

    CHECK(loop == &the_loop, "a handler was given another loop");
    note("t%lld%c", (long long)sim.now_ms, self->letter);
    act(self);
}

static void on_read(struct loop *loop, int fd, void *data)
{
    const actor *self = data;

    (void)fd;
    CHECK(loop == &the_loop, "a handler was given another loop");
    note("r%lld%c", (long long)sim.now_ms, self->letter);
    act(self);
}

static int start(actor *who, int64_t delay_ms)
{
    const int id = timer_start(&the_loop, delay_ms, on_timer, who);

    CHECK(id > 0, "timer_start has refused a timer: it returned %d", id);
    return id;
}

static void act(const actor *self)
{
    sim.now_ms += self->takes_ms;
    if (self->stops_timer != 0)
        (void)timer_stop(&the_loop, self->stops_timer);
    if (self->stops_fd != 0)
        reader_stop(&the_loop, self->stops_fd);
    if (self->starts != NULL)
        start(self->starts, self->starts_in_ms);
}

static void one_timer(void)
{
    actor a = {.letter = 'a'};

    begin(NULL, 0);
    CHECK_INT(loop_timeout_ms(&the_loop), -1, "the timeout without timers");
    CHECK(!loop_alive(&the_loop), "a new loop is alive");
    start(&a, 10);
    CHECK(loop_alive(&the_loop), "a loop with a timer is not alive");
    CHECK_INT(loop_timeout_ms(&the_loop), 10, "the timeout with a timer in 10 ms");
    CHECK_INT(loop_run(&the_loop), 1, "handlers called by loop_run");
    CHECK_TEXT(sim.log, "w10 t10a", "what happened");
    CHECK(!loop_alive(&the_loop), "the loop is alive after its only timer ran");
}

static void in_order(void)
{
    actor a = {.letter = 'a'};
    actor b = {.letter = 'b'};
    actor c = {.letter = 'c'};
    actor d = {.letter = 'd'};
    int spare;

    begin(NULL, 0);
    spare = start(&a, 1);
    start(&c, 20);
    (void)timer_stop(&the_loop, spare);
    start(&a, 10); /* it may well stand in the place that became free */
    start(&d, 20);
    start(&b, 15);
    CHECK_INT(loop_run(&the_loop), 4, "handlers called by loop_run");
    CHECK_TEXT(sim.log, "w10 t10a w5 t15b w5 t20c t20d", "what happened");
}

static void same_time_in_order_of_start(void)
{
    actor a = {.letter = 'a'};
    actor b = {.letter = 'b'};
    actor c = {.letter = 'c'};
    int first;

    begin(NULL, 0);
    first = start(&c, 1);
    start(&a, 5);
    CHECK_INT(timer_stop(&the_loop, first), 0, "timer_stop of a timer that waits");
    CHECK_INT(timer_stop(&the_loop, first), -1, "timer_stop of it again");
    CHECK_INT(timer_stop(&the_loop, 0), -1, "timer_stop(0), which is nobody's id");
    start(&b, 5);
    loop_run(&the_loop);
    CHECK_TEXT(sim.log, "w5 t5a t5b", "what happened");
}

static void never_early(void)
{
    actor a = {.letter = 'a'};

    begin(NULL, 0);
    sim.wakes_early = true;
    start(&a, 10);
    CHECK_INT(loop_turn(&the_loop), 0, "handlers called in a turn whose sleep ended 1 ms early");
    CHECK_INT(loop_turn(&the_loop), 1, "handlers called in the turn after it");
    CHECK_TEXT(sim.log, "w10 w1 t10a", "what happened");
}

static void between_io(void)
{
    static const arrival arrivals[] = {{4, 1}, {10, 2}, {30, 1}};
    actor a = {.letter = 'a'};
    actor x = {.letter = 'x'};
    actor y = {.letter = 'y', .stops_fd = 2};

    begin(arrivals, 3);
    reader_start(&the_loop, 1, on_read, &x);
    reader_start(&the_loop, 2, on_read, &y);
    start(&a, 10);
    CHECK_INT(loop_turn(&the_loop), 1, "handlers called in the first turn");
    CHECK_INT(loop_turn(&the_loop), 2, "handlers called in the second turn");
    CHECK_INT(loop_turn(&the_loop), 1, "handlers called in the third turn");
    CHECK_TEXT(sim.log, "w10 r4x w6 r10y t10a w-1 r30x", "what happened");
}

static void slow_reader(void)
{
    static const arrival arrivals[] = {{1, 1}};
    actor a = {.letter = 'a'};
    actor slow = {.letter = 's', .takes_ms = 50, .stops_fd = 1};

    begin(arrivals, 1);
    reader_start(&the_loop, 1, on_read, &slow);
    start(&a, 10);
    CHECK_INT(loop_run(&the_loop), 2, "handlers called by loop_run");
    CHECK_TEXT(sim.log, "w10 r1s t51a", "what happened");
}

static void stopped_reader(void)
{
    static const arrival arrivals[] = {{3, 1}, {3, 2}};
    actor x = {.letter = 'x', .stops_fd = 2};
    actor y = {.letter = 'y'};

    begin(arrivals, 2);
    reader_start(&the_loop, 1, on_read, &x);
    reader_start(&the_loop, 2, on_read, &y);
    CHECK_INT(loop_turn(&the_loop), 1, "handlers called when reader `x` stops reader `y`");
    CHECK_TEXT(sim.log, "w-1 r3x", "what happened");
}

static void stopped_sibling(void)
{
    actor b = {.letter = 'b'};
    actor a = {.letter = 'a'};

    begin(NULL, 0);
    start(&a, 5);
    a.stops_timer = start(&b, 5);
    CHECK_INT(loop_run(&the_loop), 1, "handlers called when timer `a` stops timer `b`");
    CHECK_TEXT(sim.log, "w5 t5a", "what happened");
}

static void started_meanwhile(void)
{
    static const arrival arrivals[] = {{5, 1}};
    actor b = {.letter = 'b'};
    actor a = {.letter = 'a', .starts = &b};
    actor x = {.letter = 'x', .stops_fd = 1};

    begin(arrivals, 1);
    reader_start(&the_loop, 1, on_read, &x);
    start(&a, 2);
    CHECK_INT(loop_turn(&the_loop), 1, "handlers called when timer `a` starts `b` with 0 ms");
    CHECK_INT(loop_turn(&the_loop), 1, "handlers called in the turn after it");
    loop_run(&the_loop);
    CHECK_TEXT(sim.log, "w2 t2a w0 t2b w-1 r5x", "what happened");
}

static void places_come_back(void)
{
    actor a = {.letter = 'a'};

    begin(NULL, 0);
    for (int i = 0; i < LOOP_TIMERS_MAX; i++)
        start(&a, 1000);
    CHECK_INT(timer_start(&the_loop, 1, on_timer, &a), -1, "timer_start when 64 wait");
    CHECK_INT(timer_stop(&the_loop, 64), 0, "timer_stop(64)");
    for (int i = 0; i < 10; i++) {
        start(&a, 1);
        CHECK_INT(loop_turn(&the_loop), 1, "handlers called when 1 of 64 is due");
    }
    CHECK_INT(start(&a, 1), 75, "the id of the 75th timer");
}

static const check_test tests[] = {
    {"a timer runs once, when its time has come", one_timer,
     "find a place with id 0, note now + delay; free the place before its handler is called."},
    {"timers run in the order of their time", in_order,
     "look for the smallest due_ms anew each time; the place in the array says nothing."},
    {"timers of the same time run in the order of their start", same_time_in_order_of_start,
     "between equal due_ms the smaller id goes first."},
    {"a timer never runs early", never_early,
     "the kernel may wake you for nothing: read the clock after the wait, compare, sleep again."},
    {"timers run between reading, and reading does not put them off", between_io,
     "each turn asks loop_timeout_ms, waits that long at most, runs readers, then due timers."},
    {"a timer that came due during a slow reader runs in the same turn", slow_reader,
     "read the clock after the readers have run, not before."},
    {"a reader that was stopped in this turn is not called", stopped_reader,
     "the list of ready descriptors is older than the last handler: look at loop->readers again."},
    {"a due timer that its sibling stopped does not run", stopped_sibling,
     "do not copy all due timers and then run the copies; or look whether each is still there."},
    {"a timer that is started by a timer waits for the next turn", started_meanwhile,
     "remember last_timer_id before the first one runs: a greater id was started meanwhile."},
    {"places of timers that ran or were stopped can be used again", places_come_back,
     "a place is free when its id is 0; ids go on counting."},
};

int main(int argc, char **argv)
{
    return check_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
