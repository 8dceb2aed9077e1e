/*
 * The other side of a test's streams: raw sockets that the test itself reads and writes.
 */
#ifndef GYRE_TEST_PEERS_H
#define GYRE_TEST_PEERS_H

#include "fixture.h"

/* Runs turns, which may wait, until *count has come to `goal`. */
void run_until(const int *count, int goal);
/* Runs so many turns that do not wait. */
void run_turns(int turns);

/* A TCP listener of the test's loop on a port of its own. */
gyre_tcp *listener_new(gyre_listen_cb cb);
/* A connection to it, non-blocking and lasting; -1 when the test has no descriptor left. */
int peer_connect(const gyre_tcp *listener);

/* Sends all of them; the socket has room. */
void peer_send(int fd, const void *bytes, size_t len);
/* Reads what is there, at most `room`, and returns its length. */
size_t peer_receive(int fd, void *bytes, size_t room);
/* Whether the end of stream, or a reset, is all that is left to read. */
bool peer_is_at_end(int fd);
bool peer_is_reset(int fd);
/* Writes into a socket until it takes no more; the number of bytes. */
size_t fill(int fd);

#endif
