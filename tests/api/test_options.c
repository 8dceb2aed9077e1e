/*
 * gyre_loop_options: their ranges, the allocator, the log, and how the backend is chosen.
 */
#include "fixture.h"

#include <errno.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* Makes a loop of `options` and closes it again; what init said. */
static int try_init(const gyre_loop_options *options)
{
    gyre_loop *made = NULL;
    const int error = gyre_loop_init(&made, options);

    if (error == 0)
        assert_int_equal(gyre_loop_close(made), 0);
    else
        assert_null(made);
    return error;
}

static void all_zero_options_are_the_defaults(void **state)
{
    const gyre_loop_options options = {.size = sizeof(options)};

    (void)state;
    assert_int_equal(try_init(&options), 0);
    assert_int_equal(try_init(NULL), 0);
}

static void a_wrong_size_is_refused(void **state)
{
    gyre_loop_options options = {.size = 0};

    (void)state;
    assert_int_equal(try_init(&options), GYRE_EINVAL);
    options.size = sizeof(options) + 8;
    assert_int_equal(try_init(&options), GYRE_EINVAL);
}

/* Tries one option with each of four values: the limits, and what lies beyond. */
static void try_range(gyre_loop_options *options, uint32_t *option, uint32_t min, uint32_t max)
{
    *option = min - 1;
    assert_int_equal(try_init(options), GYRE_EINVAL);
    *option = max + 1;
    assert_int_equal(try_init(options), GYRE_EINVAL);
    *option = min;
    assert_int_equal(try_init(options), 0);
    *option = max;
    assert_int_equal(try_init(options), 0);
}

static void ring_entries_are_8_to_32768(void **state)
{
    gyre_loop_options options = {.size = sizeof(options)};

    (void)state;
    try_range(&options, &options.ring_entries, 8, 32768);
}

static void read_buffer_bytes_are_4096_to_1_mib(void **state)
{
    gyre_loop_options options = {.size = sizeof(options)};

    (void)state;
    try_range(&options, &options.read_buffer_bytes, 4096, 1 << 20);
}

static void read_buffers_are_2_to_64(void **state)
{
    gyre_loop_options options = {.size = sizeof(options)};

    (void)state;
    try_range(&options, &options.read_buffers, 2, 64);
}

/* ---- run_max ---- */

static int runs;

static void count_run(gyre_deferred *deferred)
{
    (void)deferred;
    runs++;
}

static void defer_many(gyre_hook *hook)
{
    gyre_deferred *many = lasting(100 * sizeof(*many));

    for (int i = 0; i < 100; i++)
        gyre_defer(loop, &many[i], count_run);
    gyre_hook_stop(hook);
}

static void read_runs(gyre_hook *hook)
{
    journal(runs == 3 ? "three" : "other");
    gyre_hook_stop(hook);
}

static void run_max_bounds_what_a_phase_runs(void **state)
{
    const gyre_loop_options options = {.size = sizeof(options), .run_max = 3};
    gyre_hook *check;
    gyre_hook *prepare;

    (void)state;
    assert_int_equal(gyre_loop_close(loop), 0);
    assert_int_equal(gyre_loop_init(&loop, &options), 0);
    runs = 0;
    check = hook_new("check", GYRE_HOOK_CHECK);
    prepare = hook_new("prepare", GYRE_HOOK_PREPARE);
    gyre_hook_start(check, defer_many);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_int_equal(runs, 0);
    gyre_hook_start(prepare, read_runs);
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_journal("three");
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(runs, 100);
}

/* ---- the allocator ---- */

typedef struct meter {
    size_t bytes;
    size_t blocks;
    unsigned calls;
    unsigned fail_at; /* the call that fails, 0 for none */
} meter;

static void *metered(void *ctx, void *pointer, size_t old_bytes, size_t new_bytes)
{
    meter *self = ctx;
    void *moved;

    if (new_bytes == 0) {
        self->bytes -= old_bytes;
        self->blocks--;
        free(pointer);
        return NULL;
    }
    self->calls++;
    if (self->calls == self->fail_at)
        return NULL;
    moved = realloc(pointer, new_bytes);
    assert_non_null(moved);
    self->bytes += new_bytes - old_bytes;
    self->blocks += pointer == NULL;
    return moved;
}

static void ignore_timer(gyre_timer *timer)
{
    (void)timer;
}

/* A loop that is made, used and closed; the first error on the way. */
static int use_loop(const gyre_loop_options *options)
{
    gyre_loop *made;
    gyre_timer timers[100];
    gyre_async async;
    int error = gyre_loop_init(&made, options);

    if (error != 0)
        return error;
    for (int i = 0; i < 100 && error == 0; i++) {
        error = gyre_timer_init(made, &timers[i]);
        if (error == 0)
            gyre_timer_start(&timers[i], 0, 0, ignore_timer);
    }
    if (error == 0)
        error = gyre_async_init(made, &async, journal_async);
    if (error == 0)
        gyre_loop_run(made, GYRE_RUN_NOWAIT);
    assert_int_equal(gyre_loop_shutdown(made, GYRE_SECOND), 0);
    return error;
}

static void memory_comes_from_the_allocator_and_goes_back(void **state)
{
    meter all = {.fail_at = 0};
    const gyre_allocator allocator = {.resize = metered, .ctx = &all};
    const gyre_loop_options options = {.size = sizeof(options), .allocator = &allocator};

    (void)state;
    assert_int_equal(use_loop(&options), 0);
    assert_true(all.calls > 0);
    assert_int_equal(all.blocks, 0);
    assert_int_equal(all.bytes, 0);
}

static void each_failed_allocation_is_enomem_and_leaks_nothing(void **state)
{
    (void)state;
    for (unsigned fail_at = 1;; fail_at++) {
        meter all = {.fail_at = fail_at};
        const gyre_allocator allocator = {.resize = metered, .ctx = &all};
        const gyre_loop_options options = {.size = sizeof(options), .allocator = &allocator};
        const int error = use_loop(&options);

        assert_int_equal(all.blocks, 0);
        assert_int_equal(all.bytes, 0);
        if (all.calls < fail_at) {
            assert_int_equal(error, 0);
            assert_true(fail_at > 5);
            break;
        }
        assert_int_equal(error, GYRE_ENOMEM);
    }
}

static void ignore_post(gyre_post_node *node, int status)
{
    (void)node;
    (void)status;
}

static void starting_and_dispatching_allocate_nothing(void **state)
{
    meter all = {.fail_at = 0};
    const gyre_allocator allocator = {.resize = metered, .ctx = &all};
    const gyre_loop_options options = {.size = sizeof(options), .allocator = &allocator};
    gyre_timer timer;
    gyre_hook hook;
    gyre_deferred deferred = {.data = NULL};
    gyre_post_node node;
    gyre_remote *remote;
    gyre_loop *made;
    unsigned calls;

    (void)state;
    assert_int_equal(gyre_loop_init(&made, &options), 0);
    assert_int_equal(gyre_timer_init(made, &timer), 0);
    assert_int_equal(gyre_hook_init(made, &hook, GYRE_HOOK_CHECK), 0);
    remote = gyre_loop_remote(made);
    gyre_loop_run(made, GYRE_RUN_NOWAIT);
    calls = all.calls;
    for (int i = 0; i < 100; i++) {
        runs = 0;
        gyre_timer_start(&timer, 0, 0, ignore_timer);
        gyre_hook_start(&hook, gyre_hook_stop);
        gyre_defer(made, &deferred, count_run);
        assert_int_equal(gyre_post(remote, &node, ignore_post), 0);
        gyre_loop_run(made, GYRE_RUN_NOWAIT);
        assert_int_equal(runs, 1);
    }
    assert_int_equal(all.calls, calls);
    gyre_remote_unref(remote);
    assert_int_equal(gyre_loop_shutdown(made, GYRE_SECOND), 0);
    assert_int_equal(all.bytes, 0);
}

static void an_allocator_without_a_function_is_refused(void **state)
{
    const gyre_allocator allocator = {.resize = NULL};
    const gyre_loop_options options = {.size = sizeof(options), .allocator = &allocator};

    (void)state;
    assert_int_equal(try_init(&options), GYRE_EINVAL);
}

/* ---- the backend; in children, because the environment is the process's ---- */

static int named_by_option(void)
{
    static const char *const names[] = {"epoll", "poll"};

    unsetenv("GYRE_BACKEND");
    for (int i = 0; i < 2; i++) {
        const gyre_loop_options options = {.size = sizeof(options), .backend = names[i]};

        if (gyre_loop_init(&loop, &options) != 0)
            return 1;
        if (strcmp(gyre_loop_backend_name(loop), names[i]) != 0)
            return 2;
        if (gyre_loop_close(loop) != 0)
            return 3;
    }
    return 0;
}

static void an_option_names_the_backend(void **state)
{
    (void)state;
    assert_int_equal(child_result(named_by_option), 0);
}

static int named_by_both(void)
{
    const gyre_loop_options options = {.size = sizeof(options), .backend = "epoll"};

    setenv("GYRE_BACKEND", "poll", 1);
    if (gyre_loop_init(&loop, &options) != 0)
        return 1;
    return strcmp(gyre_loop_backend_name(loop), "poll") == 0 ? 0 : 2;
}

static void the_environment_overrides_the_option(void **state)
{
    (void)state;
    assert_int_equal(child_result(named_by_both), 0);
}

static int unknown_names(void)
{
    const gyre_loop_options options = {.size = sizeof(options), .backend = "kqueue2"};

    unsetenv("GYRE_BACKEND");
    if (gyre_loop_init(&loop, &options) != GYRE_EINVAL)
        return 1;
    setenv("GYRE_BACKEND", "nonsense", 1);
    return gyre_loop_init(&loop, NULL) == GYRE_EINVAL ? 0 : 2;
}

static void an_unknown_backend_is_refused(void **state)
{
    (void)state;
    assert_int_equal(child_result(unknown_names), 0);
}

static int an_empty_variable(void)
{
    setenv("GYRE_BACKEND", "", 1);
    return gyre_loop_init(&loop, NULL) == 0 ? 0 : 1;
}

static void an_empty_variable_is_none(void **state)
{
    (void)state;
    assert_int_equal(child_result(an_empty_variable), 0);
}

/* What io_uring_setup answers: EPERM in most containers, ENOSYS in old kernels. */
static const uint32_t refusals[] = {EPERM, ENOSYS, ENOMEM, EINVAL};
static uint32_t refusal;

static int refuse_uring(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | refusal),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = 4, .filter = code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

typedef struct lines {
    int count;
    bool has_newline;
} lines;

static void count_lines(void *ctx, const char *line)
{
    lines *self = ctx;

    self->count++;
    self->has_newline = strchr(line, '\n') != NULL;
}

static int fall_back(void)
{
    lines seen = {.count = 0};
    const gyre_loop_options options = {
        .size = sizeof(options),
        .log = count_lines,
        .log_ctx = &seen,
    };

    if (refuse_uring() != 0)
        return 1;
    unsetenv("GYRE_BACKEND_STRICT");
    if (gyre_loop_init(&loop, &options) != 0)
        return 2;
    if (strcmp(gyre_loop_backend_name(loop), "epoll") != 0)
        return 3;
    return seen.count == 1 && !seen.has_newline ? 0 : 4;
}

static int fall_back_from_uring(void)
{
    setenv("GYRE_BACKEND", "uring", 1);
    return fall_back();
}

static int fall_back_by_itself(void)
{
    unsetenv("GYRE_BACKEND");
    return fall_back();
}

static void a_refused_ring_falls_back_to_epoll_with_one_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        refusal = refusals[i];
        assert_int_equal(child_result(fall_back_from_uring), 0);
        assert_int_equal(child_result(fall_back_by_itself), 0);
    }
}

static int strict(void)
{
    if (refuse_uring() != 0)
        return 1;
    setenv("GYRE_BACKEND", "uring", 1);
    setenv("GYRE_BACKEND_STRICT", "1", 1);
    return gyre_loop_init(&loop, NULL) == GYRE_EPERM ? 0 : 2;
}

static void a_refused_ring_is_an_error_when_strict(void **state)
{
    (void)state;
    refusal = EPERM;
    assert_int_equal(child_result(strict), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_zero_options_are_the_defaults),
        cmocka_unit_test(a_wrong_size_is_refused),
        cmocka_unit_test(ring_entries_are_8_to_32768),
        cmocka_unit_test(read_buffer_bytes_are_4096_to_1_mib),
        cmocka_unit_test(read_buffers_are_2_to_64),
        LOOP_TEST(run_max_bounds_what_a_phase_runs),
        cmocka_unit_test(memory_comes_from_the_allocator_and_goes_back),
        cmocka_unit_test(each_failed_allocation_is_enomem_and_leaks_nothing),
        cmocka_unit_test(starting_and_dispatching_allocate_nothing),
        cmocka_unit_test(an_allocator_without_a_function_is_refused),
        cmocka_unit_test(an_option_names_the_backend),
        cmocka_unit_test(the_environment_overrides_the_option),
        cmocka_unit_test(an_unknown_backend_is_refused),
        cmocka_unit_test(an_empty_variable_is_none),
        cmocka_unit_test(a_refused_ring_falls_back_to_epoll_with_one_line),
        cmocka_unit_test(a_refused_ring_is_an_error_when_strict),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
