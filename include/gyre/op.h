/*
 * One operation given to the kernel. It stands inside handles and requests so that submitting never
 * allocates.
 *
 * Everything here is private to the library; src/core/op.h says what it means.
 */
#ifndef GYRE_OP_H
#define GYRE_OP_H

#include "gyre/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gyre_op gyre_op;

struct gyrei_result;
struct gyrei_record;

struct gyre_op {
    gyre_link link;
    void (*done)(gyre_loop *loop, gyre_op *op, const struct gyrei_result *result);
    struct gyrei_record *records; /* results beyond the first, newest; a ring through `next` */
    uint8_t kind;
    uint8_t state;
    uint16_t flags;
    int32_t fd;
    uint32_t slot;
    int32_t result;
    uint32_t result_offset; /* of the received bytes in the backend's buffer arena */
    uint32_t arg32;
    void *pointer;
    uint64_t arg64;
};

#ifdef __cplusplus
}
#endif
#endif
