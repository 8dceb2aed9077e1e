/* The helpers of listener.h: plain blocking set-up code, run once. */
#include "listener.h"

#include "util.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct bench_listener bench_listener_parse(int argc, char **argv)
{
    struct bench_listener listener = {.is_unix = false, .path = NULL, .fd = -1};
    bench_process_setup();
    if (argc == 2 && strcmp(argv[1], "--tcp") == 0) {
        return listener;
    }
    if (argc == 3 && strcmp(argv[1], "--unix") == 0) {
        listener.is_unix = true;
        listener.path = argv[2];
        return listener;
    }
    fprintf(stderr, "usage: %s --tcp | --unix PATH\n", argv[0]);
    exit(2);
}

void bench_listener_announce(const struct bench_listener *listener, int port)
{
    if (listener->is_unix) {
        printf("listening on unix:%s\n", listener->path);
    } else {
        printf("listening on tcp://127.0.0.1:%d\n", port);
    }
    fflush(stdout);
}

static int listen_tcp(int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        listen(fd, BENCH_BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0) {
        bench_die("listen");
    }
    *port = ntohs(address.sin_port);
    return fd;
}

static int listen_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (strlen(path) >= sizeof address.sun_path) {
        bench_die("the socket's path is too long");
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(fd, BENCH_BACKLOG) < 0) {
        bench_die("listen");
    }
    return fd;
}

struct bench_listener bench_listener_open(int argc, char **argv)
{
    struct bench_listener listener = bench_listener_parse(argc, argv);
    int port = 0;
    listener.fd = listener.is_unix ? listen_unix(listener.path) : listen_tcp(&port);
    bench_listener_announce(&listener, port);
    return listener;
}
