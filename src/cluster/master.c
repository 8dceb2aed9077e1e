/*
 * A master: it holds the sockets, and turns signals, deaths and time into events of the plan. It
 * serves nothing itself, so that nothing can bring it down.
 *
 * Its signals are blocked before the first worker is started and let in once they are watched:
 * none is lost, and none meets a process that would die of it.
 */
#include "cluster/master.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 512, SIGNALS_MAX = 32 };

void gyrei_master_log(const gyrei_master *master, const char *format, ...)
{
    const gyre_loop_options *loop = master->options->loop;
    char line[LINE_MAX_BYTES];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (loop != NULL && loop->log != NULL)
        loop->log(loop->log_ctx, line);
    else
        fprintf(stderr, "%s: %s\n", program_invocation_short_name, line);
}

uint64_t gyrei_master_now(const gyrei_master *master)
{
    gyre_loop_update_now(master->loop);
    return gyre_loop_now_ns(master->loop);
}

/* ---- time ---- */

static void on_tick(gyre_timer *timer)
{
    gyrei_master *master = timer->data;

    gyrei_plan_tick(&master->plan, gyrei_master_now(master));
    gyrei_master_settle(master);
}

static void on_watchdog(gyre_timer *timer)
{
    (void)timer;
    gyrei_notify("WATCHDOG=1");
}

/* ---- which signals get through ---- */

static void let_signals(bool through)
{
    sigset_t set;

    gyrei_master_signals(&set);
    sigprocmask(through ? SIG_UNBLOCK : SIG_BLOCK, &set, NULL);
}

static void do_nothing(int signum)
{
    (void)signum;
}

/*
 * Blocked until they are watched. What is restored when the watchers close must not kill a process
 * that ends in good order; nor is it SIG_IGN, which would discard a signal that came while the
 * program before this one handed over (signal(7)).
 */
static void block_signals(void)
{
    struct sigaction action = {.sa_handler = do_nothing, .sa_flags = SA_RESTART};
    sigset_t set;

    let_signals(false);
    gyrei_master_signals(&set);
    sigdelset(&set, SIGCHLD);
    for (int signum = 1; signum < SIGNALS_MAX; signum++) {
        if (sigismember(&set, signum) == 1)
            (void)sigaction(signum, &action, NULL);
    }
    (void)signal(SIGCHLD, SIG_DFL); /* who died meanwhile is looked for once it is watched */
}

/* ---- the master follows its workers to another program ---- */

static bool may_hand_over(const gyrei_master *master)
{
    return master->upgrade_due && master->by_path && master->plan.next_generation == 0 &&
           master->plan.phase == GYREI_PLAN_SERVING;
}

/*
 * What was caught before the signals were blocked is known to this program only: it is served in
 * the turn that ends with the second call. It may have changed what is to be done.
 */
static void on_last_turns(gyre_hook *hook)
{
    gyrei_master *master = hook->data;
    int error;

    if (++master->turns < 2)
        return;
    gyre_hook_stop(hook);
    if (may_hand_over(master)) {
        master->upgrade_due = false;
        error = gyrei_handover(master);
        gyrei_master_log(master, "%s: %s: the master stays as it is", master->program.path,
                         gyre_strerror(error));
    }
    let_signals(true);
}

static void begin_handover(gyrei_master *master)
{
    let_signals(false);
    master->turns = 0;
    gyre_hook_start(&master->last_turns, on_last_turns);
}

void gyrei_master_settle(gyrei_master *master)
{
    const gyrei_plan *plan = &master->plan;
    uint64_t next_ns;

    if (plan->phase == GYREI_PLAN_ENDED) {
        gyre_loop_stop(master->loop);
        return;
    }
    if (may_hand_over(master) && !gyre_is_active(&master->last_turns.handle))
        begin_handover(master);
    next_ns = gyrei_plan_next_ns(plan);
    if (next_ns == UINT64_MAX)
        gyre_timer_stop(&master->tick);
    else
        gyre_timer_start_at(&master->tick, next_ns, 0, on_tick);
}

/* ---- signals ---- */

static void reload(gyrei_master *master, uint32_t count)
{
    if (master->plan.phase >= GYREI_PLAN_STOPPING)
        return;
    master->wanted = count;
    gyrei_notify_reloading();
    gyrei_plan_reload(&master->plan, count, gyrei_master_now(master));
}

static void on_signal(gyre_signal *watcher, int signum)
{
    static const gyrei_message reopen = {.type = GYREI_MESSAGE_REOPEN};
    gyrei_master *master = watcher->data;

    switch (signum) {
    case SIGTERM:
    case SIGINT:
        gyrei_notify("STOPPING=1");
        gyrei_plan_stop(&master->plan, gyrei_master_now(master));
        gyrei_sockets_close(&master->sockets); /* who comes now is refused, and need not wait */
        break;
    case SIGUSR2:
        master->upgrade_wanted = true;
        reload(master, master->wanted);
        break;
    case SIGHUP: reload(master, master->wanted); break;
    case SIGTTIN:
        if (master->wanted < GYREI_SLOTS_MAX)
            reload(master, master->wanted + 1);
        break;
    case SIGTTOU:
        if (master->wanted > 1)
            reload(master, master->wanted - 1);
        break;
    case SIGUSR1: gyrei_children_tell(master, &reopen); break;
    case SIGCHLD: gyrei_children_reap(master); return;
    default: break;
    }
    gyrei_master_settle(master);
}

static int watch_signals(gyrei_master *master)
{
    static const int numbers[GYREI_MASTER_SIGNALS] = {SIGTERM, SIGINT,  SIGHUP,  SIGUSR1,
                                                      SIGUSR2, SIGTTIN, SIGTTOU, SIGCHLD};

    for (int i = 0; i < GYREI_MASTER_SIGNALS; i++) {
        int error = gyre_signal_init(master->loop, &master->signals[i]);

        if (error == 0) {
            master->signals[i].data = master;
            error = gyre_signal_start(&master->signals[i], numbers[i], on_signal);
        }
        if (error != 0)
            return error;
    }
    let_signals(true);
    return 0;
}

/* ---- its life ---- */

static int start_timers(gyrei_master *master)
{
    const uint64_t watchdog_ns = gyrei_notify_watchdog_ns();
    gyre_timer *const timers[] = {&master->tick, &master->reap, &master->watchdog};
    const int failed = gyre_hook_init(master->loop, &master->last_turns, GYRE_HOOK_IDLE);

    if (failed != 0)
        return failed;
    master->last_turns.data = master;
    for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++) {
        const int error = gyre_timer_init(master->loop, timers[i]);

        if (error != 0)
            return error;
        timers[i]->data = master;
        gyre_handle_set_name(&timers[i]->handle, "master");
    }
    if (watchdog_ns != 0)
        gyre_timer_start(&master->watchdog, watchdog_ns, watchdog_ns, on_watchdog);
    return 0;
}

static int begin(gyrei_master *master)
{
    const gyre_cluster_options *options = master->options;
    int error;

    if (gyrei_handover_is_due())
        return gyrei_handover_take(master);
    error = gyrei_sockets_open(&master->sockets, options->addresses, options->address_count,
                               options->workers);
    if (error == 0 && options->pid_file != NULL)
        error = gyrei_pid_file_write(options->pid_file);
    if (error == 0)
        gyrei_plan_start(&master->plan, options->workers, gyrei_master_now(master));
    return error;
}

/*
 * The ring of a process that was killed goes some 12 ms after it, and until then the kernel may
 * wake it, and nobody else, for a connection: its successor waits for that.
 */
static uint64_t replace_ns(const gyrei_master *master)
{
    return strcmp(gyre_loop_backend_name(master->loop), "uring") == 0 ? 25 * GYRE_MILLISECOND : 0;
}

static int run(gyrei_master *master)
{
    const gyre_cluster_options *options = master->options;
    const gyrei_plan_times times = {.start_ns = options->start_ns,
                                    .retire_ns = options->retire_ns,
                                    .stop_ns = options->stop_ns,
                                    .replace_ns = replace_ns(master)};
    int error = gyrei_program_init(&master->program, options->program);

    if (error == 0 && !gyrei_plan_init(&master->plan, &gyrei_master_ops, master, &times))
        error = GYRE_ENOMEM;
    if (error == 0)
        error = start_timers(master);
    if (error == 0)
        error = begin(master);
    if (error == 0)
        error = watch_signals(master);
    if (error != 0)
        return error;
    gyrei_children_reap(master); /* who died while another program was this master */
    gyrei_plan_tick(&master->plan, gyrei_master_now(master));
    gyrei_master_settle(master);
    error = gyre_loop_run(master->loop, GYRE_RUN_DEFAULT);
    if (error >= 0)
        error = master->plan.refused ? master->error : 0;
    if (options->pid_file != NULL)
        (void)unlink(options->pid_file);
    return error;
}

static void give_back(gyrei_master *master)
{
    /* On an error workers may be left: without their master they end. */
    for (const gyrei_child *child = master->children; child != NULL; child = child->next)
        close(child->control);
    (void)gyre_loop_shutdown(master->loop, GYRE_SECOND);
    gyrei_sockets_close(&master->sockets);
    gyrei_plan_free(&master->plan);
    gyrei_program_free(&master->program);
}

int gyrei_master_run(const gyre_cluster_options *options)
{
    gyrei_master master = {.options = options, .wanted = options->workers};
    sigset_t before;
    int error;

    sigprocmask(SIG_BLOCK, NULL, &before);
    block_signals();
    error = gyre_loop_init(&master.loop, options->loop);
    if (error == 0) {
        error = run(&master);
        give_back(&master);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return error;
}
