/*
 * System calls without the C library between: those that a server makes for each request and for
 * each connection.
 *
 * glibc's functions are cancellation points, with a look at the thread's state before and after,
 * and a return more: after a system call each return that was not called since is a misprediction,
 * some 8 ns. Each answers what the kernel answers: a result, or a negative errno. Sanitizers watch
 * the C library's functions, so they get those; so do processors that are not known here.
 */
#ifndef GYREI_OS_LINUX_CALL_H
#define GYREI_OS_LINUX_CALL_H

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GYREI_CALL_LIBC 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define GYREI_CALL_LIBC 1
#endif
#endif

#if defined(__x86_64__) && defined(__LP64__) && !defined(GYREI_CALL_LIBC)

/* System V ABI, A.2.1: number in rax; rcx and r11 are lost. */
static inline long gyrei_call(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

#elif defined(__aarch64__) && defined(__LP64__) && !defined(GYREI_CALL_LIBC)

/* syscall(2), "Architecture calling conventions": number in x8. */
static inline long gyrei_call(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;

    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}

#else

#ifndef GYREI_CALL_LIBC
#define GYREI_CALL_LIBC 1
#endif

static inline long gyrei_call(long number, long a, long b, long c, long d, long e, long f)
{
    const long result = syscall(number, a, b, c, d, e, f);

    return result < 0 ? -errno : result;
}

#endif

#ifdef GYREI_CALL_LIBC

static inline long gyrei_call_accept(int fd, int flags)
{
    const int result = accept4(fd, NULL, NULL, flags);

    return result < 0 ? -errno : result;
}

static inline long gyrei_call_close(int fd)
{
    return close(fd) < 0 ? -errno : 0;
}

static inline long gyrei_call_recv(int fd, void *base, size_t len)
{
    const ssize_t result = recv(fd, base, len, 0);

    return result < 0 ? -errno : result;
}

static inline long gyrei_call_send(int fd, const void *base, size_t len)
{
    const ssize_t result = send(fd, base, len, MSG_NOSIGNAL);

    return result < 0 ? -errno : result;
}

static inline long gyrei_call_sendmsg(int fd, const struct msghdr *message)
{
    const ssize_t result = sendmsg(fd, message, MSG_NOSIGNAL);

    return result < 0 ? -errno : result;
}

static inline long gyrei_call_epoll_ctl(int epoll, int how, int fd, struct epoll_event *event)
{
    return epoll_ctl(epoll, how, fd, event) < 0 ? -errno : 0;
}

static inline long gyrei_call_epoll_wait(int epoll, struct epoll_event *events, int max, int ms)
{
    const int result = epoll_wait(epoll, events, max, ms);

    return result < 0 ? -errno : result;
}

static inline long gyrei_call_epoll_pwait2(int epoll, struct epoll_event *events, int max,
                                           const struct timespec *timeout)
{
    const int result = epoll_pwait2(epoll, events, max, timeout, NULL);

    return result < 0 ? -errno : result;
}

#else

static inline long gyrei_call_accept(int fd, int flags)
{
    return gyrei_call(SYS_accept4, fd, 0, 0, flags, 0, 0);
}

static inline long gyrei_call_close(int fd)
{
    return gyrei_call(SYS_close, fd, 0, 0, 0, 0, 0);
}

static inline long gyrei_call_recv(int fd, void *base, size_t len)
{
    return gyrei_call(SYS_recvfrom, fd, (long)base, (long)len, 0, 0, 0);
}

static inline long gyrei_call_send(int fd, const void *base, size_t len)
{
    return gyrei_call(SYS_sendto, fd, (long)base, (long)len, MSG_NOSIGNAL, 0, 0);
}

static inline long gyrei_call_sendmsg(int fd, const struct msghdr *message)
{
    return gyrei_call(SYS_sendmsg, fd, (long)message, MSG_NOSIGNAL, 0, 0, 0);
}

static inline long gyrei_call_epoll_ctl(int epoll, int how, int fd, struct epoll_event *event)
{
    return gyrei_call(SYS_epoll_ctl, epoll, how, fd, (long)event, 0, 0);
}

/* Newer processors' tables lack the older call. */
#ifdef SYS_epoll_wait
#define GYREI_EPOLL_WAIT SYS_epoll_wait
#else
#define GYREI_EPOLL_WAIT SYS_epoll_pwait
#endif

static inline long gyrei_call_epoll_wait(int epoll, struct epoll_event *events, int max, int ms)
{
    return gyrei_call(GYREI_EPOLL_WAIT, epoll, (long)events, max, ms, 0, 0);
}

static inline long gyrei_call_epoll_pwait2(int epoll, struct epoll_event *events, int max,
                                           const struct timespec *timeout)
{
    return gyrei_call(SYS_epoll_pwait2, epoll, (long)events, max, (long)timeout, 0, 0);
}

#endif
#endif
