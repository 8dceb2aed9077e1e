/*
 * What the tests of the loop begin with: a loop made before and shut down after each test, a
 * journal of what was called in which order, and children in which a program may abort.
 */
#ifndef GYRE_TEST_FIXTURE_H
#define GYRE_TEST_FIXTURE_H

#include <gyre.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The loop of the test that runs. */
extern gyre_loop *loop;

int loop_set_up(void **state);
/* Shuts the loop down, unless the test did and set it to NULL; fails when that takes 20 s. */
int loop_tear_down(void **state);

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, loop_set_up, loop_tear_down)

/* Adds a word to the journal. */
void journal(const char *word);
/* Compares the journal, words with one space between, and empties it. */
#define assert_journal(expected) journal_check(expected, __FILE__, __LINE__)
void journal_check(const char *expected, const char *file, int line);

/* Add the handle's name to the journal. */
void journal_timer(gyre_timer *timer);
void journal_hook(gyre_hook *hook);
void journal_async(gyre_async *async);
void journal_close(gyre_handle *handle);
/* Add the text that `data` points to. */
void journal_deferred(gyre_deferred *deferred);
void journal_post(gyre_post_node *node, int status);

/* Zeroed memory that lasts until the loop was torn down, as a handle must. */
void *lasting(size_t bytes);
/* New handles of the test's loop, with a name, in such memory. */
gyre_timer *timer_new(const char *name);
gyre_hook *hook_new(const char *name, gyre_hook_phase phase);
gyre_async *async_new(const char *name, gyre_async_cb cb);
gyre_deferred *deferred_new(const char *name);
gyre_post_node *post_new(const char *name);

/* Notes a descriptor that is to be closed when the loop was torn down. */
int lasting_fd(int fd);
/* Two connected sockets, unix or TCP over the loopback, non-blocking. */
void unix_pair(int fds[2]);
void tcp_pair(int fds[2]);
/* Streams of the test's loop around one half of a pair; the other half, lasting, is in `peer`. */
gyre_tcp *tcp_new(const char *name, int *peer);
gyre_pipe *pipe_new(const char *name, int *peer);
/* A watcher of one half of a pair of unix sockets, both lasting. */
gyre_poll *poll_new(const char *name, int *peer);

/* Whether the test's loop runs on the backend `name`. */
bool backend_is(const char *name);
/* CLOCK_MONOTONIC and CLOCK_REALTIME, in nanoseconds. */
uint64_t clock_ns(void);
int64_t wall_clock_ns(void);
/* Keeps the processor busy for so long, as a slow callback does. */
void burn_ns(uint64_t duration_ns);
/* The factor for time limits: more than 1 under a sanitizer. */
unsigned slowness(void);

/* Runs `body` in a forked child, its standard error shut; true if it died of abort(). */
bool aborts(void (*body)(void));
/* Runs `body` in a child: the status it returns, or minus the signal that ended it. */
int child_result(int (*body)(void));
/* Waits for a child; as child_result. */
int child_wait(int pid);

#endif
