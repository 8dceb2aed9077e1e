/*
 * Socket addresses: IPv4, IPv6 and unix, as values.
 */
#ifndef GYRE_ADDRESS_H
#define GYRE_ADDRESS_H

#include "gyre/base.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gyre_address {
    uint32_t len; /* bytes of `u` that are meant, as the system calls take them */
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    } u;
} gyre_address;

/* Room for any text that gyre_address_format writes. */
#define GYRE_ADDRESS_TEXT_MAX 128

/*
 * Reads a numeric IPv4 or IPv6 address; names are not looked up. "::1", "[::1]" and "fe80::1%eth0"
 * are understood.
 *
 * Params: host: a text; NULL means the IPv4 loopback. port: in host order.
 * Owns:   `address` is filled in.
 * Thread: any.
 * Phase:  none.
 * Errors: GYRE_EINVAL when `host` is not a numeric address.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_address_ip(gyre_address *address, const char *host, uint16_t port);

/*
 * Makes the address of a unix socket.
 *
 * Params: path: a text that fits sun_path (107 bytes on Linux); one that begins with '@' names an
 *         abstract socket.
 * Owns:   `address` is filled in.
 * Thread: any.
 * Phase:  none.
 * Errors: GYRE_ENAMETOOLONG; GYRE_EINVAL for an empty path.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_address_unix(gyre_address *address, const char *path);

/*
 * Writes `address` as a text: "127.0.0.1:80", "[::1]:80", "unix:/run/x", "unix:@name", "unix:" for
 * a nameless one.
 *
 * Params: text: room for `text_max` bytes; GYRE_ADDRESS_TEXT_MAX is always enough.
 * Owns:   `text` is filled in and ends with a zero byte.
 * Thread: any.
 * Phase:  none.
 * Errors: GYRE_ENOBUFS, GYRE_EAFNOSUPPORT; otherwise the length without the zero.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_address_format(const gyre_address *address, char *text, size_t text_max);

/*
 * The port of an IPv4 or IPv6 address, in host order; 0 for others.
 *
 * Params: address: filled in.
 * Owns:   nothing.
 * Thread: any.
 * Phase:  none.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT uint16_t gyre_address_port(const gyre_address *address);

#ifdef __cplusplus
}
#endif
#endif
