/*
 * The words of the error table, made from the one list in gyre/error.h.
 */
#include "gyre/error.h"

const char *gyre_strerror(int64_t error)
{
    switch (error) {
    case GYRE_OK: return "success";
#define GYREI_TEXT(name, value, text)                                                              \
    case value: return text;
        GYRE_ERROR_MAP(GYREI_TEXT)
#undef GYREI_TEXT
    default: return "unknown error";
    }
}

const char *gyre_errname(int64_t error)
{
    switch (error) {
    case GYRE_OK: return "OK";
#define GYREI_NAME(name, value, text)                                                              \
    case value: return #name;
        GYRE_ERROR_MAP(GYREI_NAME)
#undef GYREI_NAME
    default: return "EUNKNOWN";
    }
}
