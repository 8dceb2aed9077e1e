/*
 * Draining an HTTP server whose sockets go on to be served elsewhere: no client meets an error.
 */
#include "fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { ROOM = 4096, BURST = 50 };

static gyre_http_server *server;
static gyre_address here;
static gyre_http_request *kept;
static bool keeps;
static int stopped_count;

typedef struct client {
    int fd;
    bool ended;
    bool reset;
    size_t len;
    char received[ROOM];
} client;

static void on_request(gyre_http_request *request, void *data)
{
    assert_ptr_equal(data, &server);
    if (keeps)
        kept = request;
    else
        assert_int_equal(gyre_http_respond(request, 200, NULL, 0, "hello", 5), 0);
}

static void on_stopped(gyre_http_server *which, void *data)
{
    assert_ptr_equal(which, server);
    assert_ptr_equal(data, &server);
    stopped_count++;
    server = NULL;
}

static int set_up(void **state)
{
    const gyre_http_options options = {
        .size = sizeof(options), .handler = on_request, .data = &server};
    int error = loop_set_up(state);

    kept = NULL;
    keeps = false;
    stopped_count = 0;
    if (error == 0)
        error = gyre_http_server_init(loop, &server, &options);
    if (error == 0)
        error = gyre_address_ip(&here, "127.0.0.1", 0);
    if (error == 0)
        error = gyre_http_server_listen(server, &here, 0);
    return error == 0 ? gyre_http_server_address(server, &here) : error;
}

static int tear_down(void **state)
{
    if (server != NULL)
        gyre_http_server_stop(server, 0, on_stopped);
    while (server != NULL)
        (void)gyre_loop_run(loop, GYRE_RUN_ONCE);
    return loop_tear_down(state);
}

#define DRAIN_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* ---- a client ---- */

static client *client_new(void)
{
    client *peer = lasting(sizeof(*peer));

    peer->fd = lasting_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    assert_int_equal(connect(peer->fd, &here.u.any, here.len), 0);
    return peer;
}

static void ask(const client *peer)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    assert_int_equal(send(peer->fd, text, sizeof(text) - 1, MSG_NOSIGNAL), sizeof(text) - 1);
}

static void receive(client *peer)
{
    const ssize_t len =
        recv(peer->fd, peer->received + peer->len, ROOM - 1 - peer->len, MSG_DONTWAIT);

    if (len > 0)
        peer->len += (size_t)len;
    peer->received[peer->len] = '\0';
    peer->reset = peer->reset || (len < 0 && errno == ECONNRESET);
    peer->ended = peer->ended || len == 0 || peer->reset;
}

static void wait_for(client *peer, const char *text)
{
    while (strstr(peer->received, text) == NULL) {
        assert_false(peer->ended);
        (void)gyre_loop_run(loop, GYRE_RUN_NOWAIT);
        receive(peer);
    }
}

static void wait_for_end(client *peer)
{
    while (!peer->ended) {
        (void)gyre_loop_run(loop, GYRE_RUN_NOWAIT);
        receive(peer);
    }
    assert_false(peer->reset);
    close(peer->fd);
    peer->fd = lasting_fd(dup(STDIN_FILENO));
}

static void wait_until_stopped(void)
{
    while (server != NULL)
        (void)gyre_loop_run(loop, GYRE_RUN_ONCE);
    assert_int_equal(stopped_count, 1);
}

static void drain(uint64_t timeout_ns)
{
    gyre_http_server_drain(server, timeout_ns, on_stopped);
}

/* ---- tests ---- */

static void an_idle_client_has_one_request_more(void **state)
{
    client *peer = client_new();

    (void)state;
    ask(peer);
    wait_for(peer, "hello");
    assert_null(strstr(peer->received, "Connection: close"));
    drain(3600 * GYRE_SECOND);
    for (int i = 0; i < 10; i++)
        (void)gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    receive(peer);
    assert_false(peer->ended);
    peer->len = 0;
    peer->received[0] = '\0';
    ask(peer);
    wait_for(peer, "hello");
    assert_non_null(strstr(peer->received, "Connection: close"));
    wait_for_end(peer);
    wait_until_stopped();
}

/* Connected, and asked, but perhaps not yet read when the drain begins. */
static void what_was_accepted_is_answered(void **state)
{
    client *peers[BURST];

    (void)state;
    for (int i = 0; i < BURST; i++) {
        peers[i] = client_new();
        ask(peers[i]);
    }
    while (gyre_http_server_connections(server) < BURST)
        (void)gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    drain(3600 * GYRE_SECOND);
    for (int i = 0; i < BURST; i++)
        wait_for(peers[i], "hello");
    for (int i = 0; i < BURST; i++) {
        if (strstr(peers[i]->received, "Connection: close") == NULL)
            ask(peers[i]);
        wait_for_end(peers[i]);
    }
    wait_until_stopped();
}

/* Its head said nothing of a close: one more request may come, and says it. */
static void a_response_in_flight_is_finished(void **state)
{
    client *peer = client_new();

    (void)state;
    keeps = true;
    ask(peer);
    while (kept == NULL)
        (void)gyre_loop_run(loop, GYRE_RUN_ONCE);
    assert_int_equal(gyre_http_respond_start(kept, 200, NULL, 0, 10), 0);
    drain(3600 * GYRE_SECOND);
    wait_for(peer, "\r\n\r\n");
    assert_int_equal(stopped_count, 0);
    assert_int_equal(gyre_http_respond_body(kept, "0123456789", 10, NULL, NULL), 0);
    gyre_http_respond_end(kept);
    wait_for(peer, "0123456789");
    receive(peer);
    assert_false(peer->ended);
    keeps = false;
    ask(peer);
    wait_for(peer, "hello");
    wait_for_end(peer);
    wait_until_stopped();
}

static void after_the_time_idle_clients_are_told_by_fin(void **state)
{
    client *peer = client_new();

    (void)state;
    ask(peer);
    wait_for(peer, "hello");
    drain(10 * GYRE_MILLISECOND);
    while (!peer->ended) {
        (void)gyre_loop_run(loop, GYRE_RUN_NOWAIT);
        receive(peer);
    }
    assert_false(peer->reset);
    /* A request that crosses the FIN is read and thrown away: no reset comes. */
    ask(peer);
    for (int i = 0; i < 10; i++)
        (void)gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    receive(peer);
    assert_false(peer->reset);
    shutdown(peer->fd, SHUT_WR);
    wait_until_stopped();
}

static void nobody_there_ends_at_once(void **state)
{
    (void)state;
    drain(3600 * GYRE_SECOND);
    wait_until_stopped();
}

static void a_stop_makes_it_short(void **state)
{
    client *peer = client_new();

    (void)state;
    ask(peer);
    wait_for(peer, "hello");
    drain(3600 * GYRE_SECOND);
    drain(3600 * GYRE_SECOND);
    gyre_http_server_stop(server, 3600 * GYRE_SECOND, on_stopped);
    wait_for_end(peer);
    wait_until_stopped();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DRAIN_TEST(an_idle_client_has_one_request_more),
        DRAIN_TEST(what_was_accepted_is_answered),
        DRAIN_TEST(a_response_in_flight_is_finished),
        DRAIN_TEST(after_the_time_idle_clients_are_told_by_fin),
        DRAIN_TEST(nobody_there_ends_at_once),
        DRAIN_TEST(a_stop_makes_it_short),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
