/* Processor time of another process, from the scheduler's own account in nanoseconds.
 * The account of a running thread is brought up to date only at ticks and switches, so it is exact
 * when the process sleeps: a window begins and ends there. */
#include "load.h"

#include "../common/util.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { REST_TRIES = 500, REST_US = 1000 };

static uint64_t thread_cpu_ns(const char *folder, const char *thread)
{
    char path[512];
    uint64_t ns = 0;
    snprintf(path, sizeof path, "%s/%s/schedstat", folder, thread);
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        if (fscanf(file, "%" SCNu64, &ns) != 1) {
            ns = 0;
        }
        fclose(file);
    }
    return ns;
}

uint64_t load_process_cpu_ns(int pid)
{
    char folder[64];
    uint64_t ns = 0;
    if (pid == 0) {
        return 0;
    }
    snprintf(folder, sizeof folder, "/proc/%d/task", pid);
    DIR *threads = opendir(folder);
    if (threads == NULL) {
        bench_die("the server is gone");
    }
    for (const struct dirent *entry = readdir(threads); entry != NULL; entry = readdir(threads)) {
        if (entry->d_name[0] != '.') {
            ns += thread_cpu_ns(folder, entry->d_name);
        }
    }
    closedir(threads);
    return ns;
}

void load_await_rest(int pid)
{
    uint64_t before = load_process_cpu_ns(pid);
    for (int i = 0; i < REST_TRIES && pid != 0; i++) {
        usleep(REST_US);
        uint64_t now = load_process_cpu_ns(pid);
        if (now == before) {
            return;
        }
        before = now;
    }
}
