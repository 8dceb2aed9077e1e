/*
 * What every public header needs first: fixed-width integers and the visibility of public symbols.
 */
#ifndef GYRE_EXPORT_H
#define GYRE_EXPORT_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define GYRE_EXPORT
#else
#define GYRE_EXPORT __attribute__((visibility("default")))
#endif

#endif
