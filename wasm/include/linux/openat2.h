/* openat2(2), as Linux has it. */
#ifndef GYRE_WASM_LINUX_OPENAT2_H
#define GYRE_WASM_LINUX_OPENAT2_H

#include <stdint.h>

struct open_how {
    uint64_t flags;
    uint64_t mode;
    uint64_t resolve;
};

#define RESOLVE_NO_MAGICLINKS 0x02
#define RESOLVE_BENEATH 0x08

#endif
