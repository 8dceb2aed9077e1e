/*
 * The ring itself: made with the best flags that the kernel takes, probed, mapped, enabled, undone.
 *
 * Features are asked for and never concluded from a version: set-up flags by trying, opcodes by
 * IORING_REGISTER_PROBE, the ring of buffers by registering it (uring_pool.c), multishot requests
 * by their first use (uring_ops.c). There is no second ring to try things on: when a ring is
 * closed, Linux interrupts the thread that used it some time later, in whatever it does. The ring
 * is made disabled: the thread that enables it is the only one that may submit (SINGLE_ISSUER), and
 * which one that will be shows at the loop's first turn.
 */
#include "backend/uring.h"

enum {
    COMPLETIONS_PER_ENTRY = 8, /* a multishot request has many completions */
    PROBE_OPS = 256
};

#define FEATURES_NEEDED                                                                            \
    (IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG)

/* ---- set-up ---- */

#define FLAGS_ALWAYS                                                                               \
    (IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL)
#define FLAGS_COOPERATIVE (IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG)

/* Best first. Without DEFER_TASKRUN completions come at any system call, in smaller batches. */
static const uint32_t flag_sets[] = {
    FLAGS_ALWAYS | FLAGS_COOPERATIVE | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
    FLAGS_ALWAYS | FLAGS_COOPERATIVE | IORING_SETUP_SINGLE_ISSUER,
    FLAGS_ALWAYS | FLAGS_COOPERATIVE,
};
enum { FLAG_SETS = sizeof(flag_sets) / sizeof(flag_sets[0]) };

static int set_up(const gyrei_uring *uring, struct io_uring_params *params)
{
    const uint32_t entries = uring->config.ring_entries;
    int fd = GYRE_EINVAL;

    for (int i = 0; i < FLAG_SETS && fd == GYRE_EINVAL; i++) {
        *params = (struct io_uring_params){.flags = flag_sets[i],
                                           .cq_entries = entries * COMPLETIONS_PER_ENTRY};
        fd = uring->env->sys->uring_setup(uring->env, entries, params);
    }
    return fd;
}

/* ---- opcodes ---- */

static const uint8_t opcodes_needed[] = {
    IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL, IORING_OP_ACCEPT,  IORING_OP_CONNECT,
    IORING_OP_RECV,     IORING_OP_SEND,         IORING_OP_SENDMSG, IORING_OP_OPENAT2,
    IORING_OP_STATX,    IORING_OP_READ,         IORING_OP_CLOSE,
};

static bool knows_opcodes(const struct io_uring_probe *probe)
{
    for (size_t i = 0; i < sizeof(opcodes_needed); i++) {
        const uint8_t opcode = opcodes_needed[i];

        if (opcode > probe->last_op || (probe->ops[opcode].flags & IO_URING_OP_SUPPORTED) == 0)
            return false;
    }
    return true;
}

static int probe_opcodes(const gyrei_uring *uring)
{
    const size_t bytes =
        sizeof(struct io_uring_probe) + PROBE_OPS * sizeof(struct io_uring_probe_op);
    struct io_uring_probe *probe = gyrei_loop_alloc(uring->loop, bytes);
    int error;

    if (probe == NULL)
        return GYRE_ENOMEM;
    error = uring->env->sys->uring_register(uring->env, uring->fd, IORING_REGISTER_PROBE, probe,
                                            PROBE_OPS);
    if (error >= 0)
        error = knows_opcodes(probe) ? 0 : GYRE_ENOSYS;
    gyrei_loop_free(uring->loop, probe, bytes);
    return error;
}

/* ---- mapping ---- */

static void unmap_queues(const gyrei_env *env, const struct io_uring *ring)
{
    env->sys->unmap(env, ring->sq.sqes, ring->sq.ring_entries * sizeof(struct io_uring_sqe));
    if (ring->cq.ring_ptr != ring->sq.ring_ptr)
        env->sys->unmap(env, ring->cq.ring_ptr, ring->cq.ring_sz);
    env->sys->unmap(env, ring->sq.ring_ptr, ring->sq.ring_sz);
}

/* Entries are submitted in the order of the array: it is the identity, once and for all. */
static int map_queues(struct io_uring *ring, int fd, struct io_uring_params *params)
{
    const int error = io_uring_queue_mmap(fd, params, ring);

    if (error != 0)
        return GYRE_ENOMEM;
    ring->features = params->features; /* liburing 2.3 leaves them out */
    for (uint32_t i = 0; i < ring->sq.ring_entries; i++)
        ring->sq.array[i] = i;
    return 0;
}

static int complete_ring(gyrei_uring *uring, struct io_uring_params *params)
{
    int error;

    if ((params->features & FEATURES_NEEDED) != FEATURES_NEEDED)
        return GYRE_ENOSYS;
    error = probe_opcodes(uring);
    if (error != 0)
        return error;
    uring->messages = gyrei_loop_alloc(uring->loop, params->sq_entries * sizeof(*uring->messages));
    if (uring->messages == NULL)
        return GYRE_ENOMEM;
    error = map_queues(&uring->ring, uring->fd, params);
    if (error != 0)
        gyrei_loop_free(uring->loop, uring->messages,
                        params->sq_entries * sizeof(*uring->messages));
    return error;
}

int gyrei_uring_ring_open(gyrei_uring *uring)
{
    struct io_uring_params params;
    int error;

    GYRE_ASSERT(uring->fd < 0);
    uring->fd = set_up(uring, &params);
    if (uring->fd < 0) {
        error = uring->fd;
        uring->fd = -1;
        return error;
    }
    uring->enter_fd = uring->fd;
    uring->enter_flags = 0;
    error = complete_ring(uring, &params);
    if (error != 0) {
        uring->env->sys->close(uring->env, uring->fd);
        uring->fd = -1;
    }
    return error;
}

int gyrei_uring_ring_enable(gyrei_uring *uring)
{
    struct io_uring_rsrc_update registered = {.offset = UINT32_MAX,
                                              .data = (uint64_t)(uint32_t)uring->fd};
    const gyrei_sys *sys = uring->env->sys;
    const int error =
        sys->uring_register(uring->env, uring->fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);

    if (error < 0)
        return error;
    /* A thread has room for 16 registered rings; the others cost 40 ns more a call. */
    if (sys->uring_register(uring->env, uring->fd, IORING_REGISTER_RING_FDS, &registered, 1) == 1) {
        uring->enter_fd = (int)registered.offset;
        uring->enter_flags = IORING_ENTER_REGISTERED_RING;
    }
    return 0;
}

void gyrei_uring_ring_close(gyrei_uring *uring, bool ours)
{
    const gyrei_sys *sys = uring->env->sys;

    if (uring->fd < 0)
        return;
    if (ours && uring->enter_flags != 0) {
        struct io_uring_rsrc_update registered = {.offset = (uint32_t)uring->enter_fd};

        (void)sys->uring_register(uring->env, uring->fd, IORING_UNREGISTER_RING_FDS, &registered,
                                  1);
    }
    gyrei_loop_free(uring->loop, uring->messages,
                    uring->ring.sq.ring_entries * sizeof(*uring->messages));
    unmap_queues(uring->env, &uring->ring);
    sys->close(uring->env, uring->fd);
    uring->fd = -1;
}
