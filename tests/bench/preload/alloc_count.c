/* SPDX-License-Identifier: MIT */
/*
 * alloc_count.c - counts heap allocations of a process it is loaded into (LD_PRELOAD), where
 * another process can read them while it runs.
 *
 *     ALLOC_COUNT_DIR=folder LD_PRELOAD=alloc_count.so program
 *
 * The count of calls that allocate (malloc, calloc, realloc and the aligned ones; those the C
 * library makes for itself too) is the 64-bit number at the start of folder/PID. Only counting is
 * added: the memory comes from the C library.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* glibc's own names for what is replaced here. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

static _Atomic uint64_t before_start;
static _Atomic uint64_t *counter = &before_start;

/* relaxed: a number for people; nothing is ordered by it. */
static void count_one(void)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

__attribute__((constructor)) static void counter_share(void)
{
    char path[4096];
    const char *folder = getenv("ALLOC_COUNT_DIR");
    if (!folder)
        return;
    snprintf(path, sizeof(path), "%s/%d", folder, (int)getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd == -1)
        return;
    void *page = ftruncate(fd, 4096) == -1
                     ? MAP_FAILED
                     : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (page != MAP_FAILED)
        counter = page;
}

void *malloc(size_t bytes)
{
    count_one();
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    count_one();
    return __libc_calloc(count, bytes);
}

void *realloc(void *memory, size_t bytes)
{
    count_one();
    return __libc_realloc(memory, bytes);
}

void *memalign(size_t alignment, size_t bytes);
void *memalign(size_t alignment, size_t bytes)
{
    count_one();
    return __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    count_one();
    return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **memory, size_t alignment, size_t bytes)
{
    count_one();
    void *made = __libc_memalign(alignment, bytes);
    if (!made)
        return ENOMEM;
    *memory = made;
    return 0;
}
