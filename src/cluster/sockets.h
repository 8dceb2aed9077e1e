/*
 * The listening sockets of a cluster. They are the master's as long as it lives: a queue of
 * connections is never closed under a client because a worker goes.
 *
 * A TCP address has a socket for each slot, joined by SO_REUSEPORT; the kernel spreads connections
 * over them. A unix address, or a socket from systemd, is shared by all workers. A worker of slot s
 * among n serves the sockets s, s + n, ...: so that none is left alone when there are fewer.
 */
#ifndef GYREI_CLUSTER_SOCKETS_H
#define GYREI_CLUSTER_SOCKETS_H

#include "gyre/address.h"

#include <stdbool.h>
#include <stdint.h>

enum { GYREI_ADDRESSES_MAX = 16, GYREI_SLOTS_MAX = 1024 };

typedef struct gyrei_socket {
    int fd;
    uint32_t address;
    uint32_t slot;
    bool shared;
} gyrei_socket;

typedef struct gyrei_sockets {
    gyre_address addresses[GYREI_ADDRESSES_MAX]; /* as bound */
    uint32_t address_count;
    bool inherited; /* from systemd: nothing of it is ours to remove */
    gyrei_socket *all;
    uint32_t count;
    uint32_t room;
} gyrei_sockets;

/* Takes systemd's sockets, or binds the addresses, for `slots` workers. GYRE_E*, or 0. */
int gyrei_sockets_open(gyrei_sockets *sockets, const gyre_address *addresses,
                       uint32_t address_count, uint32_t slots);
/* There are more slots now. GYRE_E*: fewer sockets than that, and all is as good as before. */
int gyrei_sockets_grow(gyrei_sockets *sockets, uint32_t slots);
/* One that exists already. GYRE_E*, or 0. */
int gyrei_sockets_add(gyrei_sockets *sockets, const gyrei_socket *socket);
/* Closes them and removes unix paths. */
void gyrei_sockets_close(gyrei_sockets *sockets);

/* Whether the worker of a slot, of so many, serves it. */
bool gyrei_socket_is_served_by(const gyrei_socket *socket, uint32_t slot, uint32_t slots);

#endif
