/*
 * What the commands of the program share: the options that all servers have, and how they end.
 *
 * A command is a function of argc and argv, argv[0] being its name; it returns the exit code: 0, 1
 * for what went wrong, 2 for a command line that means nothing.
 */
#ifndef GYRE_CMD_COMMAND_H
#define GYRE_CMD_COMMAND_H

#include <gyre.h>

#include <stdbool.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

int gyre_cmd_echo(int argc, char **argv);
int gyre_cmd_serve(int argc, char **argv);
int gyre_cmd_sim(int argc, char **argv);

/* The options of every server. */
typedef struct server_options {
    const char *host;
    const char *local_path; /* --unix */
    const char *backend;
    uint16_t port;
    uint32_t threads; /* 0 is one, too */
    /* of a cluster; workers.c reads them */
    uint32_t workers; /* 0: no cluster */
    uint32_t retire_s;
    const char *pid_file;
    const char *user;
    const char *group;
    bool pin;
} server_options;

enum { THREADS_MAX = 1024, WORKERS_MAX = 1024 };

/* Text of these options for a help page. */
#define SERVER_OPTIONS_HELP(port)                                                                  \
    "  --host ADDRESS      address to listen on (default 127.0.0.1)\n"                             \
    "  --port PORT         port to listen on, 0 picks a free one (default " port ")\n"             \
    "  --unix PATH         listen on a unix socket instead\n"                                      \
    "  --backend NAME      epoll, poll or uring (default: the best that the kernel has)\n"         \
    "  --threads N         threads that serve, each with a loop of its own; auto is one a\n"       \
    "                      processor (default 1)\n"                                                \
    "  --workers N         processes that serve, under a master that replaces those that die,\n"   \
    "                      and all of them on SIGHUP; auto is one a processor\n"                   \
    "  --retire SECONDS    time for the connections of old workers (default 60)\n"                 \
    "  --user NAME         who the workers become; --group NAME likewise\n"                        \
    "  --pid-file FILE     where the master writes its number\n"                                   \
    "  --pin               each worker stays on one processor\n"                                   \
    "  --help              this page\n"                                                            \
    "  --version           which version this is\n"

/* How a command line was read: go on, or end with this exit code. */
typedef enum parsed { PARSED_GO_ON = -1 } parsed;

/*
 * Handles argv[*at] if it is one of the server options and moves *at beyond it; `used` says whether
 * it was. Returns PARSED_GO_ON or an exit code, having written `help`, the version, or a line to
 * standard error.
 */
int server_option(server_options *options, const char *help, int argc, char **argv, int *at,
                  bool *used);

/* Writes to standard output. Returns EXIT_OK, or EXIT_FAILED if that could not be written. */
int show(const char *text);
int show_version(void);

/* The value of an option that takes one: "--name value" or "--name=value"; NULL if argv[*at] is
 * another option. Sets `missing` when there is none. */
const char *option_value(const char *name, int argc, char **argv, int *at, bool *missing);

/* One line on standard error; returns `code`. */
int fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The options of a cluster: as server_option, but `missing` is the caller's to say. */
int workers_option(server_options *options, int argc, char **argv, int *at, bool *used,
                   bool *missing);
/* Whether they go together. 0 or an exit code. */
int check_workers(const server_options *options);

/* A whole number from min to max. */
bool read_whole(const char *text, uint32_t min, uint32_t max, uint32_t *number);
/* The same from 1, or "auto": one for each processor. */
bool read_count(const char *text, uint32_t max, uint32_t *number);

/* The address that the options mean. 0 or an exit code. */
int server_address(const server_options *options, gyre_address *address);

/* Writes "listening on SCHEME://HOST:PORT (backend NAME)" and flushes. */
void announce(const char *scheme, const gyre_address *address, const gyre_loop *loop);

/* As many descriptors as the process may have. */
void raise_descriptor_limit(void);
uint32_t descriptor_limit(void);

/* Calls `stop` at the first SIGTERM or SIGINT, `stop_now` at the second. Unreferenced. */
typedef struct stop_signals {
    gyre_signal watchers[2];
    void (*stop)(void *data);
    void (*stop_now)(void *data);
    void *data;
    int count;
} stop_signals;

int stop_signals_start(gyre_loop *loop, stop_signals *signals);
void stop_signals_close(stop_signals *signals);

#endif
