/*
 * The HTTP server as a library: deadlines, limits, and responses that a handler gives at once,
 * later, in pieces, or not at all. Clients are raw sockets of the same thread; the loop runs until
 * they have what they wait for.
 */
#include "fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROOM = 1 << 16 };

static gyre_http_server *server;
static gyre_address here;
static gyre_http_request *kept; /* a request to be responded to later */
static int done_count;
static int done_status;
static uint64_t done_bytes;
static int stopped_count;
static char received[ROOM];
static size_t received_len;

/* ---- the server ---- */

static void on_done(gyre_http_request *request, int status, uint64_t bytes, void *data)
{
    assert_non_null(request);
    assert_ptr_equal(data, &server);
    done_count++;
    done_status = status;
    done_bytes = bytes;
}

static void on_stopped(gyre_http_server *which, void *data)
{
    assert_ptr_equal(which, server);
    assert_ptr_equal(data, &server);
    stopped_count++;
    server = NULL;
}

static void say_hello(gyre_http_request *request, void *data)
{
    static const gyre_http_header header = {"X-Name", "value"};

    assert_ptr_equal(data, &server);
    assert_int_equal(gyre_http_respond(request, 200, &header, 1, "hello", 5), 0);
}

static void keep(gyre_http_request *request, void *data)
{
    assert_ptr_equal(data, &server);
    assert_null(kept);
    kept = request;
}

static gyre_http_options options_of(gyre_http_handler_cb handler)
{
    return (gyre_http_options){
        .size = sizeof(gyre_http_options), .handler = handler, .done = on_done, .data = &server};
}

static void start(const gyre_http_options *options)
{
    kept = NULL;
    done_count = 0;
    stopped_count = 0;
    assert_int_equal(gyre_http_server_init(loop, &server, options), 0);
    assert_int_equal(gyre_address_ip(&here, "127.0.0.1", 0), 0);
    assert_int_equal(gyre_http_server_listen(server, &here, 0), 0);
    assert_int_equal(gyre_http_server_address(server, &here), 0);
}

static void stop(void)
{
    gyre_http_server_stop(server, 0, on_stopped);
    while (server != NULL)
        gyre_loop_run(loop, GYRE_RUN_ONCE);
    assert_int_equal(stopped_count, 1);
}

/* ---- a client ---- */

static int client_new(void)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &here.u.any, here.len), 0);
    received_len = 0;
    received[0] = '\0';
    return lasting_fd(fd);
}

static void send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* 1: bytes came, 0: the end came, -1: nothing yet; a reset is an end. */
static int receive(int fd)
{
    const ssize_t len =
        recv(fd, received + received_len, ROOM - 1 - received_len, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (len < 0)
        return errno == ECONNRESET ? 0 : -1;
    received_len += (size_t)len;
    received[received_len] = '\0';
    return len > 0;
}

static void wait_for(int fd, const char *text)
{
    while (strstr(received, text) == NULL) {
        assert_int_not_equal(receive(fd), 0);
        gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    }
}

/* The server's end of the connection; what came before it is in `received`. */
static void wait_for_end(int fd)
{
    while (receive(fd) != 0)
        gyre_loop_run(loop, GYRE_RUN_NOWAIT);
}

static void wait_for_request(void)
{
    while (kept == NULL)
        gyre_loop_run(loop, GYRE_RUN_ONCE);
}

static void wait_until_gone(void)
{
    while (gyre_http_server_connections(server) > 0)
        gyre_loop_run(loop, GYRE_RUN_ONCE);
}

static const char get[] = "GET /x?y HTTP/1.1\r\nHost: test\r\nA: one\r\nB: two\r\na: three\r\n\r\n";

/* ---- deadlines ---- */

static void test_idle_deadline(void **state)
{
    gyre_http_options options = options_of(say_hello);
    int fd;

    (void)state;
    options.idle_ns = 20 * GYRE_MILLISECOND;
    start(&options);
    fd = client_new();
    wait_for_end(fd);
    assert_int_equal(received_len, 0);
    /* and behind a response */
    fd = client_new();
    send_text(fd, get);
    wait_for(fd, "\r\n\r\nhello");
    received_len = 0;
    wait_for_end(fd);
    assert_int_equal(received_len, 0);
    stop();
}

static void test_head_deadline(void **state)
{
    gyre_http_options options = options_of(say_hello);
    int fd;

    (void)state;
    options.head_ns = 20 * GYRE_MILLISECOND;
    start(&options);
    fd = client_new();
    send_text(fd, "GET / HTTP/1.1\r\nHost:");
    wait_for_end(fd);
    assert_memory_equal(received, "HTTP/1.1 408 ", 13);
    assert_non_null(strstr(received, "Connection: close\r\n"));
    assert_int_equal(done_status, 408);
    stop();
}

/* One byte now and then does not move the deadline. */
static void test_head_deadline_of_a_trickle(void **state)
{
    gyre_http_options options = options_of(say_hello);
    int fd;

    (void)state;
    options.head_ns = 50 * GYRE_MILLISECOND;
    options.head_bytes_max = 1 << 24;
    start(&options);
    fd = client_new();
    send_text(fd, "GET / HTTP/1.1\r\nHost: test\r\nA: ");
    while (receive(fd) < 0) {
        (void)!send(fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    }
    assert_memory_equal(received, "HTTP/1.1 408 ", 13);
    stop();
}

static void test_body_deadline(void **state)
{
    gyre_http_options options = options_of(say_hello);
    int fd;

    (void)state;
    options.body_ns = 20 * GYRE_MILLISECOND;
    start(&options);
    fd = client_new();
    send_text(fd, "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n123");
    wait_for_end(fd);
    assert_memory_equal(received, "HTTP/1.1 408 ", 13);
    stop();
}

static void give_more(gyre_http_request *request, int status, void *data)
{
    static char piece[1 << 16];

    if (status < 0 || gyre_http_respond_body(request, piece, sizeof(piece), give_more, data) != 0)
        gyre_http_respond_end(request);
}

static void respond_without_end(gyre_http_request *request, void *data)
{
    if (gyre_http_respond_start(request, 200, NULL, 0, UINT64_C(1) << 40) != 0)
        gyre_http_respond_end(request);
    else
        give_more(request, 0, data);
}

static void test_write_deadline(void **state)
{
    gyre_http_options options = options_of(respond_without_end);
    int fd;

    (void)state;
    options.write_ns = 50 * GYRE_MILLISECOND;
    start(&options);
    fd = client_new();
    send_text(fd, get);
    wait_for(fd, "\r\n\r\n");
    /* from here on the client takes nothing */
    wait_until_gone();
    assert_int_equal(done_count, 1);
    assert_true(done_bytes > 0);
    stop();
}

/* A handler that takes its time is under no deadline of reading. */
static void test_no_deadline_while_responding(void **state)
{
    gyre_http_options options = options_of(keep);
    gyre_timer *timer = timer_new("later");
    int fd;

    (void)state;
    options.idle_ns = 10 * GYRE_MILLISECOND;
    options.head_ns = 10 * GYRE_MILLISECOND;
    options.body_ns = 10 * GYRE_MILLISECOND;
    options.write_ns = 10 * GYRE_MILLISECOND;
    start(&options);
    fd = client_new();
    send_text(fd, get);
    wait_for_request();
    gyre_timer_start(timer, 60 * GYRE_MILLISECOND, 0, journal_timer);
    while (gyre_is_active(&timer->handle))
        gyre_loop_run(loop, GYRE_RUN_ONCE);
    assert_journal("later");
    assert_int_equal(gyre_http_respond(kept, 200, NULL, 0, "late", 4), 0);
    wait_for_end(fd);
    assert_non_null(strstr(received, "\r\n\r\nlate"));
    stop();
}

/* ---- limits ---- */

static void test_connections_max(void **state)
{
    gyre_http_options options = options_of(say_hello);
    int first;
    int second;

    (void)state;
    options.connections_max = 1;
    start(&options);
    first = client_new();
    send_text(first, get);
    wait_for(first, "hello");
    second = client_new();
    wait_for_end(second);
    assert_memory_equal(received, "HTTP/1.1 503 ", 13);
    received_len = 0;
    send_text(first, get);
    wait_for(first, "hello");
    stop();
}

static void test_accepted_max(void **state)
{
    gyre_http_options options = options_of(say_hello);
    int first;
    int second;
    int third;

    (void)state;
    options.accepted_max = 1;
    start(&options);
    first = client_new();
    second = client_new();
    third = client_new();
    send_text(second, get);
    send_text(third, get);
    for (int turn = 0; turn < 20; turn++) {
        received_len = 0;
        send_text(first, get);
        wait_for(first, "hello");
        assert_int_equal(gyre_http_server_connections(server), 1);
    }
    shutdown(first, SHUT_RDWR);
    received_len = 0;
    received[0] = '\0';
    wait_for(second, "hello");
    shutdown(second, SHUT_RDWR);
    received_len = 0;
    received[0] = '\0';
    wait_for(third, "hello");
    stop();
}

static void test_requests_max(void **state)
{
    gyre_http_options options = options_of(say_hello);
    int fd;

    (void)state;
    options.requests_max = 2;
    start(&options);
    fd = client_new();
    send_text(fd, get);
    send_text(fd, get);
    send_text(fd, get);
    wait_for_end(fd);
    assert_int_equal(done_count, 2);
    assert_non_null(strstr(received, "Connection: close\r\n"));
    stop();
}

/* ---- requests and responses ---- */

static void test_what_a_request_has(void **state)
{
    const gyre_http_options options = options_of(keep);
    gyre_address peer;
    int fd;

    (void)state;
    start(&options);
    fd = client_new();
    send_text(fd, "POST http://test/x?y HTTP/1.1\r\nHost: test\r\nA: one\r\nB: two\r\na: three\r\n"
                  "Content-Length: 3\r\nEmpty:\r\n\r\nabc");
    wait_for_request();
    assert_string_equal(gyre_http_method(kept), "POST");
    assert_string_equal(gyre_http_target(kept), "/x?y");
    assert_int_equal(gyre_http_minor(kept), 1);
    assert_string_equal(gyre_http_header_of(kept, "HOST"), "test");
    assert_string_equal(gyre_http_header_of(kept, "a"), "one, three");
    assert_string_equal(gyre_http_header_of(kept, "b"), "two");
    assert_string_equal(gyre_http_header_of(kept, "empty"), "");
    assert_null(gyre_http_header_of(kept, "c"));
    assert_int_equal(gyre_http_body(kept).len, 3);
    assert_memory_equal(gyre_http_body(kept).base, "abc", 3);
    assert_ptr_equal(gyre_http_loop(kept), loop);
    assert_int_equal(gyre_http_peer(kept, &peer), 0);
    assert_int_equal(peer.u.any.sa_family, AF_INET);
    assert_int_equal(gyre_http_respond(kept, 204, NULL, 0, NULL, 0), 0);
    wait_for(fd, "HTTP/1.1 204 ");
    assert_null(strstr(received, "Content-Length"));
    stop();
}

static void give_second_piece(gyre_http_request *request, int status, void *data)
{
    assert_null(data);
    assert_int_equal(status, 0);
    assert_int_equal(gyre_http_respond_body(request, "second", 6, NULL, NULL), 0);
    gyre_http_respond_end(request);
}

static void respond_in_pieces(gyre_http_request *request, void *data)
{
    (void)data;
    assert_int_equal(gyre_http_respond_start(request, 200, NULL, 0, GYRE_HTTP_CHUNKED), 0);
    assert_int_equal(gyre_http_respond_body(request, "first", 5, give_second_piece, NULL), 0);
}

static void test_chunks(void **state)
{
    const gyre_http_options options = options_of(respond_in_pieces);
    int fd;

    (void)state;
    start(&options);
    fd = client_new();
    send_text(fd, get);
    wait_for(fd, "\r\n\r\n5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n");
    assert_non_null(strstr(received, "Transfer-Encoding: chunked\r\n"));
    stop();
}

/* HTTP/1.0 knows no chunks: the end of the connection ends the body. */
static void test_chunks_for_http_1_0(void **state)
{
    const gyre_http_options options = options_of(respond_in_pieces);
    int fd;

    (void)state;
    start(&options);
    fd = client_new();
    send_text(fd, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    wait_for_end(fd);
    assert_non_null(strstr(received, "\r\n\r\nfirstsecond"));
    assert_non_null(strstr(received, "Connection: close\r\n"));
    assert_null(strstr(received, "chunked"));
    stop();
}

static void respond_short(gyre_http_request *request, void *data)
{
    (void)data;
    assert_int_equal(gyre_http_respond_start(request, 200, NULL, 0, 10), 0);
    assert_int_equal(gyre_http_respond_body(request, "12345678901", 11, NULL, NULL), GYRE_EINVAL);
    assert_int_equal(gyre_http_respond_body(request, "12345", 5, NULL, NULL), 0);
    gyre_http_respond_end(request);
}

static void test_a_short_body_breaks_the_connection(void **state)
{
    const gyre_http_options options = options_of(respond_short);
    int fd;

    (void)state;
    start(&options);
    fd = client_new();
    send_text(fd, get);
    send_text(fd, get);
    wait_for_end(fd);
    assert_true(strstr(received, "HTTP/1.1 200") == received || received_len == 0);
    assert_null(strstr(received + (received_len > 0), "HTTP/1.1"));
    assert_int_equal(done_count, 1);
    stop();
}

static void split_response(gyre_http_request *request, void *data)
{
    static const gyre_http_header header = {"Name", "value\r\nOther: value"};

    (void)data;
    assert_int_equal(gyre_http_respond(request, 200, &header, 1, "x", 1), GYRE_EINVAL);
}

static void test_no_line_breaks_in_headers(void **state)
{
    const gyre_http_options options = options_of(split_response);
    int fd;

    (void)state;
    start(&options);
    fd = client_new();
    send_text(fd, get);
    wait_for_end(fd);
    assert_int_equal(received_len, 0);
    stop();
}

/* The client goes away; its request stays the handler's until it is responded to. */
static void test_a_response_that_nobody_waits_for(void **state)
{
    const gyre_http_options options = options_of(keep);
    const struct linger reset = {.l_onoff = 1};
    int fd;

    (void)state;
    start(&options);
    fd = client_new();
    send_text(fd, get);
    wait_for_request();
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    assert_int_equal(dup2(lasting_fd(socket(AF_INET, SOCK_STREAM, 0)), fd), fd);
    for (int turn = 0; turn < 5; turn++)
        gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_string_equal(gyre_http_target(kept), "/x?y");
    (void)gyre_http_respond(kept, 200, NULL, 0, "x", 1);
    wait_until_gone();
    stop();
}

/* ---- stopping ---- */

static void test_stop_waits_for_a_response(void **state)
{
    const gyre_http_options options = options_of(keep);
    int fd;

    (void)state;
    start(&options);
    fd = client_new();
    send_text(fd, get);
    wait_for_request();
    gyre_http_server_stop(server, 3600 * GYRE_SECOND, on_stopped);
    assert_int_equal(gyre_http_server_listen(server, &here, 0), GYRE_EBUSY);
    for (int turn = 0; turn < 5; turn++)
        gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_int_equal(stopped_count, 0);
    assert_int_equal(gyre_http_respond(kept, 200, NULL, 0, "last", 4), 0);
    wait_for_end(fd);
    assert_non_null(strstr(received, "\r\n\r\nlast"));
    shutdown(fd, SHUT_RDWR);
    while (server != NULL)
        gyre_loop_run(loop, GYRE_RUN_ONCE);
    assert_int_equal(stopped_count, 1);
}

static void test_stop_resets_when_its_time_is_over(void **state)
{
    const gyre_http_options options = options_of(keep);
    gyre_timer *alive = timer_new("alive");
    int fd;

    (void)state;
    start(&options);
    fd = client_new();
    send_text(fd, get);
    wait_for_request();
    /* what the handler waits for keeps the loop alive; the server's own clock does not */
    gyre_timer_start(alive, 3600 * GYRE_SECOND, 0, journal_timer);
    gyre_http_server_stop(server, 10 * GYRE_MILLISECOND, on_stopped);
    wait_for_end(fd);
    assert_int_equal(received_len, 0);
    /* the handler still holds the request, and gives it back */
    assert_int_equal(stopped_count, 0);
    assert_int_equal(gyre_http_respond(kept, 200, NULL, 0, "x", 1), GYRE_ENOTCONN);
    while (server != NULL)
        gyre_loop_run(loop, GYRE_RUN_ONCE);
}

static void test_a_socket_from_elsewhere(void **state)
{
    const gyre_http_options options = options_of(say_hello);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    gyre_address address;
    int client;

    (void)state;
    assert_int_equal(gyre_http_server_init(loop, &server, &options), 0);
    assert_int_equal(gyre_http_server_address(server, &address), GYRE_EBADF);
    assert_int_equal(gyre_http_server_listen_fd(server, -1), GYRE_EBADF);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
    assert_int_equal(gyre_http_server_listen_fd(server, fd), 0);
    assert_int_equal(gyre_http_server_address(server, &here), 0);
    client = client_new();
    send_text(client, get);
    wait_for(client, "hello");
    stopped_count = 0;
    stop();
}

static void test_wrong_options(void **state)
{
    gyre_http_options options = options_of(NULL);
    gyre_http_server *none;

    (void)state;
    assert_int_equal(gyre_http_server_init(loop, &none, NULL), GYRE_EINVAL);
    assert_int_equal(gyre_http_server_init(loop, &none, &options), GYRE_EINVAL);
    options.handler = say_hello;
    options.size--;
    assert_int_equal(gyre_http_server_init(loop, &none, &options), GYRE_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(test_idle_deadline),
        LOOP_TEST(test_head_deadline),
        LOOP_TEST(test_head_deadline_of_a_trickle),
        LOOP_TEST(test_body_deadline),
        LOOP_TEST(test_write_deadline),
        LOOP_TEST(test_no_deadline_while_responding),
        LOOP_TEST(test_connections_max),
        LOOP_TEST(test_accepted_max),
        LOOP_TEST(test_requests_max),
        LOOP_TEST(test_what_a_request_has),
        LOOP_TEST(test_chunks),
        LOOP_TEST(test_chunks_for_http_1_0),
        LOOP_TEST(test_a_short_body_breaks_the_connection),
        LOOP_TEST(test_no_line_breaks_in_headers),
        LOOP_TEST(test_a_response_that_nobody_waits_for),
        LOOP_TEST(test_stop_waits_for_a_response),
        LOOP_TEST(test_stop_resets_when_its_time_is_over),
        LOOP_TEST(test_a_socket_from_elsewhere),
        LOOP_TEST(test_wrong_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
