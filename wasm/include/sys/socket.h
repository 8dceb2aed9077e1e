/*
 * What WASI's sockets lack and the library names. Numbers are Linux's where the simulated kernel and the library only have
 * to agree with each other.
 */
#ifndef GYRE_WASM_SYS_SOCKET_H
#define GYRE_WASM_SYS_SOCKET_H

#include_next <sys/socket.h>

/* They are in the simulator's trace, whose hash shall be the same everywhere. */
#undef AF_UNIX
#undef AF_INET
#undef AF_INET6
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10

#define SO_REUSEADDR 2
#define SO_ERROR 4
#define SO_KEEPALIVE 9
#define SO_LINGER 13
#define SO_REUSEPORT 15
#define SO_ACCEPTCONN 30
#define SO_DOMAIN 39
#ifndef SHUT_RD
#define SHUT_RD 0
#endif
#ifndef SHUT_WR
#define SHUT_WR 1
#endif
#ifndef SHUT_RDWR
#define SHUT_RDWR 2
#endif

#endif
