/*
 * Actors: each has a mailbox on a loop of its own and acts only on the messages in it, so that none
 * needs a lock. Here they stand in a ring and pass tokens round. usage: actors [ACTORS [TOKENS
 * [HOPS]]]; prints how many messages each actor has got.
 */
#include <gyre.h>

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

enum { ACTORS_MAX = 64, TOKENS_MAX = 1000 };

typedef struct token {
    uint32_t hops_left;
} token;

typedef struct actor {
    gyre_mailbox mailbox;
    gyre_sender *door; /* the mailbox, as others see it */
    uint64_t received;
} actor;

static actor actors[ACTORS_MAX];
static uint32_t actor_count = 4;
static uint32_t token_count = 16;
static uint32_t hop_count = 1000;
static uint32_t tokens_left; /* atomic */
static sem_t all_done;

static void on_token(gyre_mailbox *mailbox, void *item, int status)
{
    actor *self = mailbox->data;
    token *one = item;
    actor *next = &actors[(self - actors + 1) % actor_count];

    if (status != 0)
        return; /* the mailbox was closed before its turn came */
    self->received++;
    if (one->hops_left-- > 1) {
        /* No mailbox is ever full: each has room for all tokens. */
        (void)gyre_sender_send(next->door, one);
    } else if (__atomic_sub_fetch(&tokens_left, 1, __ATOMIC_ACQ_REL) == 0) {
        sem_post(&all_done);
    }
}

static int set_up(gyre_group *of, uint32_t index, gyre_loop *loop, void *ctx)
{
    actor *self = &actors[index];
    const int error = gyre_mailbox_init(loop, &self->mailbox, sizeof(token), TOKENS_MAX, on_token);

    (void)of;
    (void)ctx;
    if (error != 0)
        return error;
    self->mailbox.data = self;
    self->door = gyre_mailbox_sender(&self->mailbox);
    return 0;
}

/* A mailbox keeps its loop alive: to close it ends the actor. */
static void drain(gyre_group *of, uint32_t index, gyre_loop *loop, void *ctx)
{
    (void)of;
    (void)loop;
    (void)ctx;
    gyre_close(&actors[index].mailbox.handle, NULL);
}

static uint32_t number(const char *text, uint32_t least, uint32_t most)
{
    const unsigned long value = strtoul(text, NULL, 10);

    return value < least ? least : value > most ? most : (uint32_t)value;
}

int main(int argc, char **argv)
{
    const gyre_group_options options = {.size = sizeof(options), .name = "actor", .drain = drain};
    gyre_group *group;
    token one;
    int error;

    actor_count = argc > 1 ? number(argv[1], 1, ACTORS_MAX) : actor_count;
    token_count = argc > 2 ? number(argv[2], 1, TOKENS_MAX) : token_count;
    hop_count = argc > 3 ? number(argv[3], 1, 1000000000) : hop_count;
    tokens_left = token_count;
    sem_init(&all_done, 0, 0);
    error = gyre_group_open(&group, actor_count, &options, set_up);
    if (error != 0) {
        (void)fprintf(stderr, "actors: %s\n", gyre_strerror(error));
        return 1;
    }
    one.hops_left = hop_count;
    for (uint32_t i = 0; i < token_count; i++)
        (void)gyre_sender_send(actors[i % actor_count].door, &one);
    sem_wait(&all_done);
    error = gyre_group_close(group, UINT64_MAX);
    for (uint32_t i = 0; i < actor_count; i++) {
        printf("actor %u: %llu messages\n", i, (unsigned long long)actors[i].received);
        gyre_sender_unref(actors[i].door);
    }
    return error == 0 ? 0 : 1;
}
