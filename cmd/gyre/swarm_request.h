/*
 * gyre sim: what the programs of the scenario "request" share: the questions, and how a station
 * listens.
 */
#ifndef GYRE_CMD_SWARM_REQUEST_H
#define GYRE_CMD_SWARM_REQUEST_H

#include "swarm.h"

enum { REQUEST_PORT = 80, HEAD = 12, BODY_MAX = 20000, ASKED_MAX = 4 };

/* A question is a number and a length, an answer the same and its bytes. */
typedef struct head {
    uint64_t id;
    uint32_t len;
} head;

void pack(char *bytes, const head *value);
head unpack(const char *bytes);

typedef struct station {
    object base;
    gyre_tcp listener;
    gyre_timer pacer;
    bool listens;
    bool paces;
} station;

/* Listens on the host of that number, which is the program's. */
int station_listen(program *owner, uint32_t host, gyre_listen_cb cb);
void station_quit(program *owner);

extern const role request_server;
extern const role request_proxy;

#endif
