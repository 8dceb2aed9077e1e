/* statx(2), as Linux has it: the simulated kernel fills it in. */
#ifndef GYRE_WASM_SYS_STAT_H
#define GYRE_WASM_SYS_STAT_H

#include_next <sys/stat.h>

#include <stdint.h>

#define STATX_BASIC_STATS 0x7ffU
#define AT_EMPTY_PATH 0x1000

struct statx_timestamp {
    int64_t tv_sec;
    uint32_t tv_nsec;
    int32_t reserved;
};

struct statx {
    uint32_t stx_mask;
    uint32_t stx_blksize;
    uint64_t stx_attributes;
    uint32_t stx_nlink;
    uint32_t stx_uid;
    uint32_t stx_gid;
    uint16_t stx_mode;
    uint16_t reserved;
    uint64_t stx_ino;
    uint64_t stx_size;
    uint64_t stx_blocks;
    uint64_t stx_attributes_mask;
    struct statx_timestamp stx_atime, stx_btime, stx_ctime, stx_mtime;
    uint32_t stx_rdev_major;
    uint32_t stx_rdev_minor;
    uint32_t stx_dev_major;
    uint32_t stx_dev_minor;
};

#endif
