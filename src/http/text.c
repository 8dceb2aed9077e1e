/*
 * Words of the protocol: reasons, media types, dates.
 */
#include "http/http.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

const char *gyrei_http_reason(int status)
{
    switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Unknown";
    }
}

const char *gyrei_http_type(const char *path)
{
    static const char *const types[][2] = {
        {"html", "text/html; charset=utf-8"},
        {"htm", "text/html; charset=utf-8"},
        {"css", "text/css; charset=utf-8"},
        {"js", "text/javascript; charset=utf-8"},
        {"mjs", "text/javascript; charset=utf-8"},
        {"json", "application/json"},
        {"map", "application/json"},
        {"txt", "text/plain; charset=utf-8"},
        {"md", "text/markdown; charset=utf-8"},
        {"c", "text/plain; charset=utf-8"},
        {"h", "text/plain; charset=utf-8"},
        {"csv", "text/csv; charset=utf-8"},
        {"xml", "application/xml"},
        {"svg", "image/svg+xml"},
        {"png", "image/png"},
        {"jpg", "image/jpeg"},
        {"jpeg", "image/jpeg"},
        {"gif", "image/gif"},
        {"webp", "image/webp"},
        {"avif", "image/avif"},
        {"ico", "image/x-icon"},
        {"woff", "font/woff"},
        {"woff2", "font/woff2"},
        {"ttf", "font/ttf"},
        {"wasm", "application/wasm"},
        {"pdf", "application/pdf"},
        {"zip", "application/zip"},
        {"gz", "application/gzip"},
        {"mp4", "video/mp4"},
        {"webm", "video/webm"},
        {"mp3", "audio/mpeg"},
        {"ogg", "audio/ogg"},
        {"wav", "audio/wav"},
    };
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash != NULL ? slash : path, '.');

    for (size_t i = 0; dot != NULL && i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcasecmp(dot + 1, types[i][0]) == 0)
            return types[i][1];
    }
    return "application/octet-stream";
}

/* ---- dates ---- */

/* The words are English whatever the locale: strftime will not do. */
static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

void gyrei_http_date_format(int64_t seconds, char *text)
{
    const time_t moment = (time_t)seconds;
    struct tm parts;

    if (gmtime_r(&moment, &parts) == NULL || parts.tm_year > 9999 - 1900 || parts.tm_year < -1900)
        memset(&parts, 0, sizeof(parts));
    (void)snprintf(text, 30, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", days[parts.tm_wday % 7],
                   (unsigned)parts.tm_mday % 100, months[parts.tm_mon % 12],
                   (unsigned)(parts.tm_year + 1900) % 10000, (unsigned)parts.tm_hour % 100,
                   (unsigned)parts.tm_min % 100, (unsigned)parts.tm_sec % 100);
}

static int month_of(const char *word)
{
    for (int i = 0; i < 12; i++) {
        if (strcmp(word, months[i]) == 0)
            return i;
    }
    return -1;
}

/* Seconds since 1970 of a date of the Gregorian calendar; timegm is not POSIX. */
static int64_t seconds_of(const struct tm *parts)
{
    const int64_t year = parts->tm_year + 1900 - (parts->tm_mon < 2);
    const int64_t era = (year >= 0 ? year : year - 399) / 400;
    const int64_t year_of_era = year - era * 400;
    const int64_t month = (parts->tm_mon + 10) % 12; /* from March */
    const int64_t day = (153 * month + 2) / 5 + parts->tm_mday - 1;
    const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day;

    return (era * 146097 + day_of_era - 719468) * 86400 + parts->tm_hour * 3600 +
           parts->tm_min * 60 + parts->tm_sec;
}

/* A two-digit year more than 50 years ahead means the past (RFC 9110, section 5.6.7). */
static int full_year(int year)
{
    return year < 100 ? year + (year < 76 ? 2000 : 1900) : year;
}

bool gyrei_http_date_parse(const char *text, int64_t *seconds)
{
    char month[4] = "";
    struct tm parts = {.tm_mday = 0};
    int year = 0;
    int end = 0;

    /* IMF-fixdate, then the obsolete forms of RFC 850 and asctime */
    if (sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &parts.tm_mday, month,
               &year, &parts.tm_hour, &parts.tm_min, &parts.tm_sec, &end) != 6 ||
        end == 0) {
        end = 0;
        if ((sscanf(text, "%*[A-Za-z], %2d-%3[A-Za-z]-%2d %2d:%2d:%2d GMT%n", &parts.tm_mday, month,
                    &year, &parts.tm_hour, &parts.tm_min, &parts.tm_sec, &end) != 6 ||
             end == 0) &&
            (sscanf(text, "%*3[A-Za-z] %3[A-Za-z] %2d %2d:%2d:%2d %4d%n", month, &parts.tm_mday,
                    &parts.tm_hour, &parts.tm_min, &parts.tm_sec, &year, &end) != 6 ||
             end == 0))
            return false;
    }
    parts.tm_mon = month_of(month);
    parts.tm_year = full_year(year) - 1900;
    if (text[end] != '\0' || parts.tm_mon < 0 || parts.tm_mday < 1 || parts.tm_mday > 31 ||
        parts.tm_hour > 23 || parts.tm_min > 59 || parts.tm_sec > 60 || parts.tm_hour < 0 ||
        parts.tm_min < 0 || parts.tm_sec < 0)
        return false;
    *seconds = seconds_of(&parts);
    return true;
}
