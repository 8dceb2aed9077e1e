/*
 * Files and descriptors as POSIX has them.
 */
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int gyrei_os_unlink(const gyrei_env *env, const char *path)
{
    (void)env;
    return (int)gyrei_os_result(unlink(path));
}

int64_t gyrei_os_pread(const gyrei_env *env, int fd, void *base, size_t len, uint64_t offset)
{
    ssize_t result;

    (void)env;
    if (offset > (uint64_t)INT64_MAX)
        return GYRE_EINVAL;
    do {
        result = pread(fd, base, len, (off_t)offset);
    } while (result < 0 && errno == EINTR);
    return gyrei_os_result(result);
}

int gyrei_os_set_status(const gyrei_env *env, int fd, int flags)
{
    (void)env;
    return (int)gyrei_os_result(fcntl(fd, F_SETFL, flags));
}

int gyrei_os_file_mode(const gyrei_env *env, int fd, uint32_t *mode)
{
    struct stat status;

    (void)env;
    if (fstat(fd, &status) < 0)
        return gyrei_os_error(errno);
    *mode = (uint32_t)status.st_mode;
    return 0;
}
