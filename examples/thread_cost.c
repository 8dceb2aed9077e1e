/*
 * What a thread for each connection costs: memory that a waiting thread holds, in the process and
 * in the kernel, and how often the processor switches for each line that is served.
 * usage: thread_cost [CONNECTIONS]
 *
 * Each connection is a pair of unix sockets, and has a thread that reads and answers. Bare threads:
 * beside this stands an event loop, whose connection costs a few hundred bytes and no switch of its
 * own.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

enum { LINE = 16, SERVED_MAX = 20000 };

static const char *const fields[][2] = {
    {"/proc/self/status", "VmRSS:"},
    {"/proc/self/status", "VmPTE:"},
    {"/proc/meminfo", "KernelStack:"},
    {"/proc/meminfo", "Slab:"},
};
static const char *const names[] = {"pages touched", "page tables", "stack in the kernel",
                                    "what describes it there"};
enum { FIELDS = sizeof(fields) / sizeof(fields[0]) };

static int pairs[SERVED_MAX][2];

/* In KiB. */
static long field(const char *path, const char *name)
{
    FILE *file = fopen(path, "r");
    char line[256];
    long value = 0;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtol(line + strlen(name), NULL, 10);
    }
    if (file != NULL)
        (void)fclose(file);
    return value;
}

static void look(long *kib)
{
    for (int i = 0; i < FIELDS; i++)
        kib[i] = field(fields[i][0], fields[i][1]);
}

static void *serve(void *pair)
{
    const int fd = ((const int *)pair)[0];
    char line[LINE];
    ssize_t len;

    while ((len = read(fd, line, sizeof(line))) > 0 && write(fd, line, (size_t)len) == len)
        ;
    return NULL;
}

/* A line for each connection, and its answer. */
static int ask_all(int count)
{
    char line[LINE] = "hello";

    for (int i = 0; i < count; i++) {
        if (write(pairs[i][1], line, LINE) != LINE)
            return -1;
    }
    for (int i = 0; i < count; i++) {
        if (read(pairs[i][1], line, LINE) != LINE)
            return -1;
    }
    return 0;
}

static int start(int count)
{
    for (int i = 0; i < count; i++) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, serve, pairs[i]) != 0 || pthread_detach(thread) != 0)
            return -1;
    }
    return ask_all(count); /* by then each has run, and waits */
}

int main(int argc, char **argv)
{
    const int count = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1000;
    const struct rlimit files = {2 * SERVED_MAX + 64, 2 * SERVED_MAX + 64};
    struct rusage before;
    struct rusage after;
    long kib[2][FIELDS];
    long sum = 0;

    if (count < 1 || count > SERVED_MAX)
        return 2;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    for (int i = 0; i < count; i++) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]) != 0)
            return perror("socketpair"), 1;
    }
    look(kib[0]);
    if (start(count) != 0)
        return perror("threads"), 1;
    look(kib[1]);
    for (int i = 0; i < FIELDS; i++) {
        printf("%-24s %6.1f KiB a thread\n", names[i], (double)(kib[1][i] - kib[0][i]) / count);
        sum += kib[1][i] - kib[0][i];
    }
    printf("%-24s %6.1f KiB a thread\n", "all of it", (double)sum / count);
    (void)getrusage(RUSAGE_SELF, &before);
    if (ask_all(count) != 0)
        return perror("a line"), 1;
    (void)getrusage(RUSAGE_SELF, &after);
    printf("%-24s %6.1f a line\n", "switches",
           (double)(after.ru_nvcsw + after.ru_nivcsw - before.ru_nvcsw - before.ru_nivcsw) / count);
    return 0;
}
