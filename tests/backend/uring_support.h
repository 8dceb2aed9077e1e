/*
 * What the tests of the io_uring backend share: an environment whose calls of io_uring can be
 * refused or watched.
 */
#ifndef GYRE_TEST_URING_SUPPORT_H
#define GYRE_TEST_URING_SUPPORT_H

/* before fixture.h, whose global their parameters would shadow */
#include "backend/uring.h"
#include "raw.h"

#include <stdlib.h>

/* ---- the kernel, as the test wants it ---- */

/* Each is asked before the call is made: 0 makes it, an error is the answer instead. */
typedef struct test_kernel {
    int (*on_setup)(uint32_t *entries, struct io_uring_params *params);
    int (*on_register)(uint32_t what, void *argument);
    int (*on_enter)(uint32_t submit, uint32_t wait);
    /* after a call that was made */
    void (*after_register)(uint32_t what, void *argument);
    void (*after_enter)(void);
    const char *backend; /* the variables GYRE_BACKEND and GYRE_BACKEND_STRICT */
    const char *strict;
    unsigned enters;
    unsigned setups;
} test_kernel;

static test_kernel kernel;
static gyrei_sys kernel_sys;
static gyrei_env kernel_env;

static inline int kernel_setup(const gyrei_env *env, uint32_t entries,
                               struct io_uring_params *params)
{
    int error = 0;

    kernel.setups++;
    if (kernel.on_setup != NULL)
        error = kernel.on_setup(&entries, params);
    return error != 0 ? error : gyrei_env_os.sys->uring_setup(env, entries, params);
}

static inline int kernel_register(const gyrei_env *env, int ring, uint32_t what, void *argument,
                                  uint32_t count)
{
    int result = 0;

    if (kernel.on_register != NULL)
        result = kernel.on_register(what, argument);
    if (result != 0)
        return result;
    result = gyrei_env_os.sys->uring_register(env, ring, what, argument, count);
    if (result >= 0 && kernel.after_register != NULL)
        kernel.after_register(what, argument);
    return result;
}

static inline int kernel_enter(const gyrei_env *env, int ring, uint32_t submit, uint32_t wait,
                               uint32_t flags, const void *argument, size_t size)
{
    int result = 0;

    kernel.enters++;
    if (kernel.on_enter != NULL)
        result = kernel.on_enter(submit, wait);
    if (result != 0)
        return result;
    result = gyrei_env_os.sys->uring_enter(env, ring, submit, wait, flags, argument, size);
    if (kernel.after_enter != NULL)
        kernel.after_enter();
    return result;
}

static inline const char *kernel_variable(const gyrei_env *env, const char *name)
{
    (void)env;
    return strcmp(name, "GYRE_BACKEND") == 0 ? kernel.backend : kernel.strict;
}

/* The real kernel again; io_uring is asked for, and no other will do. */
static inline void kernel_reset(void)
{
    kernel = (test_kernel){.backend = "uring", .strict = "1"};
    kernel_sys = *gyrei_env_os.sys;
    kernel_sys.uring_setup = kernel_setup;
    kernel_sys.uring_register = kernel_register;
    kernel_sys.uring_enter = kernel_enter;
    kernel_env = gyrei_env_os;
    kernel_env.sys = &kernel_sys;
    kernel_env.variable = kernel_variable;
}

/* These tests are for one backend; the others have nothing to run. */
static inline bool is_for_us(void)
{
    const char *name = getenv("GYRE_BACKEND");

    return name == NULL || strcmp(name, "uring") == 0;
}

#define NEED_URING()                                                                               \
    do {                                                                                           \
        if (!is_for_us())                                                                          \
            skip();                                                                                \
    } while (0)

/* Opens the test's loop on that kernel. It is held, so that turns wait for raw operations. */
static inline int loop_open(gyre_loop_options options)
{
    int error;

    options.size = sizeof(options);
    options.env = &kernel_env;
    error = gyre_loop_init(&loop, &options);
    if (error == 0)
        gyre_loop_hold(loop);
    return error;
}

static inline void loop_open_well(gyre_loop_options options)
{
    assert_int_equal(loop_open(options), 0);
    assert_string_equal(gyre_loop_backend_name(loop), "uring");
}

static inline gyrei_uring *uring_of_loop(void)
{
    return (gyrei_uring *)(void *)loop->backend;
}

/* Ends the hold and closes; every operation has ended. */
static inline void loop_close_well(void)
{
    const gyrei_uring *uring = uring_of_loop();

    for (uint32_t i = 0; i < uring->pool.count; i++)
        assert_int_equal(uring->pool.buffers[i].parts, 0);
    gyre_loop_release(loop);
    assert_int_equal(gyre_loop_close(loop), 0);
    loop = NULL;
}

/* ---- set-up ---- */

static inline int uring_set_up(void **state)
{
    (void)state;
    kernel_reset();
    loop = NULL;
    return 0;
}

#define URING_TEST(name) cmocka_unit_test_setup_teardown(name, uring_set_up, loop_tear_down)

#endif
