/*
 * The program: `gyre COMMAND [options]`.
 */
#include "command.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
#if defined(GYRE_HAVE_HTTP)
    {"serve", gyre_cmd_serve, "serve the files of a directory over HTTP/1.1"},
#endif
    {"echo", gyre_cmd_echo, "send back what arrives"},
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static int usage(FILE *to)
{
    fputs("usage: gyre COMMAND [options]\n\ncommands:\n", to);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].summary);
    fputs(
        "\n`gyre COMMAND --help` lists a command's options; `gyre --version` says which this is.\n",
        to);
    return to == stdout ? EXIT_OK : EXIT_USAGE;
}

int main(int argc, char **argv)
{
    /* A reader of our output that goes away is an error of a write, not our end. */
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2)
        return usage(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return usage(stdout);
    if (strcmp(argv[1], "--version") == 0) {
        printf("gyre %s\n", gyre_version());
        return EXIT_OK;
    }
    for (int i = 0; i < COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    return fail(EXIT_USAGE, "\"%s\" is no command; try gyre --help", argv[1]);
}
