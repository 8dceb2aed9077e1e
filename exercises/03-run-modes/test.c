/*
 * The tests of exercise 03. Their parts have a clock that moves only in a sleep, and write down
 * what is called: "pending:a wait(10):x timers:t" is a turn in which handler `a` was pending work,
 * `x` had input, and `t` was a timer.
 */
#include "check.h"
#include "exercise.h"

#include <stdio.h>
#include <string.h>

enum { ACTORS_MAX = 8, LOG_BYTES = 600 };

/* Something that will be called: at a time as a timer or a reader, or as pending work. */
typedef struct actor {
    char letter;
    int64_t at_ms;
    bool stops;
    struct actor *defers; /* what it adds to the pending work */
} actor;

typedef struct queue {
    actor *entries[ACTORS_MAX];
    int count;
} queue;

static struct world {
    struct parts parts;
    int64_t now_ms;
    queue pending;
    queue timers;
    queue readers; /* each is called once */
    char log[LOG_BYTES];
} sim;

static struct loop the_loop;

static void note(const char *text)
{
    const size_t length = strlen(sim.log);

    CHECK(length + strlen(text) + 1 < LOG_BYTES, "the run does not end; so far: %s", sim.log);
    memcpy(sim.log + length, text, strlen(text) + 1);
}

static void note_part(const char *text)
{
    if (sim.log[0] != '\0')
        note(" ");
    note(text);
}

static void add(queue *to, actor *who)
{
    CHECK(to->count < ACTORS_MAX, "the test has no room");
    to->entries[to->count++] = who;
}

static void call(actor *who, bool *first)
{
    const char text[3] = {*first ? ':' : who->letter, *first ? who->letter : '\0', '\0'};

    note(text);
    *first = false;
    if (who->stops)
        loop_stop(&the_loop);
    if (who->defers != NULL)
        add(&sim.pending, who->defers);
}

/* Calls and takes out those whose time has come. */
static void call_due(queue *from)
{
    const queue all = *from;
    bool first = true;

    from->count = 0;
    for (int i = 0; i < all.count; i++) {
        if (all.entries[i]->at_ms > sim.now_ms)
            add(from, all.entries[i]);
        else
            call(all.entries[i], &first);
    }
}

static int64_t nearest(const queue *from)
{
    int64_t at_ms = INT64_MAX;

    for (int i = 0; i < from->count; i++) {
        if (from->entries[i]->at_ms < at_ms)
            at_ms = from->entries[i]->at_ms;
    }
    return at_ms;
}

static bool sim_alive(struct parts *parts)
{
    (void)parts;
    return sim.pending.count + sim.timers.count + sim.readers.count > 0;
}

static bool sim_has_pending(struct parts *parts)
{
    (void)parts;
    return sim.pending.count > 0;
}

static int64_t sim_next_timer_ms(struct parts *parts)
{
    const int64_t at_ms = nearest(&sim.timers);

    (void)parts;
    if (at_ms == INT64_MAX)
        return -1;
    return at_ms > sim.now_ms ? at_ms - sim.now_ms : 0;
}

static void sim_run_pending(struct parts *parts)
{
    (void)parts;
    note_part("pending");
    call_due(&sim.pending);
}

static void sim_wait(struct parts *parts, int64_t timeout_ms)
{
    const int64_t arrival_ms = nearest(&sim.readers);
    int64_t end_ms = timeout_ms < 0 ? INT64_MAX : sim.now_ms + timeout_ms;
    char text[32];

    (void)parts;
    (void)snprintf(text, sizeof(text), "wait(%lld)", (long long)timeout_ms);
    note_part(text);
    CHECK(timeout_ms >= -1, "a timeout of %lld", (long long)timeout_ms);
    if (arrival_ms < end_ms)
        end_ms = arrival_ms;
    CHECK(end_ms != INT64_MAX,
          "the loop sleeps for ever: no timer, and nothing will arrive; so far:"
          " %s",
          sim.log);
    if (end_ms > sim.now_ms && timeout_ms != 0)
        sim.now_ms = end_ms;
    call_due(&sim.readers);
}

static void sim_run_timers(struct parts *parts)
{
    (void)parts;
    note_part("timers");
    call_due(&sim.timers);
}

static void begin(void)
{
    sim = (struct world){.parts = {.alive = sim_alive,
                                   .has_pending = sim_has_pending,
                                   .next_timer_ms = sim_next_timer_ms,
                                   .run_pending = sim_run_pending,
                                   .wait = sim_wait,
                                   .run_timers = sim_run_timers}};
    memset(&the_loop, 0xff, sizeof(the_loop));
    loop_init(&the_loop, &sim.parts);
}

/* Runs, and compares what was called and what is returned. */
static void expect(run_mode mode, const char *log, bool alive)
{
    bool result;

    sim.log[0] = '\0';
    result = loop_run(&the_loop, mode);
    CHECK_TEXT(sim.log, log, "what was called");
    CHECK(result == alive, "loop_run has to return %s: something is %salive",
          alive ? "true" : "false", alive ? "" : "not ");
}

static void nowait_only_looks(void)
{
    actor x = {.letter = 'x', .at_ms = 50};
    actor t = {.letter = 't', .at_ms = 10};

    begin();
    add(&sim.readers, &x);
    add(&sim.timers, &t);
    expect(RUN_NOWAIT, "pending wait(0) timers", true);
    sim.now_ms = 10;
    expect(RUN_NOWAIT, "pending wait(0) timers:t", true);
    sim.now_ms = 50;
    expect(RUN_NOWAIT, "pending wait(0):x timers", false);
}

static void once_sleeps(void)
{
    actor x = {.letter = 'x', .at_ms = 50};
    actor t = {.letter = 't', .at_ms = 70};
    actor y = {.letter = 'y', .at_ms = 90};

    begin();
    add(&sim.readers, &x);
    add(&sim.timers, &t);
    add(&sim.readers, &y);
    expect(RUN_ONCE, "pending wait(70):x timers", true);
    expect(RUN_ONCE, "pending wait(20) timers:t", true);
    expect(RUN_ONCE, "pending wait(-1):y timers", false);
}

static void once_has_what_it_waits_for(void)
{
    actor a = {.letter = 'a'};
    actor x = {.letter = 'x', .at_ms = 50};

    begin();
    add(&sim.pending, &a);
    add(&sim.readers, &x);
    expect(RUN_ONCE, "pending:a wait(0) timers", true);
    expect(RUN_ONCE, "pending wait(-1):x timers", false);
}

static void default_runs_to_the_end(void)
{
    actor x = {.letter = 'x', .at_ms = 5};
    actor t = {.letter = 't', .at_ms = 20};

    begin();
    add(&sim.readers, &x);
    add(&sim.timers, &t);
    expect(RUN_DEFAULT, "timers pending wait(20):x timers pending wait(15) timers:t", false);
}

static void default_begins_with_timers(void)
{
    actor t = {.letter = 't', .at_ms = 0};
    actor u = {.letter = 'u', .at_ms = 5};

    begin();
    add(&sim.timers, &t);
    expect(RUN_DEFAULT, "timers:t", false);
    add(&sim.timers, &t);
    add(&sim.timers, &u);
    expect(RUN_DEFAULT, "timers:t pending wait(5) timers:u", false);
}

static void pending_forbids_sleeping(void)
{
    actor b = {.letter = 'b'};
    actor a = {.letter = 'a', .defers = &b};
    actor x = {.letter = 'x', .at_ms = 50};

    begin();
    add(&sim.pending, &a);
    add(&sim.readers, &x);
    expect(RUN_DEFAULT, "timers pending:a wait(0) timers pending:b wait(-1):x timers", false);
}

static void nothing_left_to_wait_for(void)
{
    actor a = {.letter = 'a'};

    begin();
    add(&sim.pending, &a);
    expect(RUN_DEFAULT, "timers pending:a wait(0) timers", false);
}

static void nothing_alive(void)
{
    begin();
    expect(RUN_DEFAULT, "", false);
    expect(RUN_ONCE, "", false);
    expect(RUN_NOWAIT, "", false);
}

static void stop_ends_the_turn(void)
{
    actor s = {.letter = 's', .stops = true};
    actor x = {.letter = 'x', .at_ms = 50};

    begin();
    add(&sim.pending, &s);
    add(&sim.readers, &x);
    expect(RUN_DEFAULT, "timers pending:s wait(0) timers", true);
    expect(RUN_DEFAULT, "timers pending wait(-1):x timers", false);
}

static void stop_in_first_timers(void)
{
    actor s = {.letter = 's', .stops = true};
    actor x = {.letter = 'x', .at_ms = 50};

    begin();
    add(&sim.timers, &s);
    add(&sim.readers, &x);
    expect(RUN_DEFAULT, "timers:s", true);
}

static void stop_before_a_run(void)
{
    actor x = {.letter = 'x', .at_ms = 50};
    static const run_mode modes[] = {RUN_DEFAULT, RUN_ONCE, RUN_NOWAIT};

    begin();
    add(&sim.readers, &x);
    for (int i = 0; i < 3; i++) {
        loop_stop(&the_loop);
        expect(modes[i], "", true);
    }
    expect(RUN_NOWAIT, "pending wait(0) timers", true);
}

static const check_test tests[] = {
    {"NOWAIT is one turn that does not sleep", nowait_only_looks,
     "a turn is run_pending, wait(timeout), run_timers, each once; NOWAIT's timeout is always 0."},
    {"ONCE is one turn that sleeps until something comes", once_sleeps,
     "the timeout is next_timer_ms, which is -1 without timers. One turn, then return alive."},
    {"ONCE does not sleep when pending work waited at its begin", once_has_what_it_waits_for,
     "ask has_pending before run_pending: the caller may have waited for just that work."},
    {"DEFAULT turns until nothing is alive", default_runs_to_the_end,
     "first run_timers once, then turns while alive and not stopped."},
    {"DEFAULT begins with the timers that are due", default_begins_with_timers,
     "a timer that is due already needs no wait: run_timers once before the first turn."},
    {"pending work that pending work adds forbids sleeping", pending_forbids_sleeping,
     "ask has_pending once more just before the wait: if there is some, the timeout is 0."},
    {"a turn does not sleep when nothing is alive any more", nothing_left_to_wait_for,
     "ask alive just before the wait: the last handler may have been the last thing."},
    {"without anything alive nothing is called", nothing_alive,
     "ask alive before the first part is called, in each mode."},
    {"a stop ends the run after its turn, which does not sleep; the next run is not stopped",
     stop_ends_the_turn, "while stop is set the timeout is 0; loop_run clears it when it ends."},
    {"a stop in the timers before the first turn ends the run", stop_in_first_timers,
     "ask for stop before each turn, the first one too."},
    {"a stop before a run ends that run before its first turn", stop_before_a_run,
     "do not clear stop when a run begins, but when it ends: that run has used it up."},
};

int main(int argc, char **argv)
{
    return check_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
