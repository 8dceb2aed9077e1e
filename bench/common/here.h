/* System calls in the frame of who makes them: nobody returns across them, as from the C library's
 * functions. What that is worth is what the processor loses when it comes back from the kernel:
 * README.md. */
#ifndef BENCH_HERE_H
#define BENCH_HERE_H

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BENCH_HERE __attribute__((always_inline)) static inline

/* Newer processors' tables lack the older call. */
#ifdef SYS_epoll_wait
#define BENCH_EPOLL_WAIT SYS_epoll_wait
#else
#define BENCH_EPOLL_WAIT SYS_epoll_pwait
#endif

#if defined(__x86_64__) && defined(__LP64__)

BENCH_HERE long here_call(long number, long a, const void *b, long c, long d)
{
    register long fourth __asm__("r10") = d;
    register long fifth __asm__("r8") = 0;
    register long sixth __asm__("r9") = 0;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth), "r"(sixth)
                     : "rcx", "r11", "memory");
    return result;
}

#else

/* Without the difference. */
BENCH_HERE long here_call(long number, long a, const void *b, long c, long d)
{
    long result = syscall(number, a, b, c, d, 0, 0);
    return result < 0 ? -errno : result;
}

#endif

/* recv(2), send(2), epoll_wait(2): a result, or a negative errno. */
BENCH_HERE long here_recv(int fd, void *bytes, size_t length)
{
    return here_call(SYS_recvfrom, fd, bytes, (long)length, 0);
}

BENCH_HERE long here_send(int fd, const void *bytes, size_t length)
{
    return here_call(SYS_sendto, fd, bytes, (long)length, MSG_NOSIGNAL | MSG_DONTWAIT);
}

BENCH_HERE int here_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout)
{
    return (int)here_call(BENCH_EPOLL_WAIT, epoll, events, max, timeout);
}

#endif
