/*
 * Which backend a loop gets: the one file that knows them all.
 *
 * "auto" takes the first that this kernel supports. One that is refused gives way to the next with
 * one line in the log; with `strict` the refusal of one that was named is the answer.
 */
#include "backend/backends.h"

#include <string.h>

/* Best first. */
static const gyrei_backend_ops *const backends[] = {
    &gyrei_backend_uring,
    &gyrei_backend_epoll,
    &gyrei_backend_poll,
};
enum { BACKENDS = sizeof(backends) / sizeof(backends[0]) };

static int index_of(const char *name)
{
    for (int i = 0; i < BACKENDS; i++) {
        if (strcmp(backends[i]->name, name) == 0)
            return i;
    }
    return GYRE_EINVAL;
}

/* A kernel that has not got it, or does not let us; not: that memory or descriptors ran out. */
static bool is_refusal(int error)
{
    return error == GYRE_EPERM || error == GYRE_ENOSYS || error == GYRE_EINVAL ||
           error == GYRE_EACCES || error == GYRE_ENOTSUP || error == GYRE_ENOMEM;
}

int gyrei_backend_select(gyre_loop *loop, const char *name, bool strict,
                         const gyrei_backend_config *config, const gyrei_backend_ops **ops,
                         gyrei_backend **backend)
{
    const bool any = strcmp(name, "auto") == 0;
    int i = any ? 0 : index_of(name);
    int error;

    if (i < 0)
        return i;
    for (;; i++) {
        error = backends[i]->open(loop, config, backend);
        if (error == 0) {
            *ops = backends[i];
            return 0;
        }
        if ((strict && !any) || i + 1 == BACKENDS || !is_refusal(error))
            return error;
        gyrei_log(loop, "gyre: backend %s refused (%s); using %s", backends[i]->name,
                  gyre_strerror(error), backends[i + 1]->name);
    }
}
