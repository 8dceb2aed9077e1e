/*
 * Random programs on a ring whose kernel does whatever it may: uring_filter.h. Bytes arrive whole
 * and in order, every request calls back once, every connection ends, and nothing is left.
 *
 *     backend_uring_filter            a few seeds
 *     backend_uring_filter FIRST N    so many from this one on
 */
#include "uring_filter.h"

#include "peers.h"

#include <stdio.h>

enum {
    CONNECTIONS = 60, /* of a program */
    AT_ONCE = 12,
    TURNS_MAX = 400000,
    MESSAGE_MAX = 20000,
    BYTES_MAX = 60000,
    KEY_BYTES = 8,
    KEPT = 4,
    READERS = 12, /* of files, in a program */
    READS = 8,
    READ_MAX = 9000,
    IDLE_MAX = 1000,
    SEEDS = 6
};
#define TICK_NS (10 * GYRE_MILLISECOND)

typedef struct link_end {
    gyre_tcp tcp;
    gyre_connect_req connecting;
    gyre_write_req shutting;
    gyre_timer pause; /* reading is stopped until then */
    uint64_t key;     /* the connection's; the client's bytes follow key ^ 1, the server's key */
    uint64_t wanted;  /* to send */
    uint64_t sent;
    uint64_t received;
    bool is_server;
    bool ends_rudely; /* the client of a rude connection */
    bool is_ended;
    unsigned handles;
} link_end;

static gyre_tcp listener;
static gyre_tcp proxy; /* a listener, too */
static gyre_timer tick;
static gyre_address where;
static gyre_address where_proxy;
static bool may_fail;
static unsigned started;
static unsigned ended; /* ends of connections whose memory came back */
static unsigned begun; /* such ends */
static unsigned alive;
static uint64_t kept_count;
static link_end *stopped; /* the last one that stopped reading, if it still waits */

/* A key says what its connection is to carry, so that both ends know. */
static uint64_t client_sends(uint64_t key)
{
    return KEY_BYTES + (key & 0xFFFFF) % BYTES_MAX;
}

static uint64_t server_sends(uint64_t key)
{
    return 1 + (key >> 20 & 0xFFFFF) % BYTES_MAX;
}

static bool is_rude(uint64_t key)
{
    return key >> 63 != 0;
}

static char byte_at(uint64_t key, uint64_t at)
{
    return (char)((key + at * UINT64_C(0x9E3779B97F4A7C15)) >> 40);
}

static void on_end_closed(gyre_handle *handle)
{
    link_end *self = handle->data;

    if (--self->handles > 0)
        return;
    ended++;
    if (!self->is_server)
        alive--;
    free(self);
}

static void end_close(link_end *self)
{
    if (self->is_ended)
        return;
    self->is_ended = true;
    if (stopped == self)
        stopped = NULL;
    gyre_close(&self->pause.handle, on_end_closed);
    if (self->ends_rudely)
        gyre_reset(&self->tcp.stream, on_end_closed);
    else
        gyre_close(&self->tcp.stream.handle, on_end_closed);
}

/* A client that is gone before it has sent its key was a rude one. */
static bool is_polite(const link_end *self)
{
    return !may_fail && (!self->is_server || self->received >= KEY_BYTES) && !is_rude(self->key);
}

/* Only who is rude, and a failure of the filter's making, ends a connection in its midst. */
static void end_badly(link_end *self, int error)
{
    if (is_polite(self) && error != GYRE_ECANCELED)
        fail_msg("a polite connection ends with %s", gyre_errname(error));
    end_close(self);
}

/* Its peer has sent all. */
static void end_gently(link_end *self)
{
    if (self->is_ended)
        return;
    if (is_polite(self)) {
        assert_int_equal(self->received,
                         self->is_server ? client_sends(self->key) : server_sends(self->key));
        assert_int_equal(self->sent, self->wanted);
    }
    self->is_ended = true;
    if (stopped == self)
        stopped = NULL;
    gyre_close(&self->pause.handle, on_end_closed);
    gyre_stream_finish(&self->tcp.stream, on_end_closed);
}

static link_end *end_new(bool is_server)
{
    link_end *self = calloc(1, sizeof(*self));

    assert_non_null(self);
    self->is_server = is_server;
    self->handles = 2;
    begun++;
    assert_int_equal(gyre_timer_init(loop, &self->pause), 0);
    self->tcp.stream.handle.data = self;
    self->pause.data = self;
    return self;
}

/* ---- sending ---- */

static void on_shut(gyre_write_req *req, int status)
{
    (void)status;
    assert_non_null(req);
}

/* A server knows what to send once it has read the key. */
static bool may_send(const link_end *self)
{
    return !self->is_ended && self->sent < self->wanted &&
           (!self->is_server || self->received >= KEY_BYTES);
}

/* A message; the last one ends the sending. */
static void send_some(link_end *self, uint64_t key)
{
    char bytes[MESSAGE_MAX];
    uint64_t len = 1 + filter_random() % MESSAGE_MAX;
    int error;

    if (!may_send(self))
        return;
    if (len > self->wanted - self->sent)
        len = self->wanted - self->sent;
    for (uint64_t i = 0; i < len; i++)
        bytes[i] = byte_at(key, self->sent + i);
    if (!self->is_server && self->sent < KEY_BYTES) {
        len = KEY_BYTES;
        memcpy(bytes, &self->key, KEY_BYTES);
    }
    error = gyre_write_copy(&self->tcp.stream, bytes, len);
    if (error != 0) {
        end_badly(self, error);
        return;
    }
    self->sent += len;
    if (self->sent == self->wanted)
        (void)gyre_shutdown(&self->tcp.stream, &self->shutting, on_shut);
}

/* ---- receiving ---- */

static void on_bytes(gyre_stream *stream, int64_t nread, const gyre_buf *buf);

static void on_resume(gyre_timer *timer)
{
    link_end *self = timer->data;
    const int error = gyre_read_start(&self->tcp.stream, on_bytes);

    if (stopped == self)
        stopped = NULL;
    if (error != 0)
        end_badly(self, error);
    send_some(self, self->key ^ !self->is_server);
}

static void check_bytes(link_end *self, const gyre_buf *buf)
{
    for (size_t i = 0; i < buf->len; i++, self->received++) {
        if (self->is_server && self->received < KEY_BYTES)
            ((char *)&self->key)[self->received] = buf->base[i];
        else
            assert_int_equal(buf->base[i], byte_at(self->key ^ self->is_server, self->received));
        if (self->is_server && self->received == KEY_BYTES - 1)
            self->wanted = server_sends(self->key);
    }
}

/* ---- bytes that are kept ---- */

typedef struct kept_bytes {
    gyre_buf bytes;
    uint64_t sum;
} kept_bytes;

static kept_bytes kept[KEPT];

static uint64_t sum_of(const gyre_buf *buf)
{
    uint64_t sum = buf->len;

    for (size_t i = 0; i < buf->len; i++)
        sum = sum * 31 + (unsigned char)buf->base[i];
    return sum;
}

static void keep_some(gyre_stream *stream, const gyre_buf *buf)
{
    kept_bytes *place = &kept[filter_random() % KEPT];

    if (place->bytes.base != NULL || !filter_draw(200) || gyre_buf_keep(stream, buf) != 0)
        return;
    *place = (kept_bytes){*buf, sum_of(buf)};
    kept_count++;
}

/* Nobody has written there since. */
static void give_back(unsigned rate)
{
    for (unsigned i = 0; i < KEPT; i++) {
        if (kept[i].bytes.base == NULL || !filter_draw(rate))
            continue;
        filter_check_lent(kept[i].bytes.base, kept[i].bytes.len);
        assert_true(sum_of(&kept[i].bytes) == kept[i].sum);
        gyre_buf_release(loop, kept[i].bytes.base);
        kept[i].bytes.base = NULL;
    }
}

static void on_bytes(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    link_end *self = stream->handle.data;

    if (nread < 0) {
        /* The peer has sent all; what it has not got yet follows. */
        while (nread == GYRE_EOF && may_send(self))
            send_some(self, self->key ^ !self->is_server);
        if (nread == GYRE_EOF)
            end_gently(self);
        else
            end_badly(self, (int)nread);
        return;
    }
    filter_check_lent(buf->base, buf->len);
    check_bytes(self, buf);
    keep_some(stream, buf);
    if (self->ends_rudely && filter_draw(30)) {
        end_close(self);
        return;
    }
    send_some(self, self->key ^ !self->is_server);
    if (!self->is_ended && filter_draw(200)) {
        gyre_read_stop(stream);
        gyre_timer_start(&self->pause, filter_random() % GYRE_MILLISECOND, 0, on_resume);
        stopped = self;
    } else if (stopped != NULL && stopped != self && filter_draw(300)) {
        gyre_timer_stop(&stopped->pause);
        on_resume(&stopped->pause);
    }
}

/* ---- connections ---- */

static void on_connected(gyre_connect_req *req, int status)
{
    link_end *self = GYRE_CONTAINER_OF(req, link_end, connecting);

    if (status != 0) {
        assert_true(may_fail || self->is_ended);
        end_close(self);
        return;
    }
    if (self->is_ended)
        return;
    assert_int_equal(gyre_read_start(&self->tcp.stream, on_bytes), 0);
    send_some(self, self->key ^ 1);
    send_some(self, self->key ^ 1);
}

static void on_connection(gyre_stream *stream, int status)
{
    link_end *self;

    if (status < 0) {
        assert_true(may_fail || status == GYRE_ECANCELED);
        return;
    }
    self = end_new(true);
    assert_int_equal(gyre_accept(stream, &self->tcp.stream), 0);
    assert_int_equal(gyre_read_start(&self->tcp.stream, on_bytes), 0);
}

static void connect_one(bool rude)
{
    link_end *self = end_new(false);

    started++;
    alive++;
    self->key = filter_random() >> 1 | (uint64_t)rude << 63;
    self->wanted = client_sends(self->key);
    self->ends_rudely = rude;
    assert_int_equal(gyre_tcp_init(loop, &self->tcp), 0);
    assert_int_equal(gyre_tcp_connect(&self->tcp, &self->connecting,
                                      filter_draw(300) ? &where_proxy : &where, 0, on_connected),
                     0);
    if (rude && filter_draw(100))
        end_close(self);
}

/* ---- proxies: what the one half reads the other one writes ---- */

typedef struct proxy_half {
    gyre_tcp tcp;
    gyre_connect_req connecting; /* the half towards the server */
    gyre_write_req shutting;
    struct proxy_half *other;
    bool has_heard_all;
    bool is_ended;
} proxy_half;

static void on_proxy_closed(gyre_handle *handle)
{
    free(handle);
    ended++;
}

static void half_end(proxy_half *self)
{
    if (self == NULL || self->is_ended)
        return;
    self->is_ended = true;
    if (self->other != NULL)
        self->other->other = NULL;
    if (self->has_heard_all)
        gyre_stream_finish(&self->tcp.stream, on_proxy_closed);
    else
        gyre_reset(&self->tcp.stream, on_proxy_closed);
}

static void proxy_end(proxy_half *self)
{
    proxy_half *other = self->other;

    half_end(self);
    half_end(other);
}

static void on_proxied(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    proxy_half *self = (proxy_half *)(void *)stream;
    proxy_half *other = self->other;

    if (nread < 0 && nread != GYRE_EOF) {
        proxy_end(self);
    } else if (nread == GYRE_EOF) {
        self->has_heard_all = true;
        if (other->has_heard_all || gyre_shutdown(&other->tcp.stream, &other->shutting, NULL) != 0)
            proxy_end(self);
    } else {
        filter_check_lent(buf->base, buf->len);
        if (gyre_write_copy(&other->tcp.stream, buf->base, buf->len) != 0)
            proxy_end(self);
    }
}

static void on_proxy_connected(gyre_connect_req *req, int status)
{
    proxy_half *self = GYRE_CONTAINER_OF(req, proxy_half, connecting);

    if (self->is_ended)
        return;
    assert_true(status == 0 || may_fail);
    if (status != 0 || gyre_read_start(&self->tcp.stream, on_proxied) != 0 ||
        gyre_read_start(&self->other->tcp.stream, on_proxied) != 0)
        proxy_end(self);
}

static void on_proxy_connection(gyre_stream *stream, int status)
{
    proxy_half *near_half;
    proxy_half *far_half;

    if (status < 0) {
        assert_true(may_fail || status == GYRE_ECANCELED);
        return;
    }
    near_half = calloc(1, sizeof(*near_half));
    far_half = calloc(1, sizeof(*far_half));
    if (near_half == NULL || far_half == NULL)
        abort();
    begun += 2;
    near_half->other = far_half;
    far_half->other = near_half;
    assert_int_equal(gyre_accept(stream, &near_half->tcp.stream), 0);
    assert_int_equal(gyre_tcp_init(loop, &far_half->tcp), 0);
    assert_int_equal(
        gyre_tcp_connect(&far_half->tcp, &far_half->connecting, &where, 0, on_proxy_connected), 0);
}

/* ---- files ---- */

typedef struct file_reader {
    gyre_fs_req req;
    int fd;
    unsigned reads;
    uint64_t offset;
    char bytes[READ_MAX];
} file_reader;

static void reader_go_on(file_reader *self);

static void on_file_closed(gyre_fs_req *req)
{
    assert_int_equal(req->result, 0);
    free(req->data);
    ended++;
}

static void on_file_bytes(gyre_fs_req *req)
{
    file_reader *self = req->data;
    char wanted[READ_MAX];

    if (req->result < 0) {
        assert_true(may_fail && req->result == GYRE_EIO);
    } else {
        assert_true(req->result > 0);
        assert_int_equal(pread(self->fd, wanted, (size_t)req->result, (off_t)self->offset),
                         req->result);
        assert_memory_equal(self->bytes, wanted, (size_t)req->result);
    }
    reader_go_on(self);
}

static void reader_go_on(file_reader *self)
{
    const size_t len = 1 + filter_random() % READ_MAX;

    if (self->reads++ == READS) {
        assert_int_equal(gyre_fs_close(loop, &self->req, self->fd, on_file_closed), 0);
        return;
    }
    self->offset = filter_random() % READ_MAX;
    assert_int_equal(
        gyre_fs_read(loop, &self->req, self->fd, self->bytes, len, self->offset, on_file_bytes), 0);
}

static void on_file_open(gyre_fs_req *req)
{
    file_reader *self = req->data;

    assert_true(req->result >= 0);
    self->fd = (int)req->result;
    reader_go_on(self);
}

static void read_a_file(void)
{
    file_reader *self = calloc(1, sizeof(*self));

    assert_non_null(self);
    begun++;
    self->req.data = self;
    assert_int_equal(gyre_fs_open(loop, &self->req, GYRE_FS_CWD, "/proc/self/exe", GYRE_FS_READ, 0,
                                  on_file_open),
                     0);
}

/* ---- a program ---- */

static void listen_anew(gyre_tcp *anew, gyre_address *address, gyre_listen_cb cb)
{
    assert_int_equal(gyre_tcp_init(loop, anew), 0);
    assert_int_equal(gyre_address_ip(address, "127.0.0.1", 0), 0);
    assert_int_equal(gyre_tcp_bind(anew, address, 0), 0);
    assert_int_equal(gyre_listen(&anew->stream, 0, cb), 0);
    assert_int_equal(gyre_stream_local_address(&anew->stream, address), 0);
}

/* Each wait ends; it is a hang when a thousand in a row, ten seconds, brought nothing. */
static void take_a_turn(gyre_run_mode mode)
{
    static unsigned idle;
    const unsigned taken = filter.taken;

    give_back(100);
    assert_true(gyre_loop_run(loop, mode) >= 0);
    assert_null(gyrei_loop_verify(loop));
    if (taken != filter.taken)
        idle = 0;
    else if (mode == GYRE_RUN_ONCE)
        assert_true(++idle < IDLE_MAX);
}

static void close_all(void)
{
    give_back(1000);
    gyre_close(&proxy.stream.handle, NULL);
    gyre_close(&listener.stream.handle, NULL);
    while (gyre_loop_handle_count(loop) > 1)
        take_a_turn(GYRE_RUN_ONCE);
    gyre_close(&tick.handle, NULL);
    while (gyre_loop_handle_count(loop) > 0)
        take_a_turn(GYRE_RUN_ONCE);
    loop_close_well();
    filter.uring = NULL;
}

static void on_tick(gyre_timer *timer)
{
    assert_ptr_equal(timer, &tick);
}

static void run_program(uint64_t seed, const filter_rates *rates, bool fails)
{
    const gyre_loop_options options = {
        .read_buffer_bytes = 4096, .read_buffers = 2, .read_keep_max = 4};
    const int descriptors = open_descriptors();

    may_fail = fails;
    kept_count = 0;
    stopped = NULL;
    started = ended = begun = alive = 0;
    filter_open(seed, rates, options);
    listen_anew(&listener, &where, on_connection);
    listen_anew(&proxy, &where_proxy, on_proxy_connection);
    for (int i = 0; i < READERS; i++)
        read_a_file();
    assert_int_equal(gyre_timer_init(loop, &tick), 0);
    gyre_timer_start(&tick, TICK_NS, TICK_NS, on_tick);
    for (unsigned turn = 0; started < CONNECTIONS || ended < begun; turn++) {
        assert_true(turn < TURNS_MAX);
        if (started < CONNECTIONS && alive < AT_ONCE)
            connect_one(fails || filter_draw(300));
        take_a_turn(filter_draw(500) ? GYRE_RUN_NOWAIT : GYRE_RUN_ONCE);
    }
    close_all();
    assert_int_equal(open_descriptors(), descriptors);
}

static void run_seed(uint64_t seed, bool fails)
{
    const filter_rates rates = {
        .hold = (unsigned)(seed * 37 % 300),
        .reorder = (unsigned)(seed * 53 % 300),
        .end = (unsigned)(seed * 71 % 300),
        .shorten = (unsigned)(seed * 31 % 300),
        .refuse = (unsigned)(seed * 43 % 200),
        .fail = fails ? (unsigned)(5 + seed * 11 % 40) : 0,
    };

    kernel_reset();
    run_program(seed, &rates, fails);
    print_message(
        "seed %llu%s: busy %u, held %u, reordered %u, ended %u, shortened %u, refused %u, "
        "failed %u, buffers looked at %u, lent %u, kept %llu\n",
        (unsigned long long)seed, fails ? " with failures" : "", filter.busy, filter.holds,
        filter.reorders, filter.ends, filter.shortened, filter.refused, filter.failed,
        filter.checked, filter.lent, (unsigned long long)kept_count);
}

/* ---- the tests ---- */

static uint64_t first_seed = 1;
static uint64_t seeds = SEEDS;

static void every_byte_arrives_whatever_the_ring_does(void **state)
{
    (void)state;
    NEED_URING();
    for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++)
        run_seed(seed, false);
}

static void failures_end_their_connection_and_nothing_else(void **state)
{
    (void)state;
    NEED_URING();
    for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++)
        run_seed(seed, true);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        URING_TEST(every_byte_arrives_whatever_the_ring_does),
        URING_TEST(failures_end_their_connection_and_nothing_else),
    };

    if (argc == 3) {
        first_seed = strtoull(argv[1], NULL, 10);
        seeds = strtoull(argv[2], NULL, 10);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
