/* SPDX-License-Identifier: MIT */
/*
 * edge.h - buffers that end where a page begins that cannot be touched: one byte too far is a
 * crash.
 */
#ifndef TESTS_DISPATCHER_EDGE_H
#define TESTS_DISPATCHER_EDGE_H

#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "millrace/check.h"

struct edge {
    void *bytes; /* `count` of them, up to the edge */
    size_t count;
    void *map;
    size_t map_bytes;
};

static inline struct edge edge_create(size_t count)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t room = (count + page - 1) / page * page;
    char *map = mmap(NULL, room + page, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    mr_assert(map != MAP_FAILED);
    mr_assert(mprotect(map + room, page, PROT_NONE) == 0);
    return (struct edge){map + room - count, count, map, room + page};
}

static inline struct edge edge_copy(const void *bytes, size_t count)
{
    struct edge edge = edge_create(count);
    if (count > 0)
        memcpy(edge.bytes, bytes, count);
    return edge;
}

static inline void edge_destroy(struct edge *edge)
{
    munmap(edge->map, edge->map_bytes);
    edge->map = NULL;
}

#endif
