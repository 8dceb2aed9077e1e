/*
 * Conditional requests, in the order of RFC 9110, section 13.2.2.
 *
 * Our entity tags are strong; a weak one in a request matches where a weak comparison is asked for
 * (If-None-Match), and never where a strong one is (If-Match, If-Range).
 */
#include "http/http.h"

#include <string.h>

/* Whether a list of entity tags, or "*", holds ours. */
static bool list_has(const char *list, const char *etag, bool weak_is_fine)
{
    const size_t len = strlen(etag);

    while (*list != '\0') {
        bool weak = false;

        while (*list == ' ' || *list == '\t' || *list == ',')
            list++;
        if (*list == '*')
            return true;
        if (strncmp(list, "W/", 2) == 0) {
            weak = true;
            list += 2;
        }
        if (*list != '"')
            return false;
        if ((!weak || weak_is_fine) && strncmp(list, etag, len) == 0)
            return true;
        list = strchr(list + 1, '"');
        if (list == NULL)
            return false;
        list++;
    }
    return false;
}

/* A date that cannot be read is as if the field were not there. */
static bool modified_since(const char *text, int64_t modified_s, bool otherwise)
{
    int64_t since_s;

    return gyrei_http_date_parse(text, &since_s) ? modified_s > since_s : otherwise;
}

static int precondition(const gyre_http_request *request, const char *etag, int64_t modified_s)
{
    const char *match = gyre_http_header_of(request, "if-match");
    const char *unmodified = gyre_http_header_of(request, "if-unmodified-since");

    if (match != NULL)
        return list_has(match, etag, false) ? 0 : 412;
    if (unmodified != NULL && modified_since(unmodified, modified_s, false))
        return 412;
    return 0;
}

static int not_modified(const gyre_http_request *request, const char *etag, int64_t modified_s)
{
    const char *none_match = gyre_http_header_of(request, "if-none-match");
    const char *modified = gyre_http_header_of(request, "if-modified-since");

    if (none_match != NULL)
        return list_has(none_match, etag, true) ? 304 : 0;
    if (modified != NULL && !modified_since(modified, modified_s, true))
        return 304;
    return 0;
}

/* If-Range: the range counts only if the file is the one that the client has a part of. */
static bool range_counts(const gyre_http_request *request, const char *etag, int64_t modified_s)
{
    const char *condition = gyre_http_header_of(request, "if-range");
    int64_t date_s;

    if (condition == NULL)
        return true;
    if (condition[0] == '"')
        return strcmp(condition, etag) == 0;
    return gyrei_http_date_parse(condition, &date_s) && date_s == modified_s;
}

int gyrei_http_match(const gyre_http_request *request, const char *etag, int64_t modified_s,
                     bool *use_range)
{
    int status = precondition(request, etag, modified_s);

    if (status == 0)
        status = not_modified(request, etag, modified_s);
    *use_range = range_counts(request, etag, modified_s);
    return status;
}
