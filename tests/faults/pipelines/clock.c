/* SPDX-License-Identifier: MIT */
/*
 * clock.c - preloaded into a server: its wall clock jumps by the seconds in the file that
 * CLOCK_JUMP names.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* The file holds one int64_t, which the test changes while the server runs. */
static const int64_t *jump(void)
{
    static const int64_t none;
    static const int64_t *mapped;
    const char *path = getenv("CLOCK_JUMP");
    if (mapped)
        return mapped;
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *memory = fd == -1 ? MAP_FAILED : mmap(NULL, sizeof none, PROT_READ, MAP_SHARED, fd, 0);
    if (fd != -1)
        close(fd);
    mapped = memory == MAP_FAILED ? &none : memory;
    return mapped;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int rc = real(clock, now);
    if (rc == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += *jump();
    return rc;
}
