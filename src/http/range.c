/*
 * The Range header: one range of bytes is honoured; several, or a unit that we do not know, mean
 * the whole, which RFC 9110 (section 14.2) lets a server answer with.
 */
#include "http/http.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char *skip_blanks(const char *text)
{
    while (*text == ' ' || *text == '\t')
        text++;
    return text;
}

/* Digits, at least one; too many of them mean the largest number. */
static bool read_number(const char **text, uint64_t *number)
{
    const char *at = *text;

    if (!isdigit((unsigned char)*at))
        return false;
    *number = 0;
    for (; isdigit((unsigned char)*at); at++) {
        const uint64_t digit = (uint64_t)(*at - '0');

        *number = *number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *number * 10 + digit;
    }
    *text = at;
    return true;
}

/* "-500": the last bytes. */
static gyrei_http_range suffix(uint64_t wanted, uint64_t size, uint64_t *first, uint64_t *count)
{
    if (wanted == 0 || size == 0)
        return GYREI_HTTP_RANGE_UNSATISFIABLE;
    *count = wanted < size ? wanted : size;
    *first = size - *count;
    return GYREI_HTTP_RANGE_ONE;
}

gyrei_http_range gyrei_http_range_parse(const char *text, uint64_t size, uint64_t *first,
                                        uint64_t *count)
{
    uint64_t last = UINT64_MAX;
    bool is_suffix;

    if (strncasecmp(text, "bytes", 5) != 0)
        return GYREI_HTTP_RANGE_NONE;
    text = skip_blanks(text + 5);
    if (*text++ != '=')
        return GYREI_HTTP_RANGE_NONE;
    text = skip_blanks(text);
    is_suffix = !read_number(&text, first);
    if (*text++ != '-')
        return GYREI_HTTP_RANGE_NONE;
    if (!read_number(&text, &last) && is_suffix)
        return GYREI_HTTP_RANGE_NONE;
    if (*skip_blanks(text) != '\0')
        return GYREI_HTTP_RANGE_NONE;
    if (is_suffix)
        return suffix(last, size, first, count);
    if (last < *first)
        return GYREI_HTTP_RANGE_NONE;
    if (*first >= size)
        return GYREI_HTTP_RANGE_UNSATISFIABLE;
    *count = (last < size ? last : size - 1) - *first + 1;
    return GYREI_HTTP_RANGE_ONE;
}
