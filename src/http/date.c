/*
 * Dates of HTTP (RFC 9110, section 5.6.7): one form is written, three are read. The words are
 * English whatever the locale, so that strftime and strptime will not do, and timegm is not POSIX.
 */
#include "http/http.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

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

/* ---- reading ---- */

/* The steps of `text` that stand for the number; 0 if there is none of so many digits. */
static size_t number(const char *text, size_t digits, int *value)
{
    *value = 0;
    for (size_t i = 0; i < digits; i++) {
        if (!isdigit((unsigned char)text[i]))
            return 0;
        *value = *value * 10 + (text[i] - '0');
    }
    return digits;
}

static size_t month(const char *text, int *value)
{
    for (int i = 0; i < 12; i++) {
        if (strncmp(text, months[i], 3) == 0) {
            *value = i;
            return 3;
        }
    }
    return 0;
}

/* A day's name, short or long. Which day it was is not worth an opinion. */
static size_t day(const char *text)
{
    size_t letters = 0;
    int known = 0;

    for (int i = 0; i < 7; i++)
        known += strncmp(text, days[i], 3) == 0;
    while (known > 0 && isalpha((unsigned char)text[letters]))
        letters++;
    return letters;
}

/* A two-digit year more than 50 years ahead means the past (RFC 9110, section 5.6.7). */
static size_t short_year(const char *text, int *value)
{
    const size_t digits = number(text, 2, value);

    *value += *value < 76 ? 2000 : 1900;
    return digits;
}

/* What one letter of a form stands for; 0 if `text` does not begin with that. */
static size_t field(char letter, const char *text, struct tm *parts)
{
    switch (letter) {
    case 'w': return day(text);
    case 'd': return number(text, 2, &parts->tm_mday);
    case 'e': /* asctime: a blank instead of the first digit */
        return text[0] == ' ' && number(text + 1, 1, &parts->tm_mday) == 1
                   ? 2
                   : number(text, 2, &parts->tm_mday);
    case 'b': return month(text, &parts->tm_mon);
    case 'y': return short_year(text, &parts->tm_year);
    case 'Y': return number(text, 4, &parts->tm_year);
    case 'H': return number(text, 2, &parts->tm_hour);
    case 'M': return number(text, 2, &parts->tm_min);
    case 'S': return number(text, 2, &parts->tm_sec);
    default: return 0;
    }
}

/* In a form, a letter after '%' is a field; the rest stands for itself. */
static bool has_form(const char *text, const char *form, struct tm *parts)
{
    for (; *form != '\0'; form++) {
        size_t steps = *form == *text;

        if (*form == '%')
            steps = field(*++form, text, parts);
        if (steps == 0)
            return false;
        text += steps;
    }
    return *text == '\0';
}

/* Seconds since 1970 of a date of the Gregorian calendar. */
static int64_t seconds_of(const struct tm *parts)
{
    const int64_t year = parts->tm_year - (parts->tm_mon < 2);
    const int64_t era = year / 400;
    const int64_t year_of_era = year - era * 400;
    const int64_t from_march = (parts->tm_mon + 10) % 12;
    const int64_t day = (153 * from_march + 2) / 5 + parts->tm_mday - 1;
    const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day;
    const int64_t minutes = (int64_t)parts->tm_hour * 60 + parts->tm_min;

    return (era * 146097 + day_of_era - 719468) * 86400 + minutes * 60 + parts->tm_sec;
}

static int days_of(const struct tm *parts)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const int year = parts->tm_year;
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return lengths[parts->tm_mon] + (leap && parts->tm_mon == 1);
}

bool gyrei_http_date_parse(const char *text, int64_t *seconds)
{
    struct tm parts = {.tm_mday = 0};

    /* IMF-fixdate, then the obsolete forms of RFC 850 and asctime */
    if (!has_form(text, "%w, %d %b %Y %H:%M:%S GMT", &parts) &&
        !has_form(text, "%w, %d-%b-%y %H:%M:%S GMT", &parts) &&
        !has_form(text, "%w %b %e %H:%M:%S %Y", &parts))
        return false;
    if (parts.tm_mday < 1 || parts.tm_mday > days_of(&parts) || parts.tm_year < 1 ||
        parts.tm_hour > 23 || parts.tm_min > 59 || parts.tm_sec > 60)
        return false;
    *seconds = seconds_of(&parts);
    return true;
}
