/*
 * Torture of the HTTP server: a file is asked for and sent. Its own memory is not the loop's, and
 * does not fail here.
 */
#include "torture.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

static struct {
    gyre_http_server *server;
    gyre_http_files *files;
    int client;
    bool is_over;
} site_under_test;

static void serve(gyre_http_request *request, void *data)
{
    (void)data;
    gyre_http_files_serve(site_under_test.files, request);
}

/* The client stands outside of the loop. */
static bool is_answered(void)
{
    char bytes[4096];
    const ssize_t n = site_under_test.client >= 0
                          ? recv(site_under_test.client, bytes, sizeof(bytes), MSG_DONTWAIT)
                          : 0;

    if (n == 0 || (n < 0 && errno != EAGAIN))
        site_under_test.is_over = true;
    return site_under_test.is_over;
}

static void ask(const gyre_address *address)
{
    static const char request[] = "GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    site_under_test.client = fd;
    assert_int_equal(connect(fd, &address->u.any, address->len), 0);
    assert_int_equal(send(fd, request, sizeof(request) - 1, 0), sizeof(request) - 1);
}

static void start(gyre_loop *on)
{
    const gyre_http_options options = {.size = sizeof(options), .handler = serve};
    gyre_address address;

    if (gyre_http_files_init(on, &site_under_test.files, "/proc", NULL) != 0) {
        site_under_test.files = NULL;
        return;
    }
    if (gyre_http_server_init(on, &site_under_test.server, &options) != 0) {
        site_under_test.server = NULL;
        return;
    }
    if (gyre_address_ip(&address, "127.0.0.1", 0) == 0 &&
        gyre_http_server_listen(site_under_test.server, &address, 0) == 0 &&
        gyre_http_server_address(site_under_test.server, &address) == 0)
        ask(&address);
}

static void run_http(void)
{
    const gyre_loop_options options = torture_loop_options();
    gyre_loop *on = NULL;

    memset(&site_under_test, 0, sizeof(site_under_test));
    site_under_test.client = -1;
    if (gyre_loop_init(&on, &options) == 0) {
        start(on);
        for (int i = 0; i < 1000 && !is_answered(); i++) {
            if (gyre_loop_run(on, GYRE_RUN_NOWAIT) < 0)
                break;
        }
        if (site_under_test.client >= 0)
            close(site_under_test.client);
        site_under_test.client = -1;
        if (site_under_test.server != NULL)
            gyre_http_server_stop(site_under_test.server, 0, NULL);
        for (int i = 0; i < 5000 && gyre_loop_alive(on); i++) {
            (void)gyre_loop_run(on, GYRE_RUN_NOWAIT);
            sched_yield();
        }
        if (site_under_test.files != NULL)
            gyre_http_files_close(site_under_test.files);
        torture_shut_down(on);
    }
}

static void http_survives(void **state)
{
    const torture_program program = {"http", run_http};

    (void)state;
    torture_all(&program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(http_survives)};

    torture_wrap_kernel();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
