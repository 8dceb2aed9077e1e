/*
 * A relay: a stack of its own that runs only while somebody waits for it to stop again, so that of
 * all of them and the world one runs at a time. Made of a thread of the system, because the library
 * looks at who its caller is.
 *
 *   resume --> runs --suspend--> stands still --resume--> ... --main returns--> ended
 */
#ifndef GYREI_SIM_POSIX_RELAY_H
#define GYREI_SIM_POSIX_RELAY_H

#include <stdbool.h>

typedef struct gyrei_relay gyrei_relay;

/* It stands still at the beginning of `run`. NULL: the system has no more. */
gyrei_relay *gyrei_relay_new(void (*run)(void *arg), void *arg);
/* Runs it until it suspends itself or has ended. */
void gyrei_relay_resume(gyrei_relay *relay);
/* On the relay's own stack. */
void gyrei_relay_suspend(gyrei_relay *relay);
/* One that stands still ends there: nothing of it runs any more. */
void gyrei_relay_free(gyrei_relay *relay);

#endif
