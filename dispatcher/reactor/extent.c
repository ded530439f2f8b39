/* SPDX-License-Identifier: MIT */
/* extent.c - long buffers by size class, straight from the kernel. */
#include "dispatcher/reactor/extent.h"

#include <sys/mman.h>

/* From here on faults are taken two megabytes at a time, where the kernel has huge pages. */
#define HUGE_BYTES ((size_t)4 * 1024 * 1024)

static uint32_t extent_class_of(size_t room);
static struct extent *extent_map(uint32_t class);
static size_t extent_class_bytes(uint32_t class);

struct extent *extent_take(struct extent_pool *pool, size_t room)
{
    uint32_t class = extent_class_of(room);
    if (class == EXTENT_CLASS_COUNT)
        return NULL;
    struct extent *extent = pool->free[class];
    if (!extent)
        return extent_map(class);
    pool->free[class] = extent->next;
    pool->kept_bytes -= extent->touched;
    return extent;
}

void extent_put(struct extent_pool *pool, struct extent *extent, size_t used)
{
    mr_assert(extent->class < EXTENT_CLASS_COUNT);
    if (extent->touched < used)
        extent->touched = used;
    if (pool->kept_bytes + extent->touched > EXTENT_KEPT_BYTES_MAX) {
        munmap(extent, extent_class_bytes(extent->class));
        return;
    }
    pool->kept_bytes += extent->touched;
    extent->next = pool->free[extent->class];
    pool->free[extent->class] = extent;
}

void extent_pool_finish(struct extent_pool *pool)
{
    for (uint32_t class = 0; class < EXTENT_CLASS_COUNT; class ++)
        while (pool->free[class]) {
            struct extent *extent = pool->free[class];
            pool->free[class] = extent->next;
            munmap(extent, extent_class_bytes(class));
        }
    *pool = (struct extent_pool){0};
}

static size_t extent_class_bytes(uint32_t class)
{
    return (size_t)1 << (EXTENT_SHIFT_MIN + class);
}

/* EXTENT_CLASS_COUNT: none is large enough. */
static uint32_t extent_class_of(size_t room)
{
    uint32_t class = 0;
    while (class < EXTENT_CLASS_COUNT && extent_class_bytes(class) - sizeof(struct extent) < room)
        class ++;
    return class;
}

static struct extent *extent_map(uint32_t class)
{
    size_t bytes = extent_class_bytes(class);
    struct extent *extent = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (extent == MAP_FAILED)
        return NULL;
    if (bytes >= HUGE_BYTES)
        madvise(extent, bytes, MADV_HUGEPAGE); /* advice: without it, it is only slower */
    extent->class = class;
    return extent;
}
