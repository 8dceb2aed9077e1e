/* Exercise 07: your file. The contracts are in exercise.h, the page is README.md. */
#define _GNU_SOURCE
#include "exercise.h"

int pool_init(struct pool *pool, int threads)
{
    (void)pool; /* your code here */
    (void)threads;
    return -1;
}

void pool_submit(struct pool *pool, struct job *job)
{
    (void)pool;
    (void)job;
}

int pool_fd(const struct pool *pool)
{
    (void)pool;
    return -1;
}

int pool_finish(struct pool *pool)
{
    (void)pool;
    return 0;
}

void pool_close(struct pool *pool)
{
    (void)pool;
}
