/*
 * From one program to the next in the same process: its number, its children, its sockets stay.
 *
 * What the next one must know is written into a memory file that survives execve, as lines of
 * words, so that two versions of the library can read each other: a line whose first word is not
 * known is skipped. All descriptors are close-on-exec but for the moment of the call.
 */
#include "cluster/master.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { VERSION = 1, LINE_ROOM = 512 };

/* ---- giving ---- */

static void write_lines(const gyrei_master *master, FILE *file)
{
    const gyrei_plan *plan = &master->plan;
    const gyrei_sockets *sockets = &master->sockets;

    fprintf(file, "gyre %d\n", VERSION);
    fprintf(file, "plan %u %u %u %u\n", plan->count, plan->generation, plan->last_id,
            master->wanted);
    fprintf(file, "pending %u %d\n", plan->wanted_count, master->upgrade_wanted ? 1 : 0);
    fprintf(file, "inherited %d\n", sockets->inherited ? 1 : 0);
    for (uint32_t i = 0; i < sockets->count; i++) {
        const gyrei_socket *socket = &sockets->all[i];

        fprintf(file, "socket %d %u %u %d\n", socket->fd, socket->address, socket->slot,
                socket->shared ? 1 : 0);
    }
    for (const gyrei_child *child = master->children; child != NULL; child = child->next) {
        const gyrei_planned *worker = gyrei_plan_find(plan, child->id);

        if (worker != NULL)
            fprintf(file, "worker %u %u %u %u %" PRIu64 " %" PRIu64 " %ld %d\n", worker->id,
                    worker->slot, worker->generation, worker->state, worker->ready_ns,
                    worker->deadline_ns, (long)child->pid, child->control);
    }
}

static int write_state(const gyrei_master *master)
{
    const int fd = memfd_create("gyre-master", MFD_CLOEXEC);
    FILE *file = fd >= 0 ? fdopen(dup(fd), "w") : NULL;

    if (file == NULL) {
        if (fd >= 0)
            close(fd);
        return GYRE_EMFILE;
    }
    write_lines(master, file);
    if (fclose(file) != 0 || lseek(fd, 0, SEEK_SET) != 0) {
        close(fd);
        return GYRE_ENOMEM;
    }
    return fd;
}

static void set_kept(const gyrei_master *master, int state, int flags)
{
    (void)fcntl(state, F_SETFD, flags);
    for (uint32_t i = 0; i < master->sockets.count; i++)
        (void)fcntl(master->sockets.all[i].fd, F_SETFD, flags);
    for (const gyrei_child *child = master->children; child != NULL; child = child->next)
        (void)fcntl(child->control, F_SETFD, flags);
}

int gyrei_handover(gyrei_master *master)
{
    const int state = write_state(master);
    char variable[64];
    char **env;
    int error;

    if (state < 0)
        return state;
    (void)snprintf(variable, sizeof(variable), GYREI_MASTER_VARIABLE "=%d", state);
    env = gyrei_environment(variable, false);
    set_kept(master, state, 0);
    errno = ENOMEM;
    if (env != NULL)
        (void)execve(master->program.path, master->program.argv, env);
    error = -errno;
    set_kept(master, state, FD_CLOEXEC);
    free(env);
    close(state);
    return error;
}

/* ---- taking ---- */

bool gyrei_handover_is_due(void)
{
    return getenv(GYREI_MASTER_VARIABLE) != NULL;
}

/* NOLINTBEGIN(cert-err34-c): the numbers were written by this program, a moment before. */
static int take_socket(gyrei_sockets *sockets, const char *words)
{
    gyrei_socket one;
    gyre_address *address;
    socklen_t len = sizeof(address->u);
    int shared;

    if (sscanf(words, "%d %u %u %d", &one.fd, &one.address, &one.slot, &shared) != 4 ||
        one.address >= GYREI_ADDRESSES_MAX)
        return GYRE_EINVAL;
    one.shared = shared != 0;
    address = &sockets->addresses[one.address];
    if (getsockname(one.fd, &address->u.any, &len) != 0 || fcntl(one.fd, F_SETFD, FD_CLOEXEC) != 0)
        return -errno;
    address->len = len;
    if (one.address >= sockets->address_count)
        sockets->address_count = one.address + 1;
    return gyrei_sockets_add(sockets, &one);
}

static int take_worker(gyrei_master *master, const char *words)
{
    gyrei_planned worker = {.id = 0};
    gyrei_spawned process;
    gyrei_child *child;
    long pid;
    int error;

    if (sscanf(words, "%u %u %u %u %" SCNu64 " %" SCNu64 " %ld %d", &worker.id, &worker.slot,
               &worker.generation, &worker.state, &worker.ready_ns, &worker.deadline_ns, &pid,
               &process.control) != 8)
        return GYRE_EINVAL;
    process.pid = (pid_t)pid;
    if (fcntl(process.control, F_SETFD, FD_CLOEXEC) != 0)
        return -errno;
    error = gyrei_child_add(master, worker.id, worker.slot, &process);
    if (error != 0)
        return error;
    child = gyrei_child_find(master, worker.id);
    child->ready = worker.state != GYREI_WORKER_STARTING;
    child->wanted = worker.state <= GYREI_WORKER_READY;
    return gyrei_plan_adopt(&master->plan, &worker) ? 0 : GYRE_ENOMEM;
}

static int take_plan(gyrei_master *master, const char *words)
{
    uint32_t count;
    uint32_t generation;
    uint32_t last_id;

    if (sscanf(words, "%u %u %u %u", &count, &generation, &last_id, &master->wanted) != 4 ||
        count == 0 || count > GYREI_SLOTS_MAX)
        return GYRE_EINVAL;
    gyrei_plan_resume(&master->plan, count, generation, last_id);
    return 0;
}

static int take_pending(gyrei_master *master, const char *words)
{
    uint32_t count;
    int upgrade;

    if (sscanf(words, "%u %d", &count, &upgrade) != 2 || count > GYREI_SLOTS_MAX)
        return GYRE_EINVAL;
    master->plan.wanted_count = count;
    master->upgrade_wanted = upgrade != 0;
    return 0;
}
/* NOLINTEND(cert-err34-c) */

/* The words behind the first one, if that is `word`. */
static const char *words_of(const char *line, const char *word)
{
    const size_t len = strlen(word);

    return strncmp(line, word, len) == 0 && line[len] == ' ' ? line + len + 1 : NULL;
}

static int take_line(gyrei_master *master, const char *line)
{
    const char *words;

    if ((words = words_of(line, "plan")) != NULL)
        return take_plan(master, words);
    if ((words = words_of(line, "pending")) != NULL)
        return take_pending(master, words);
    if ((words = words_of(line, "inherited")) != NULL)
        master->sockets.inherited = *words == '1';
    if ((words = words_of(line, "socket")) != NULL)
        return take_socket(&master->sockets, words);
    if ((words = words_of(line, "worker")) != NULL)
        return take_worker(master, words);
    return 0;
}

int gyrei_handover_take(gyrei_master *master)
{
    const char *number = getenv(GYREI_MASTER_VARIABLE);
    FILE *file = number != NULL ? fdopen((int)strtol(number, NULL, 10), "r") : NULL;
    char line[LINE_ROOM];
    int error = 0;

    if (file == NULL)
        return GYRE_EINVAL;
    while (error == 0 && fgets(line, sizeof(line), file) != NULL)
        error = take_line(master, line);
    fclose(file);
    (void)unsetenv(GYREI_MASTER_VARIABLE);
    return error == 0 && master->plan.count == 0 ? GYRE_EINVAL : error;
}
