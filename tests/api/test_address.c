/*
 * Addresses: texts to values and back, and what is no address.
 */
#include "fixture.h"

#include <net/if.h>
#include <stdio.h>
#include <string.h>

static void assert_text(const gyre_address *address, const char *expected)
{
    char text[GYRE_ADDRESS_TEXT_MAX];

    assert_int_equal(gyre_address_format(address, text, sizeof(text)), strlen(expected));
    assert_string_equal(text, expected);
}

static void assert_ip(const char *host, uint16_t port, const char *expected)
{
    gyre_address address;

    assert_int_equal(gyre_address_ip(&address, host, port), 0);
    assert_int_equal(gyre_address_port(&address), port);
    assert_text(&address, expected);
}

static void ipv4_there_and_back(void **state)
{
    gyre_address address;

    (void)state;
    assert_ip("127.0.0.1", 80, "127.0.0.1:80");
    assert_ip("0.0.0.0", 0, "0.0.0.0:0");
    assert_ip("255.255.255.255", 65535, "255.255.255.255:65535");
    assert_ip(NULL, 8080, "127.0.0.1:8080");
    assert_int_equal(gyre_address_ip(&address, "10.1.2.3", 0x1234), 0);
    assert_int_equal(address.len, sizeof(struct sockaddr_in));
    assert_int_equal(address.u.v4.sin_family, AF_INET);
    assert_int_equal(address.u.v4.sin_port, htons(0x1234));
    assert_int_equal(ntohl(address.u.v4.sin_addr.s_addr), 0x0a010203);
}

static void ipv6_there_and_back(void **state)
{
    gyre_address address;

    (void)state;
    assert_ip("::1", 80, "[::1]:80");
    assert_ip("[::1]", 80, "[::1]:80");
    assert_ip("::", 0, "[::]:0");
    assert_ip("2001:DB8::8:800:200C:417A", 443, "[2001:db8::8:800:200c:417a]:443");
    assert_ip("::ffff:192.0.2.1", 1, "[::ffff:192.0.2.1]:1");
    assert_ip("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", 65535,
              "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
    assert_int_equal(gyre_address_ip(&address, "::1", 7), 0);
    assert_int_equal(address.len, sizeof(struct sockaddr_in6));
    assert_int_equal(address.u.v6.sin6_family, AF_INET6);
    assert_int_equal(address.u.v6.sin6_port, htons(7));
    assert_int_equal(address.u.v6.sin6_scope_id, 0);
}

static void a_zone_is_a_name_or_a_number(void **state)
{
    gyre_address address;

    (void)state;
    assert_ip("fe80::1%7", 80, "[fe80::1%7]:80");
    assert_ip("[fe80::1%7]", 80, "[fe80::1%7]:80");
    assert_int_equal(gyre_address_ip(&address, "fe80::1%lo", 1), 0);
    assert_int_equal(address.u.v6.sin6_scope_id, if_nametoindex("lo"));
    assert_int_equal(gyre_address_ip(&address, "fe80::1%nosuchif", 1), GYRE_EINVAL);
    assert_int_equal(gyre_address_ip(&address, "fe80::1%", 1), GYRE_EINVAL);
    assert_int_equal(gyre_address_ip(&address, "fe80::1%4294967296", 1), GYRE_EINVAL);
    assert_int_equal(gyre_address_ip(&address, "fe80::1%-1", 1), GYRE_EINVAL);
}

static void what_is_no_numeric_address(void **state)
{
    static const char *const wrong[] = {"",          "localhost",    "1.2.3",
                                        "1.2.3.4.5", "256.1.1.1",    " 1.2.3.4",
                                        "1.2.3.4 ",  "127.0.0.1:80", "[127.0.0.1]",
                                        ":::",       "::1::",        "[::1",
                                        "::1]",      "[]",           "1:2:3:4:5:6:7:8:9",
                                        "g::1",      "%lo",          "::ffff:1.2.3.400"};
    char lengthy[4096];
    gyre_address address;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(gyre_address_ip(&address, wrong[i], 1), GYRE_EINVAL);
    memset(lengthy, '1', sizeof(lengthy));
    lengthy[sizeof(lengthy) - 1] = '\0';
    assert_int_equal(gyre_address_ip(&address, lengthy, 1), GYRE_EINVAL);
}

static void unix_paths_there_and_back(void **state)
{
    gyre_address address;

    (void)state;
    assert_int_equal(gyre_address_unix(&address, "/run/x"), 0);
    assert_int_equal(address.u.local.sun_family, AF_UNIX);
    assert_int_equal(gyre_address_port(&address), 0);
    assert_text(&address, "unix:/run/x");
    assert_int_equal(gyre_address_unix(&address, "@name"), 0);
    assert_int_equal(address.u.local.sun_path[0], '\0');
    assert_memory_equal(address.u.local.sun_path + 1, "name", 4);
    assert_int_equal(address.len, offsetof(struct sockaddr_un, sun_path) + 5);
    assert_text(&address, "unix:@name");
    assert_int_equal(gyre_address_unix(&address, ""), GYRE_EINVAL);
}

static void a_unix_path_of_the_greatest_length(void **state)
{
    const size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];
    char expected[GYRE_ADDRESS_TEXT_MAX];
    gyre_address address;

    (void)state;
    memset(path, 'p', sizeof(path));
    path[most] = '\0';
    for (int kind = 0; kind < 2; kind++) {
        path[0] = "/@"[kind];
        snprintf(expected, sizeof(expected), "unix:%s", path);
        assert_int_equal(gyre_address_unix(&address, path), 0);
        assert_true(address.len <= sizeof(address.u.local));
        assert_text(&address, expected);
    }
    path[most] = 'p';
    path[most + 1] = '\0';
    assert_int_equal(gyre_address_unix(&address, path), GYRE_ENAMETOOLONG);
}

/* The kernel may fill sun_path wholly, without a zero byte at its end (unix(7)). */
static void a_unix_path_that_has_no_end(void **state)
{
    gyre_address address = {.len = sizeof(struct sockaddr_un)};
    char text[GYRE_ADDRESS_TEXT_MAX];

    (void)state;
    address.u.local.sun_family = AF_UNIX;
    memset(address.u.local.sun_path, 'p', sizeof(address.u.local.sun_path));
    assert_int_equal(gyre_address_format(&address, text, sizeof(text)),
                     5 + sizeof(address.u.local.sun_path));
}

static void a_nameless_unix_address(void **state)
{
    gyre_address address = {.len = sizeof(sa_family_t)};

    (void)state;
    address.u.local.sun_family = AF_UNIX;
    assert_text(&address, "unix:");
    assert_int_equal(gyre_address_port(&address), 0);
}

static void a_text_that_has_no_room(void **state)
{
    gyre_address address;
    char text[16];

    (void)state;
    assert_int_equal(gyre_address_ip(&address, "127.0.0.1", 12345), 0);
    assert_int_equal(gyre_address_format(&address, text, 15), GYRE_ENOBUFS);
    assert_int_equal(strlen(text), 14);
    assert_int_equal(gyre_address_format(&address, text, 16), 15);
    assert_string_equal(text, "127.0.0.1:12345");
    assert_int_equal(gyre_address_format(&address, text, 1), GYRE_ENOBUFS);
    assert_string_equal(text, "");
    assert_int_equal(gyre_address_format(&address, NULL, 0), GYRE_ENOBUFS);
}

static void an_address_of_another_family(void **state)
{
    gyre_address address = {.len = sizeof(struct sockaddr)};
    char text[GYRE_ADDRESS_TEXT_MAX];

    (void)state;
    address.u.any.sa_family = AF_NETLINK;
    assert_int_equal(gyre_address_format(&address, text, sizeof(text)), GYRE_EAFNOSUPPORT);
    assert_int_equal(gyre_address_port(&address), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipv4_there_and_back),
        cmocka_unit_test(ipv6_there_and_back),
        cmocka_unit_test(a_zone_is_a_name_or_a_number),
        cmocka_unit_test(what_is_no_numeric_address),
        cmocka_unit_test(unix_paths_there_and_back),
        cmocka_unit_test(a_unix_path_of_the_greatest_length),
        cmocka_unit_test(a_unix_path_that_has_no_end),
        cmocka_unit_test(a_nameless_unix_address),
        cmocka_unit_test(a_text_that_has_no_room),
        cmocka_unit_test(an_address_of_another_family),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
