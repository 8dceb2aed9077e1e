/*
 * The backends of this platform, for select.c; and the epoll poller, for io_uring's foreign
 * descriptors.
 */
#ifndef GYREI_BACKEND_BACKENDS_H
#define GYREI_BACKEND_BACKENDS_H

#include "backend/ready.h"

extern const gyrei_backend_ops gyrei_backend_epoll;
extern const gyrei_backend_ops gyrei_backend_poll;
extern const gyrei_backend_ops gyrei_backend_uring;

extern const gyrei_poller_ops gyrei_poller_epoll;

#endif
