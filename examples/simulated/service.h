/*
 * A small service as a user might write it: a client sends a line, and after a while shuts its
 * writing half; the server thinks and answers with the line's length. It knows nothing of the
 * simulator.
 */
#ifndef SERVICE_H
#define SERVICE_H

#include <gyre.h>

/* Listens on `address`. 0 or a GYRE_E*. */
int service_start(gyre_loop *loop, const gyre_address *address);

/* Asks once. `cb` is called once: with the answer, or a GYRE_E*. */
typedef void (*service_answer_cb)(void *ctx, int64_t answer);
int service_ask(gyre_loop *loop, const gyre_address *address, const char *line,
                service_answer_cb cb, void *ctx);

#endif
