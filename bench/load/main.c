/* The command line of load.h, and the line protocol of its windows. */
#include "load.h"

#include "../common/util.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t own_cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void print_window(const struct load_window *window, uint64_t elapsed_ns, uint64_t server_ns,
                         uint64_t load_ns)
{
    const struct load_hist *latency = &window->latency;
    printf("{\"requests\": %" PRIu64 ", \"seconds\": %.6f, \"server_cpu_ns\": %" PRIu64
           ", \"load_cpu_ns\": %" PRIu64 ", \"p50_ns\": %" PRIu64 ", \"p90_ns\": %" PRIu64
           ", \"p99_ns\": %" PRIu64 ", \"p999_ns\": %" PRIu64 ", \"max_ns\": %" PRIu64 "}\n",
           window->requests, (double)elapsed_ns / 1e9, server_ns, load_ns,
           load_hist_at(latency, .5), load_hist_at(latency, .9), load_hist_at(latency, .99),
           load_hist_at(latency, .999), latency->max_ns);
    fflush(stdout);
}

static void run_window(const struct load_options *options, uint64_t length_ms)
{
    static struct load_window window;
    memset(&window, 0, sizeof window);
    load_await_rest(options->pid);
    uint64_t server_ns = load_process_cpu_ns(options->pid);
    uint64_t load_ns = own_cpu_ns();
    uint64_t begin = bench_now_ns();
    window.deadline_ns = begin + length_ms * 1000000u;
    if (options->churn) {
        load_churn_run(&window);
    } else {
        load_echo_run(&window);
    }
    uint64_t elapsed = bench_now_ns() - begin;
    load_ns = own_cpu_ns() - load_ns;
    load_await_rest(options->pid);
    print_window(&window, elapsed, load_process_cpu_ns(options->pid) - server_ns, load_ns);
}

static void usage(void)
{
    fputs("usage: load (--tcp PORT | --unix PATH) [--conns N] [--depth D] [--size BYTES]\n"
          "            [--idle M] [--churn] [--pid PID]\n"
          "then one line \"run MS\" on standard input for each window\n",
          stderr);
    exit(2);
}

static uint32_t number(const char *text, uint32_t least, uint32_t most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < least || value > most) {
        usage();
    }
    return (uint32_t)value;
}

static struct load_options parse(int argc, char **argv)
{
    static const struct option names[] = {
        {"tcp", required_argument, NULL, 't'},
        {"unix", required_argument, NULL, 'u'},
        {"conns", required_argument, NULL, 'c'},
        {"depth", required_argument, NULL, 'd'},
        {"size", required_argument, NULL, 's'},
        {"idle", required_argument, NULL, 'i'},
        {"churn", no_argument, NULL, 'x'},
        {"pid", required_argument, NULL, 'p'},
        {NULL, 0, NULL, 0},
    };
    struct load_options options = {.conns = 1, .depth = 1, .size = 64};
    for (int c = getopt_long(argc, argv, "", names, NULL); c != -1;
         c = getopt_long(argc, argv, "", names, NULL)) {
        switch (c) {
        case 't': options.port = (int)number(optarg, 1, 65535); break;
        case 'u': options.unix_path = optarg; break;
        case 'c': options.conns = number(optarg, 0, 19000); break;
        case 'd': options.depth = number(optarg, 1, 1024); break;
        case 's': options.size = number(optarg, 1, LOAD_SIZE_MAX); break;
        case 'i': options.idle = number(optarg, 0, 19000); break;
        case 'x': options.churn = true; break;
        case 'p': options.pid = (int)number(optarg, 1, 1 << 30); break;
        default: usage();
        }
    }
    if ((options.port == 0) == (options.unix_path == NULL) || optind != argc) {
        usage();
    }
    return options;
}

int main(int argc, char **argv)
{
    static struct load_options options;
    char line[64];
    bench_process_setup();
    options = parse(argc, argv);
    if (options.churn) {
        load_churn_open(&options);
    } else {
        load_echo_open(&options);
    }
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        unsigned long length_ms;
        if (sscanf(line, "run %lu", &length_ms) != 1) {
            usage();
        }
        run_window(&options, length_ms);
    }
    return 0;
}
