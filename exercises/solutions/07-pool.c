/* Exercise 07, solved: a pool of threads for what is slow. */
#define _GNU_SOURCE
#include "exercise.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void append(job_list *list, struct job *job)
{
    job->next = NULL;
    if (list->first == NULL)
        list->first = job;
    else
        list->last->next = job;
    list->last = job;
}

static struct job *take_first(job_list *list)
{
    struct job *job = list->first;

    if (job != NULL)
        list->first = job->next;
    return job;
}

/* After the job is in the list: a loop that is woken has to find it. */
static void signal_loop(struct pool *pool)
{
    const uint64_t one = 1;
    const ssize_t written = write(pool->signal_fd, &one, sizeof(one));

    (void)written; /* it fails only when the counter is full, and then the loop is woken anyway */
}

static void *thread_main(void *context)
{
    struct pool *pool = context;

    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct job *job;

        while (pool->waiting.first == NULL && !pool->closing)
            pthread_cond_wait(&pool->wake, &pool->lock);
        job = take_first(&pool->waiting);
        if (job == NULL)
            break;
        pthread_mutex_unlock(&pool->lock);
        job->work(job);
        pthread_mutex_lock(&pool->lock);
        append(&pool->ended, job);
        signal_loop(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

int pool_init(struct pool *pool, int threads)
{
    memset(pool, 0, sizeof(*pool));
    pool->signal_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (pool->signal_fd < 0)
        return -1;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    while (pool->thread_count < threads) {
        if (pthread_create(&pool->threads[pool->thread_count], NULL, thread_main, pool) != 0) {
            pool_close(pool);
            return -1;
        }
        pool->thread_count++;
    }
    return 0;
}

void pool_submit(struct pool *pool, struct job *job)
{
    pthread_mutex_lock(&pool->lock);
    append(&pool->waiting, job);
    pthread_cond_signal(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

int pool_fd(const struct pool *pool)
{
    return pool->signal_fd;
}

static void clear_signal(struct pool *pool)
{
    uint64_t count;
    const ssize_t got = read(pool->signal_fd, &count, sizeof(count));

    (void)got; /* nothing to read: no job has ended */
}

static job_list take_ended(struct pool *pool)
{
    job_list ended;

    pthread_mutex_lock(&pool->lock);
    ended = pool->ended;
    pool->ended.first = NULL;
    pthread_mutex_unlock(&pool->lock);
    return ended;
}

int pool_finish(struct pool *pool)
{
    job_list ended;
    struct job *job;
    int count = 0;

    /* In this order: what ends between the two is found now, and signalled once too often. */
    clear_signal(pool);
    ended = take_ended(pool);
    while ((job = take_first(&ended)) != NULL) {
        job->done(job);
        count++;
    }
    return count;
}

void pool_close(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    (void)pool_finish(pool);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    close(pool->signal_fd);
}
