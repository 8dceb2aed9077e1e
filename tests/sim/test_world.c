/*
 * A world of two hosts: an echo server and a client, in both modes; time, order, determinism.
 */
#include <gyre.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PORT = 7, BYTES = 200000 };

static const uint64_t hour_ns = UINT64_C(3600) * GYRE_SECOND;

/* ---- an echo server ---- */

typedef struct server {
    gyre_tcp listener;
    gyre_tcp client;
    int closed;
} server;

static void server_closed(gyre_handle *handle)
{
    server *self = handle->data;

    self->closed++;
}

static void server_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    if (nread > 0)
        assert_int_equal(gyre_write_copy(stream, buf->base, (size_t)nread), 0);
    else
        gyre_stream_finish(stream, server_closed);
}

static void server_accept(gyre_stream *listener, int status)
{
    server *self = listener->data;

    assert_int_equal(status, 0);
    assert_int_equal(gyre_accept(listener, &self->client.stream), 0);
    self->client.data = self;
    assert_int_equal(gyre_read_start(&self->client.stream, server_read), 0);
    gyre_close(&listener->handle, server_closed);
}

static int boot_server(gyre_sim_host *host, gyre_loop *loop, void *ctx)
{
    server *self = ctx;
    gyre_address address;

    gyre_sim_host_address(host, PORT, &address);
    assert_int_equal(gyre_tcp_init(loop, &self->listener), 0);
    self->listener.data = self;
    assert_int_equal(gyre_tcp_bind(&self->listener, &address, 0), 0);
    assert_int_equal(gyre_listen(&self->listener.stream, 0, server_accept), 0);
    return 0;
}

/* ---- a client ---- */

typedef struct client {
    gyre_tcp tcp;
    gyre_connect_req connect;
    gyre_write_req write;
    gyre_write_req end;
    gyre_sim_host *server;
    char bytes[BYTES];
    size_t received;
    int written;
    int shut;
    int ended;
    int closed;
} client;

static void client_closed(gyre_handle *handle)
{
    ((client *)handle->data)->closed++;
}

static void client_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    client *self = stream->data;

    if (nread > 0) {
        assert_memory_equal(buf->base, self->bytes + self->received, (size_t)nread);
        self->received += (size_t)nread;
        return;
    }
    assert_int_equal(nread, GYRE_EOF);
    self->ended++;
    gyre_close(&stream->handle, client_closed);
}

static void client_written(gyre_write_req *req, int status)
{
    assert_int_equal(status, 0);
    ((client *)req->data)->written++;
}

static void client_shut(gyre_write_req *req, int status)
{
    assert_int_equal(status, 0);
    ((client *)req->data)->shut++;
}

static void client_connected(gyre_connect_req *req, int status)
{
    client *self = req->data;
    const gyre_buf buf = gyre_buf_init(self->bytes, BYTES);

    assert_int_equal(status, 0);
    self->write.data = self;
    self->end.data = self;
    assert_int_equal(gyre_read_start(&self->tcp.stream, client_read), 0);
    assert_int_equal(gyre_write(&self->tcp.stream, &self->write, &buf, 1, client_written), 0);
    assert_int_equal(gyre_shutdown(&self->tcp.stream, &self->end, client_shut), 0);
}

static int boot_client(gyre_sim_host *host, gyre_loop *loop, void *ctx)
{
    client *self = ctx;
    gyre_address address;

    (void)host;
    gyre_sim_host_address(self->server, PORT, &address);
    assert_int_equal(gyre_tcp_init(loop, &self->tcp), 0);
    self->tcp.data = self;
    self->connect.data = self;
    for (size_t i = 0; i < BYTES; i++)
        self->bytes[i] = (char)(i * 31 >> 3);
    return gyre_tcp_connect(&self->tcp, &self->connect, &address, 0, client_connected);
}

/* ---- echo ---- */

/* Harmless to a program: what may go otherwise, and must not show. */
static void unsettle(gyre_sim *sim)
{
    static const gyre_sim_fault faults[] = {
        GYRE_SIM_LATENCY,      GYRE_SIM_LOSS,        GYRE_SIM_SHORT_READ, GYRE_SIM_SHORT_WRITE,
        GYRE_SIM_SEND_BLOCKED, GYRE_SIM_INTERRUPTED, GYRE_SIM_SPURIOUS,   GYRE_SIM_LATE,
        GYRE_SIM_REORDERED,    GYRE_SIM_QUEUE_FULL,  GYRE_SIM_DELAYED,    GYRE_SIM_MULTISHOT_ENDED,
        GYRE_SIM_LATE_CANCEL,  GYRE_SIM_CLOCK_STALL, GYRE_SIM_PAUSE,
    };

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        gyre_sim_set_fault(sim, faults[i], 50000);
}

static uint64_t run_echo(uint64_t seed, gyre_sim_mode mode, bool faults)
{
    const gyre_sim_options options = {.size = sizeof(options), .seed = seed, .mode = mode};
    server *serves = calloc(1, sizeof(*serves));
    client *asks = calloc(1, sizeof(*asks));
    gyre_sim_usage usage;
    gyre_sim_host *hosts[2];
    gyre_sim *sim;
    uint64_t hash;

    assert_int_equal(gyre_sim_init(&sim, &options), 0);
    if (faults)
        unsettle(sim);
    assert_int_equal(gyre_sim_host_init(sim, &asks->server, "server", boot_server, NULL, serves),
                     0);
    hosts[0] = asks->server;
    assert_int_equal(gyre_sim_host_init(sim, &hosts[1], "client", boot_client, NULL, asks), 0);
    assert_int_equal(gyre_sim_run(sim, hour_ns), 0);
    assert_null(gyre_sim_failure(sim));
    assert_int_equal(asks->received, BYTES);
    assert_int_equal(asks->written, 1);
    assert_int_equal(asks->shut, 1);
    assert_int_equal(asks->ended, 1);
    assert_int_equal(asks->closed, 1);
    assert_int_equal(serves->closed, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(gyre_sim_host_shutdown(hosts[i], GYRE_SECOND), 0);
        gyre_sim_host_usage(hosts[i], &usage);
        assert_int_equal(usage.blocks, 0);
        assert_int_equal(usage.descriptors, 0);
    }
    hash = gyre_sim_hash(sim);
    gyre_sim_close(sim);
    free(serves);
    free(asks);
    return hash;
}

static void echo_in(gyre_sim_mode mode, bool faults)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        const uint64_t hash = run_echo(seed, mode, faults);

        assert_true(hash == run_echo(seed, mode, faults));
        assert_true(hash != run_echo(seed + 1, mode, faults));
    }
}

static void bytes_arrive_by_readiness(void **state)
{
    (void)state;
    echo_in(GYRE_SIM_READINESS, false);
}

static void bytes_arrive_by_completion(void **state)
{
    (void)state;
    echo_in(GYRE_SIM_COMPLETION, false);
}

static void faults_do_not_show_by_readiness(void **state)
{
    (void)state;
    echo_in(GYRE_SIM_READINESS, true);
}

static void faults_do_not_show_by_completion(void **state)
{
    (void)state;
    echo_in(GYRE_SIM_COMPLETION, true);
}

/* ---- time ---- */

typedef struct clock_state {
    gyre_timer timers[3];
    uint64_t due_ns[3];
    int fired;
} clock_state;

static void timer_fired(gyre_timer *timer)
{
    clock_state *self = timer->data;
    const int index = (int)(timer - self->timers);

    assert_true(gyre_loop_now_ns(timer->handle.loop) >= self->due_ns[index]);
    assert_int_equal(index, self->fired);
    self->fired++;
    gyre_close(&timer->handle, NULL);
}

static int boot_timers(gyre_sim_host *host, gyre_loop *loop, void *ctx)
{
    clock_state *self = ctx;

    (void)host;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(gyre_timer_init(loop, &self->timers[i]), 0);
        self->timers[i].data = self;
        self->due_ns[i] = gyre_loop_now_ns(loop) + ((uint64_t)i + 1) * hour_ns;
        gyre_timer_start_at(&self->timers[i], self->due_ns[i], 0, timer_fired);
    }
    return 0;
}

static void hours_pass_at_once(void **state)
{
    clock_state clock = {.fired = 0};
    gyre_sim_host *host;
    gyre_sim *sim;

    (void)state;
    assert_int_equal(gyre_sim_init(&sim, NULL), 0);
    assert_int_equal(gyre_sim_host_init(sim, &host, "host", boot_timers, NULL, &clock), 0);
    assert_int_equal(gyre_sim_run(sim, 2 * hour_ns + 2 * GYRE_SECOND), 1);
    assert_int_equal(clock.fired, 2);
    assert_int_equal(gyre_sim_run(sim, UINT64_MAX), 0);
    assert_int_equal(clock.fired, 3);
    assert_in_range(gyre_sim_now_ns(sim), 3 * hour_ns, 3 * hour_ns + 2 * GYRE_SECOND);
    gyre_sim_close(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_arrive_by_readiness),
        cmocka_unit_test(bytes_arrive_by_completion),
        cmocka_unit_test(faults_do_not_show_by_readiness),
        cmocka_unit_test(faults_do_not_show_by_completion),
        cmocka_unit_test(hours_pass_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
