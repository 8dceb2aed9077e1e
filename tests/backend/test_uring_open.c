/*
 * When io_uring is taken and when not: refusals, probes, and what a kernel may lack. Every feature
 * is asked for, so a test takes one away at a time.
 */
#include "uring_support.h"

#include "backend/uring_abi.h"

static const gyre_loop_options no_options;

static char log_line[256];
static unsigned log_lines;

static void keep_log(void *ctx, const char *line)
{
    (void)ctx;
    log_lines++;
    strncpy(log_line, line, sizeof(log_line) - 1);
}

/* A loop that works: bytes go through it both ways. */
static void assert_works(void)
{
    char text[] = "to and fro";
    gyre_buf buf = {.base = text, .len = sizeof(text)};
    char back[sizeof(text)];
    raw_op *receive;
    raw_op *out;
    int ends[2];

    socket_pair(ends);
    receive = raw_receive(ends[0]);
    for (size_t i = 1; i <= 3; i++) {
        send_bytes(ends[1], text, sizeof(text));
        run_until_received(receive, i * sizeof(text));
    }
    assert_memory_equal(receive->bytes + sizeof(text), text, sizeof(text));
    out = raw_new(GYREI_OP_SEND, ends[0], 0);
    out->op.pointer = &buf;
    out->op.arg32 = 1;
    raw_submit(out);
    run_until_final(out);
    assert_int_equal(recv(ends[1], back, sizeof(back), 0), (ssize_t)sizeof(text));
    raw_free(out);
    raw_end(receive);
    close(ends[0]);
    close(ends[1]);
}

static void a_loop_on_uring_works(void **state)
{
    (void)state;
    NEED_URING();
    loop_open_well(no_options);
    assert_works();
    loop_close_well();
}

/* ---- refusals ---- */

static int refusal;

static int refuse_setup(uint32_t *entries, struct io_uring_params *params)
{
    (void)entries;
    (void)params;
    return refusal;
}

static const int refusals[] = {GYRE_EPERM, GYRE_ENOSYS, GYRE_ENOMEM, GYRE_EINVAL, GYRE_EACCES};
enum { REFUSALS = sizeof(refusals) / sizeof(refusals[0]) };

/* Opens with `options`, which must give epoll, and leave nothing behind. */
/* Told by one line, whether uring was named or not. */
static void assert_gives_way(gyre_loop_options options)
{
    const int before = open_descriptors();

    log_lines = 0;
    options.log = keep_log;
    assert_int_equal(loop_open(options), 0);
    assert_string_equal(gyre_loop_backend_name(loop), "epoll");
    assert_int_equal(log_lines, 1);
    gyre_loop_release(loop);
    assert_int_equal(gyre_loop_close(loop), 0);
    loop = NULL;
    assert_int_equal(open_descriptors(), before);
}

static void assert_refused(int error)
{
    const int before = open_descriptors();

    assert_int_equal(loop_open(no_options), error);
    assert_int_equal(open_descriptors(), before);
}

static void a_refusal_gives_way_to_epoll_by_default(void **state)
{
    (void)state;
    NEED_URING();
    kernel.on_setup = refuse_setup;
    kernel.backend = NULL;
    kernel.strict = NULL;
    for (int i = 0; i < REFUSALS; i++) {
        refusal = refusals[i];
        assert_gives_way(no_options);
    }
}

static void a_refusal_gives_way_with_one_line_when_uring_was_named(void **state)
{
    (void)state;
    NEED_URING();
    kernel.on_setup = refuse_setup;
    kernel.backend = NULL;
    kernel.strict = NULL;
    for (int i = 0; i < REFUSALS; i++) {
        refusal = refusals[i];
        assert_gives_way((gyre_loop_options){.backend = "uring"});
        assert_non_null(strstr(log_line, "uring"));
        assert_non_null(strstr(log_line, gyre_strerror(refusals[i])));
    }
}

static void a_refusal_is_the_answer_when_strict(void **state)
{
    (void)state;
    NEED_URING();
    kernel.on_setup = refuse_setup;
    for (int i = 0; i < REFUSALS; i++) {
        refusal = refusals[i];
        assert_refused(refusals[i]);
    }
}

/* ---- set-up flags ---- */

static uint32_t unknown_flags;
static uint32_t flags_taken;

static int know_fewer_flags(uint32_t *entries, struct io_uring_params *params)
{
    (void)entries;
    flags_taken = params->flags;
    return (params->flags & unknown_flags) != 0 ? GYRE_EINVAL : 0;
}

static void the_best_flags_are_taken(void **state)
{
    const uint32_t best = IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER |
                          IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN |
                          IORING_SETUP_TASKRUN_FLAG;

    (void)state;
    NEED_URING();
    kernel.on_setup = know_fewer_flags;
    unknown_flags = 0;
    loop_open_well(no_options);
    assert_int_equal(flags_taken & best, best);
    assert_int_equal(kernel.setups, 1);
    loop_close_well();
}

static void flags_that_are_unknown_are_done_without(void **state)
{
    static const uint32_t lacking[] = {IORING_SETUP_DEFER_TASKRUN,
                                       IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER};

    (void)state;
    NEED_URING();
    kernel.on_setup = know_fewer_flags;
    for (int i = 0; i < 2; i++) {
        unknown_flags = lacking[i];
        loop_open_well(no_options);
        assert_int_equal(flags_taken & lacking[i], 0);
        assert_works();
        loop_close_well();
    }
}

static void a_kernel_without_what_we_need_is_refused(void **state)
{
    static const uint32_t lacking[] = {IORING_SETUP_R_DISABLED, IORING_SETUP_COOP_TASKRUN,
                                       IORING_SETUP_SUBMIT_ALL};

    (void)state;
    NEED_URING();
    kernel.on_setup = know_fewer_flags;
    for (int i = 0; i < 3; i++) {
        unknown_flags = lacking[i];
        assert_refused(GYRE_EINVAL);
    }
}

/* ---- opcodes and buffers ---- */

static uint8_t unknown_opcode;

static void know_fewer_opcodes(uint32_t what, void *argument)
{
    struct io_uring_probe *probe = argument;

    if (what == IORING_REGISTER_PROBE)
        probe->ops[unknown_opcode].flags = 0;
}

static void an_opcode_that_is_missing_gives_way_to_epoll(void **state)
{
    static const uint8_t opcodes[] = {IORING_OP_ACCEPT, IORING_OP_SENDMSG, IORING_OP_STATX,
                                      IORING_OP_ASYNC_CANCEL};

    (void)state;
    NEED_URING();
    kernel.after_register = know_fewer_opcodes;
    for (int i = 0; i < 4; i++) {
        unknown_opcode = opcodes[i];
        assert_refused(GYRE_ENOSYS);
        kernel.strict = NULL;
        assert_gives_way(no_options);
        kernel.strict = "1";
    }
}

static uint32_t refused_registration;
static bool refused_always;

static int refuse_registration(uint32_t what, void *argument)
{
    const gyrei_uring_buf_reg *reg = argument;

    if (what != refused_registration)
        return 0;
    if (what == IORING_REGISTER_PBUF_RING && !refused_always &&
        (reg->flags & GYREI_URING_PBUF_INCREMENTAL) == 0)
        return 0;
    return GYRE_EINVAL;
}

static void without_incremental_buffers_whole_ones_serve(void **state)
{
    (void)state;
    NEED_URING();
    kernel.on_register = refuse_registration;
    refused_registration = IORING_REGISTER_PBUF_RING;
    refused_always = false;
    loop_open_well(no_options);
    assert_false(uring_of_loop()->pool.incremental);
    assert_works();
    loop_close_well();
}

static void without_a_buffer_ring_there_is_no_uring(void **state)
{
    (void)state;
    NEED_URING();
    kernel.on_register = refuse_registration;
    refused_registration = IORING_REGISTER_PBUF_RING;
    refused_always = true;
    assert_refused(GYRE_EINVAL);
}

static void a_probe_that_is_refused_is_a_refusal(void **state)
{
    (void)state;
    NEED_URING();
    kernel.on_register = refuse_registration;
    refused_registration = IORING_REGISTER_PROBE;
    assert_refused(GYRE_EINVAL);
}

static void a_ring_that_cannot_be_registered_works_by_its_descriptor(void **state)
{
    (void)state;
    NEED_URING();
    kernel.on_register = refuse_registration;
    refused_registration = IORING_REGISTER_RING_FDS;
    loop_open_well(no_options);
    turn_now();
    assert_int_equal(uring_of_loop()->enter_fd, uring_of_loop()->fd);
    assert_works();
    loop_close_well();
}

/* A thread has 16 places for registered rings; a loop that is closed gives its own back. */
static void more_loops_than_registered_rings_work(void **state)
{
    enum { LOOPS = 20 };
    gyre_loop *loops[LOOPS];

    (void)state;
    NEED_URING();
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < LOOPS; i++) {
            loop_open_well(no_options);
            turn_now();
            assert_int_equal(uring_of_loop()->enter_flags != 0, i < 16);
            loops[i] = loop;
        }
        for (int i = 0; i < LOOPS; i++) {
            loop = loops[i];
            assert_works();
            loop_close_well();
        }
    }
}

/* ---- multishot requests ---- */

/* Gives each multishot request a flag that no kernel knows, so that it says EINVAL. */
static int know_no_multishot(uint32_t submit, uint32_t wait)
{
    struct io_uring_sq *sq = &uring_of_loop()->ring.sq;

    (void)wait;
    for (uint32_t i = 1; i <= submit; i++) {
        struct io_uring_sqe *sqe = &sq->sqes[(sq->sqe_tail - i) & sq->ring_mask];

        if ((sqe->opcode == IORING_OP_RECV && (sqe->ioprio & IORING_RECV_MULTISHOT) != 0) ||
            (sqe->opcode == IORING_OP_ACCEPT && (sqe->ioprio & IORING_ACCEPT_MULTISHOT) != 0))
            sqe->ioprio |= 1u << 15;
    }
    return 0;
}

static void without_multishot_receive_single_ones_serve(void **state)
{
    (void)state;
    NEED_URING();
    loop_open_well(no_options);
    kernel.on_enter = know_no_multishot;
    assert_works();
    loop_close_well();
}

static void without_multishot_accept_single_ones_serve(void **state)
{
    struct sockaddr_un address;
    socklen_t len;
    raw_op *accepting;
    int clients[3];
    int listener;

    (void)state;
    NEED_URING();
    listener = listen_somewhere(&address, &len);
    loop_open_well(no_options);
    kernel.on_enter = know_no_multishot;
    accepting = raw_accept(listener);
    for (unsigned i = 0; i < 3; i++) {
        clients[i] = connect_to(&address, len);
        while (accepting->fd_count <= i)
            turn();
    }
    raw_end(accepting);
    for (int i = 0; i < 3; i++) {
        close(accepting->fds[i]);
        assert_true(is_at_end(clients[i]));
        close(clients[i]);
    }
    close(listener);
    loop_close_well();
}

/* EINVAL may also mean the descriptor: then it is the result. */
static void an_accept_on_no_listener_fails(void **state)
{
    raw_op *accepting;
    int ends[2];

    (void)state;
    NEED_URING();
    loop_open_well(no_options);
    socket_pair(ends);
    accepting = raw_accept(ends[0]);
    run_until_final(accepting);
    assert_int_equal(accepting->value, GYRE_EINVAL);
    assert_int_equal(accepting->results, 1);
    raw_free(accepting);
    close(ends[0]);
    close(ends[1]);
    loop_close_well();
}

/* ---- each call fails once ---- */

static int calls_left;

static bool is_due(void)
{
    return calls_left >= 0 && calls_left-- == 0;
}

static int fail_setup(uint32_t *entries, struct io_uring_params *params)
{
    (void)entries;
    (void)params;
    return is_due() ? GYRE_ENOMEM : 0;
}

static int fail_register(uint32_t what, void *argument)
{
    (void)what;
    (void)argument;
    return is_due() ? GYRE_ENOMEM : 0;
}

static void *fail_map(const gyrei_env *env, size_t bytes)
{
    return is_due() ? NULL : gyrei_env_os.sys->map(env, bytes);
}

static int fail_epoll(const gyrei_env *env)
{
    return is_due() ? GYRE_EMFILE : gyrei_env_os.sys->epoll_create(env);
}

/* Either it fails, or it works without the call; it never leaks. */
static void each_call_of_opening_may_fail(void **state)
{
    const int before = open_descriptors();
    unsigned failed = 0;

    (void)state;
    NEED_URING();
    kernel.on_setup = fail_setup;
    kernel.on_register = fail_register;
    kernel_sys.map = fail_map;
    kernel_sys.epoll_create = fail_epoll;
    for (int call = 0;; call++) {
        calls_left = call;
        if (loop_open(no_options) == 0) {
            const int64_t error = gyre_loop_run(loop, GYRE_RUN_NOWAIT);

            failed += error < 0;
            gyre_loop_release(loop);
            assert_int_equal(gyre_loop_close(loop), 0);
            loop = NULL;
        } else {
            failed++;
        }
        assert_int_equal(open_descriptors(), before);
        if (calls_left >= 0)
            break;
    }
    /* the fork word, set-up, probe, two maps, buffers, epoll, enabling */
    assert_true(failed >= 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        URING_TEST(a_loop_on_uring_works),
        URING_TEST(a_refusal_gives_way_to_epoll_by_default),
        URING_TEST(a_refusal_gives_way_with_one_line_when_uring_was_named),
        URING_TEST(a_refusal_is_the_answer_when_strict),
        URING_TEST(the_best_flags_are_taken),
        URING_TEST(flags_that_are_unknown_are_done_without),
        URING_TEST(a_kernel_without_what_we_need_is_refused),
        URING_TEST(an_opcode_that_is_missing_gives_way_to_epoll),
        URING_TEST(without_incremental_buffers_whole_ones_serve),
        URING_TEST(without_a_buffer_ring_there_is_no_uring),
        URING_TEST(a_probe_that_is_refused_is_a_refusal),
        URING_TEST(a_ring_that_cannot_be_registered_works_by_its_descriptor),
        URING_TEST(more_loops_than_registered_rings_work),
        URING_TEST(without_multishot_receive_single_ones_serve),
        URING_TEST(without_multishot_accept_single_ones_serve),
        URING_TEST(an_accept_on_no_listener_fails),
        URING_TEST(each_call_of_opening_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
