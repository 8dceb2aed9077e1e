/* Sockets to the server: TCP on loopback with TCP_NODELAY, or unix. */
#include "load.h"

#include "../common/util.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { SOURCES = 250 };

const struct sockaddr *load_address(const struct load_options *options, uint32_t *length)
{
    static union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_un un;
    } address;
    if (options->unix_path != NULL) {
        address.un.sun_family = AF_UNIX;
        strncpy(address.un.sun_path, options->unix_path, sizeof address.un.sun_path - 1);
        *length = sizeof address.un;
    } else {
        address.in.sin_family = AF_INET;
        address.in.sin_port = htons((uint16_t)options->port);
        address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        *length = sizeof address.in;
    }
    return &address.any;
}

static void bind_source(int fd, uint32_t turn)
{
    struct sockaddr_in source = {.sin_family = AF_INET};
    const int on = 1;
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + turn % SOURCES);
    if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&source, sizeof source) < 0) {
        bench_die("bind");
    }
}

int load_socket(const struct load_options *options, uint32_t turn)
{
    const int on = 1;
    bool is_unix = options->unix_path != NULL;
    int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        bench_die("socket");
    }
    if (!is_unix) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (turn > 0) {
            bind_source(fd, turn);
        }
    }
    return fd;
}

int load_connect(const struct load_options *options)
{
    static uint32_t connected;
    uint32_t length;
    const struct sockaddr *address = load_address(options, &length);
    int fd = load_socket(options, 0);
    if (connect(fd, address, length) < 0) {
        bench_die("connect");
    }
    /* On one core the server must get its turn before its backlog is full. */
    if (++connected % 256 == 0) {
        usleep(2000);
    }
    return fd;
}
