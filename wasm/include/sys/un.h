/* WASI's address of a unix socket has no path. */
#ifndef GYRE_WASM_SYS_UN_H
#define GYRE_WASM_SYS_UN_H

#include <sys/socket.h>

struct sockaddr_un {
    sa_family_t sun_family;
    char sun_path[108];
};

#endif
