/*
 * The program: `gyre COMMAND [options]`.
 */
#include "command.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
#if defined(GYRE_HAVE_HTTP)
    {"serve", gyre_cmd_serve, "serve the files of a directory over HTTP/1.1"},
#endif
    {"echo", gyre_cmd_echo, "send back what arrives"},
    {"sim", gyre_cmd_sim, "run seeds on the simulated kernel"},
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void usage(FILE *to)
{
    fputs("usage: gyre COMMAND [options]\n\ncommands:\n", to);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].summary);
    fputs(
        "\n`gyre COMMAND --help` lists a command's options; `gyre --version` says which this is.\n",
        to);
}

/* A standard stream that is closed would give its number to a socket, and our lines to a client. */
static void open_standard_streams(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    /* A reader of our output that goes away is an error of a write, not our end. */
    signal(SIGPIPE, SIG_IGN);
    open_standard_streams();
    if (argc < 2) {
        usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        usage(stdout);
        return show("");
    }
    if (strcmp(argv[1], "--version") == 0)
        return show_version();
    for (int i = 0; i < COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    return fail(EXIT_USAGE, "\"%s\" is no command; try gyre --help", argv[1]);
}
