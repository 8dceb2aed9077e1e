/*
 * Addresses as values: text to address and back, without looking names up.
 */
#include "gyre/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCOPE_TEXT_MAX = 32, PATH_OFFSET = offsetof(struct sockaddr_un, sun_path) };

/* A zone is an interface's name or number (RFC 4007, section 11). 0: there is none such. */
static uint32_t parse_scope(const char *text)
{
    char *end;
    const unsigned long number = strtoul(text, &end, 10);

    if (end != text && *end == '\0' && number <= UINT32_MAX)
        return (uint32_t)number;
    return if_nametoindex(text);
}

static int parse_v6(gyre_address *address, char *text)
{
    struct sockaddr_in6 *v6 = &address->u.v6;
    char *zone = strchr(text, '%');

    if (zone != NULL)
        *zone++ = '\0';
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1)
        return GYRE_EINVAL;
    if (zone != NULL) {
        v6->sin6_scope_id = parse_scope(zone);
        if (v6->sin6_scope_id == 0)
            return GYRE_EINVAL;
    }
    v6->sin6_family = AF_INET6;
    address->len = sizeof(*v6);
    return 0;
}

int gyre_address_ip(gyre_address *address, const char *host, uint16_t port)
{
    char text[INET6_ADDRSTRLEN + SCOPE_TEXT_MAX];
    size_t len;

    if (host == NULL)
        host = "127.0.0.1";
    memset(address, 0, sizeof(*address));
    if (inet_pton(AF_INET, host, &address->u.v4.sin_addr) == 1) {
        address->u.v4.sin_family = AF_INET;
        address->u.v4.sin_port = htons(port);
        address->len = sizeof(address->u.v4);
        return 0;
    }
    len = strlen(host);
    if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    }
    if (len >= sizeof(text))
        return GYRE_EINVAL;
    memcpy(text, host, len);
    text[len] = '\0';
    address->u.v6.sin6_port = htons(port);
    return parse_v6(address, text);
}

int gyre_address_unix(gyre_address *address, const char *path)
{
    struct sockaddr_un *local = &address->u.local;
    const size_t len = strlen(path);

    memset(address, 0, sizeof(*address));
    if (len == 0)
        return GYRE_EINVAL;
    if (len >= sizeof(local->sun_path))
        return GYRE_ENAMETOOLONG;
    local->sun_family = AF_UNIX;
    memcpy(local->sun_path, path, len);
    /* An abstract name begins with a zero byte and ends where its length says (unix(7)). */
    if (path[0] == '@')
        local->sun_path[0] = '\0';
    address->len = (uint32_t)(PATH_OFFSET + len + (path[0] != '@'));
    return 0;
}

static int format_unix(const gyre_address *address, char *text, size_t text_max)
{
    const char *path = address->u.local.sun_path;
    size_t len = address->len > PATH_OFFSET ? address->len - PATH_OFFSET : 0;

    if (len == 0)
        return snprintf(text, text_max, "unix:");
    if (path[0] == '\0')
        return snprintf(text, text_max, "unix:@%.*s", (int)(len - 1), path + 1);
    return snprintf(text, text_max, "unix:%.*s", (int)strnlen(path, len), path);
}

static int format_v6(const gyre_address *address, char *text, size_t text_max)
{
    const struct sockaddr_in6 *v6 = &address->u.v6;
    char host[INET6_ADDRSTRLEN];

    inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
    if (v6->sin6_scope_id == 0)
        return snprintf(text, text_max, "[%s]:%u", host, ntohs(v6->sin6_port));
    return snprintf(text, text_max, "[%s%%%u]:%u", host, v6->sin6_scope_id, ntohs(v6->sin6_port));
}

static int format_v4(const gyre_address *address, char *text, size_t text_max)
{
    char host[INET_ADDRSTRLEN];

    inet_ntop(AF_INET, &address->u.v4.sin_addr, host, sizeof(host));
    return snprintf(text, text_max, "%s:%u", host, ntohs(address->u.v4.sin_port));
}

int gyre_address_format(const gyre_address *address, char *text, size_t text_max)
{
    int len;

    switch (address->u.any.sa_family) {
    case AF_INET: len = format_v4(address, text, text_max); break;
    case AF_INET6: len = format_v6(address, text, text_max); break;
    case AF_UNIX: len = format_unix(address, text, text_max); break;
    default: return GYRE_EAFNOSUPPORT;
    }
    return (size_t)len < text_max ? len : GYRE_ENOBUFS;
}

uint16_t gyre_address_port(const gyre_address *address)
{
    switch (address->u.any.sa_family) {
    case AF_INET: return ntohs(address->u.v4.sin_port);
    case AF_INET6: return ntohs(address->u.v6.sin6_port);
    default: return 0;
    }
}
