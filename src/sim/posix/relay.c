/*
 * Stacks of their own; see relay.h. The system's scheduler has no say: who does not run waits.
 */
#include "sim/posix/relay.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct gyrei_relay {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void (*run)(void *arg);
    void *arg;
    bool runs;
    bool ended;
    bool doomed; /* it ends where it stands */
};

static void stop(gyrei_relay *relay, bool ended)
{
    pthread_mutex_lock(&relay->lock);
    relay->runs = false;
    relay->ended = ended;
    pthread_cond_broadcast(&relay->changed);
    pthread_mutex_unlock(&relay->lock);
}

/* False: it is to end instead. */
static bool wait_for_turn(gyrei_relay *relay)
{
    bool doomed;

    pthread_mutex_lock(&relay->lock);
    while (!relay->runs)
        pthread_cond_wait(&relay->changed, &relay->lock);
    doomed = relay->doomed;
    pthread_mutex_unlock(&relay->lock);
    return !doomed;
}

static void *relay_main(void *arg)
{
    gyrei_relay *relay = arg;

    if (wait_for_turn(relay))
        relay->run(relay->arg);
    stop(relay, true);
    return NULL;
}

void gyrei_relay_suspend(gyrei_relay *relay)
{
    stop(relay, false);
    if (wait_for_turn(relay))
        return;
    stop(relay, true);
    pthread_exit(NULL);
}

void gyrei_relay_resume(gyrei_relay *relay)
{
    pthread_mutex_lock(&relay->lock);
    relay->runs = !relay->ended;
    pthread_cond_broadcast(&relay->changed);
    while (relay->runs)
        pthread_cond_wait(&relay->changed, &relay->lock);
    pthread_mutex_unlock(&relay->lock);
}

gyrei_relay *gyrei_relay_new(void (*run)(void *arg), void *arg)
{
    gyrei_relay *relay = calloc(1, sizeof(*relay));
    sigset_t all;
    sigset_t before;
    int error;

    if (relay == NULL)
        return NULL;
    relay->run = run;
    relay->arg = arg;
    pthread_mutex_init(&relay->lock, NULL); /* without attributes these two cannot fail */
    pthread_cond_init(&relay->changed, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&relay->thread, NULL, relay_main, relay);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        return relay;
    pthread_cond_destroy(&relay->changed);
    pthread_mutex_destroy(&relay->lock);
    free(relay);
    return NULL;
}

void gyrei_relay_free(gyrei_relay *relay)
{
    relay->doomed = true; /* it stands still: the lock of its next turn shows it this */
    gyrei_relay_resume(relay);
    pthread_join(relay->thread, NULL);
    pthread_cond_destroy(&relay->changed);
    pthread_mutex_destroy(&relay->lock);
    free(relay);
}
