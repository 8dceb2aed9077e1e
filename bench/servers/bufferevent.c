/* libevent's bufferevent, as its documentation's echo server: move the input to the output. */
#include "../common/listener.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <sys/socket.h>

static void on_read(struct bufferevent *conn, void *arg)
{
    (void)arg;
    evbuffer_add_buffer(bufferevent_get_output(conn), bufferevent_get_input(conn));
}

static void on_end(struct bufferevent *conn, short what, void *arg)
{
    (void)arg;
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0) {
        bufferevent_free(conn);
    }
}

static void on_accept(struct evconnlistener *from, evutil_socket_t fd, struct sockaddr *address,
                      int length, void *base)
{
    (void)from;
    (void)address;
    (void)length;
    struct bufferevent *conn = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(conn, on_read, NULL, on_end, NULL);
    bufferevent_enable(conn, EV_READ | EV_WRITE);
}

int main(int argc, char **argv)
{
    struct bench_listener listener = bench_listener_open(argc, argv);
    struct event_base *base = event_base_new();
    evconnlistener_new(base, on_accept, base, LEV_OPT_CLOSE_ON_FREE, 0, listener.fd);
    return event_base_dispatch(base) < 0;
}
