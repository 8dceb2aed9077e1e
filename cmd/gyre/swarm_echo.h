/*
 * gyre sim: what the scenario "echo" lends to others: clients that talk to an echo server on the
 * first host, and know what must come back.
 */
#ifndef GYRE_CMD_SWARM_ECHO_H
#define GYRE_CMD_SWARM_ECHO_H

#include "swarm.h"

enum { ECHO_PORT = 7 };

extern const role echo_client;

#endif
