/* SPDX-License-Identifier: MIT */
/*
 * allocs.h - memory ends when a test says so: the program is linked with the --wrap options of the
 * Makefile for it (LINK_allocs).
 */
#ifndef TESTS_DISPATCHER_ALLOCS_H
#define TESTS_DISPATCHER_ALLOCS_H

#include <limits.h>
#include <stddef.h>

/* So many more succeed, and the next one fails. */
static unsigned allocs_left = UINT_MAX;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

static inline int allocs_end(void)
{
    if (allocs_left == UINT_MAX)
        return 0;
    return allocs_left-- == 0;
}

void *__wrap_malloc(size_t bytes)
{
    return allocs_end() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return allocs_end() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    return allocs_end() ? NULL : __real_realloc(old, bytes);
}

#endif
