/* Exercise 08: your file. The contracts are in exercise.h, the page is README.md. */
#define _GNU_SOURCE
#include "exercise.h"

int cluster_open(struct cluster *cluster, int workers, worker_main main, void *data)
{
    (void)cluster; /* your code here */
    (void)workers;
    (void)main;
    (void)data;
    return -1;
}

int cluster_start(struct cluster *cluster)
{
    (void)cluster;
    return -1;
}

int cluster_wait(struct cluster *cluster)
{
    (void)cluster;
    return -1;
}

void cluster_stop(struct cluster *cluster)
{
    (void)cluster;
}
