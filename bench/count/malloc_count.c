/* A counter of allocations, loaded with LD_PRELOAD. It counts into the file named by
 * BENCH_MALLOC_COUNTERS, which the harness maps or reads while the server runs:
 *     four uint64: allocations, frees, bytes asked for, reallocations
 * It stands on glibc's own entry points, so that it needs no dlsym, which allocates. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct counters {
    _Atomic uint64_t allocations, frees, bytes, reallocations;
};

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *memory);

void *memalign(size_t alignment, size_t size);

static struct counters unmapped; /* until the file is mapped, or without one */
static struct counters *counters = &unmapped;

__attribute__((constructor)) static void map_counters(void)
{
    const char *path = getenv("BENCH_MALLOC_COUNTERS");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *counters) < 0) {
        return;
    }
    void *memory = mmap(NULL, sizeof *counters, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory != MAP_FAILED) {
        counters = memory;
    }
}

static void count(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

static void count_allocation(size_t size)
{
    count(&counters->allocations, 1);
    count(&counters->bytes, size);
}

void *malloc(size_t size)
{
    count_allocation(size);
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
    count_allocation(number * size);
    return __libc_calloc(number, size);
}

void *realloc(void *memory, size_t size)
{
    count(&counters->reallocations, 1);
    count(&counters->bytes, size);
    return __libc_realloc(memory, size);
}

void *memalign(size_t alignment, size_t size)
{
    count_allocation(size);
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    *memory = memalign(alignment, size);
    return *memory == NULL ? ENOMEM : 0;
}

void free(void *memory)
{
    if (memory != NULL) {
        count(&counters->frees, 1);
    }
    __libc_free(memory);
}
