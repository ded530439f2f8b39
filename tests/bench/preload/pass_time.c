/* SPDX-License-Identifier: MIT */
/*
 * pass_time.c - measures the passes of a server's loop from outside (LD_PRELOAD): what lies between
 * the end of one wait for io_uring and the begin of the next.
 *
 *     PASS_TIME_FILE=file LD_PRELOAD=pass_time.so millrace serve ...
 *
 * When the program ends, the file has one line: count=N longest_ms=X over_1ms=N over_10ms=N
 * longest_cpu_ms=X blocked_ms=X. The longest of the processor time of passes is what others cannot
 * stretch. The last is the longest time for which a pass neither ran nor waited for a
 * processor, as /proc/thread-self/schedstat counts it, which is brought up to date with every tick
 * only: less than one tick (1 to 4 ms) says nothing.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct io_uring;
struct io_uring_cqe;
struct __kernel_timespec;

int io_uring_submit_and_wait(struct io_uring *ring, unsigned count);
int io_uring_submit_and_get_events(struct io_uring *ring);
int io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
                                     unsigned count, struct __kernel_timespec *timeout, void *mask);

static uint64_t pass_began_ns, pass_busy_ns, pass_count;
static uint64_t pass_cpu_ns, longest_cpu_ns, longest_ns, blocked_ns, over_1ms_count,
    over_10ms_count;

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Time on a processor, and time in wait for one. */
static uint64_t busy_ns(void)
{
    static int fd = -1;
    char text[96];
    if (fd == -1)
        fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    ssize_t count = pread(fd, text, sizeof(text) - 1, 0);
    if (count <= 0)
        return 0;
    text[count] = '\0';
    char *end;
    uint64_t on_processor = strtoull(text, &end, 10);
    return on_processor + strtoull(end, NULL, 10);
}

static void pass_end(void)
{
    if (pass_began_ns == 0)
        return;
    uint64_t cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - pass_cpu_ns;
    uint64_t took_ns = clock_ns(CLOCK_MONOTONIC) - pass_began_ns, busy = busy_ns() - pass_busy_ns;
    uint64_t idle_ns = took_ns > busy ? took_ns - busy : 0;
    pass_count++;
    over_1ms_count += took_ns > 1000000;
    over_10ms_count += took_ns > 10000000;
    longest_ns = took_ns > longest_ns ? took_ns : longest_ns;
    longest_cpu_ns = cpu_ns > longest_cpu_ns ? cpu_ns : longest_cpu_ns;
    blocked_ns = idle_ns > blocked_ns ? idle_ns : blocked_ns;
}

static int pass_begin(int rc)
{
    pass_busy_ns = busy_ns();
    pass_began_ns = clock_ns(CLOCK_MONOTONIC);
    pass_cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    return rc;
}

/* ISO C has no other way from what dlsym() returns to a function. */
#define NEXT(name)                                                                                 \
    static union {                                                                                 \
        void *object;                                                                              \
        __typeof__(&name) function;                                                                \
    } next;                                                                                        \
    if (!next.object)                                                                              \
        next.object = dlsym(RTLD_NEXT, #name);                                                     \
    pass_end()

int io_uring_submit_and_wait(struct io_uring *ring, unsigned count)
{
    NEXT(io_uring_submit_and_wait);
    return pass_begin(next.function(ring, count));
}

int io_uring_submit_and_get_events(struct io_uring *ring)
{
    NEXT(io_uring_submit_and_get_events);
    return pass_begin(next.function(ring));
}

int io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
                                     unsigned count, struct __kernel_timespec *timeout, void *mask)
{
    NEXT(io_uring_submit_and_wait_timeout);
    return pass_begin(next.function(ring, cqe, count, timeout, mask));
}

__attribute__((destructor)) static void report(void)
{
    const char *path = getenv("PASS_TIME_FILE");
    FILE *file = path && pass_count > 0 ? fopen(path, "w") : NULL;
    if (!file)
        return;
    fprintf(file,
            "count=%" PRIu64 " longest_ms=%.2f over_1ms=%" PRIu64 " over_10ms=%" PRIu64
            " longest_cpu_ms=%.2f blocked_ms=%.2f\n",
            pass_count, (double)longest_ns / 1e6, over_1ms_count, over_10ms_count,
            (double)longest_cpu_ns / 1e6, (double)blocked_ns / 1e6);
    fclose(file);
}
