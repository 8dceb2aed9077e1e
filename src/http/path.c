/*
 * From a target to a file's path: decoded once, without dot segments, never above the directory.
 *
 * The kernel refuses a path that leaves the directory as well (GYRE_FS_BENEATH); this only makes
 * "/a/../b" mean "/b" as RFC 3986, section 5.2.4, has it, and keeps out what no file name can hold.
 */
#include "http/http.h"

#include <ctype.h>
#include <string.h>

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

/* One byte of the target, decoded. A zero byte, which no name can hold, is no byte. */
static int decode(const char **target, char *byte)
{
    const char *at = *target;

    if (*at != '%') {
        *byte = *at;
        *target = at + 1;
        return 0;
    }
    const int high = hex_value(at[1]);
    const int low = high < 0 ? -1 : hex_value(at[2]);

    if (low < 0 || (high | low) == 0)
        return GYRE_EINVAL;
    *byte = (char)(high * 16 + low);
    *target = at + 3;
    return 0;
}

/* Ends the segment that begins at `start`: "." goes, ".." takes the one before with it. */
static int end_segment(char *path, size_t *len, size_t start)
{
    const size_t segment = *len - start;

    if (segment == 0 || (segment == 1 && path[start] == '.')) {
        *len = start;
    } else if (segment == 2 && path[start] == '.' && path[start + 1] == '.') {
        if (start == 0)
            return GYRE_EINVAL;
        *len = start - 1;
        while (*len > 0 && path[*len - 1] != '/')
            (*len)--;
    } else {
        path[(*len)++] = '/';
    }
    return 0;
}

int gyrei_http_path(const char *target, char *path, size_t path_max)
{
    size_t start = 0;
    size_t len = 0;
    bool directory = true;

    if (*target++ != '/')
        return GYRE_EINVAL;
    while (*target != '\0' && *target != '?' && *target != '#') {
        char byte;

        if (len + 3 > path_max || decode(&target, &byte) != 0)
            return GYRE_EINVAL;
        directory = byte == '/';
        if (!directory) {
            path[len++] = byte;
            continue;
        }
        if (end_segment(path, &len, start) != 0)
            return GYRE_EINVAL;
        start = len;
    }
    if (len + 3 > path_max)
        return GYRE_EINVAL;
    if (!directory) {
        if (end_segment(path, &len, start) != 0)
            return GYRE_EINVAL;
        /* "/a/.." and "/a/." mean a directory; "/a" may be either. */
        if (len > start && path[len - 1] == '/')
            len--;
    }
    if (len == 0)
        path[len++] = '.';
    path[len] = '\0';
    return 0;
}
