/* Exercise 08, solved: many workers on one port. */
#define _GNU_SOURCE
#include "exercise.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A listening socket on *port, which it sets if it was 0. */
static int open_listener(uint16_t *port)
{
    const int one = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0 ||
        bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, CLUSTER_BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        close(fd);
        return -1;
    }
    *port = ntohs(address.sin_port);
    return fd;
}

static void close_listeners(struct cluster *cluster)
{
    for (int i = 0; i < cluster->count; i++)
        close(cluster->slots[i].listener);
    cluster->count = 0;
}

int cluster_open(struct cluster *cluster, int workers, worker_main main, void *data)
{
    memset(cluster, 0, sizeof(*cluster));
    cluster->main = main;
    cluster->data = data;
    while (cluster->count < workers) {
        const int fd = open_listener(&cluster->port);

        if (fd < 0) {
            close_listeners(cluster);
            return -1;
        }
        cluster->slots[cluster->count++].listener = fd;
    }
    return 0;
}

static int start_worker(struct cluster *cluster, int index)
{
    const pid_t pid = fork();

    if (pid < 0)
        return -1;
    if (pid == 0) {
        for (int i = 0; i < cluster->count; i++) {
            if (i != index)
                close(cluster->slots[i].listener);
        }
        _exit(cluster->main(cluster->slots[index].listener, index, cluster->data));
    }
    cluster->slots[index].pid = pid;
    return 0;
}

int cluster_start(struct cluster *cluster)
{
    for (int i = 0; i < cluster->count; i++) {
        if (start_worker(cluster, i) != 0)
            return -1;
    }
    return 0;
}

/* The slot of a process that has ended, which is empty from now on; -1: none is left. */
static int wait_for_one(struct cluster *cluster, int *status)
{
    for (;;) {
        const pid_t pid = waitpid(-1, status, 0);

        if (pid < 0 && errno != EINTR)
            return -1;
        for (int i = 0; pid > 0 && i < cluster->count; i++) {
            if (cluster->slots[i].pid == pid) {
                cluster->slots[i].pid = 0;
                return i;
            }
        }
    }
}

int cluster_wait(struct cluster *cluster)
{
    int status = 0;
    const int index = wait_for_one(cluster, &status);

    if (index >= 0 && status != 0 && cluster->slots[index].restarts < CLUSTER_RESTARTS_MAX) {
        cluster->slots[index].restarts++;
        (void)start_worker(cluster, index);
    }
    return index;
}

void cluster_stop(struct cluster *cluster)
{
    int status;

    for (int i = 0; i < cluster->count; i++) {
        if (cluster->slots[i].pid > 0)
            kill(cluster->slots[i].pid, SIGTERM);
    }
    while (wait_for_one(cluster, &status) >= 0)
        ;
    close_listeners(cluster);
}
