/* SPDX-License-Identifier: MIT */
/*
 * ring_memory.h - what tests of shared memory stand on: memory between guard pages that a fork
 * shares, bytes that tell where they belong, seeded chance, and the count of open descriptors.
 */
#ifndef TESTS_RING_MEMORY_H
#define TESTS_RING_MEMORY_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "millrace/check.h"
#include "millrace/limits.h"
#include "millrace/protocol.h"
#include "shm/ring.h"

#define GUARD_BYTES 4096u

/* Shared, zeroed memory with an inaccessible page before and behind it. `bytes` is a multiple of
 * the page, or the memory ends at the guard and begins in the middle of a page. */
static inline void *guarded_map(size_t bytes)
{
    size_t inner = (bytes + GUARD_BYTES - 1) & ~(size_t)(GUARD_BYTES - 1);
    uint8_t *outer = mmap(NULL, inner + 2 * GUARD_BYTES, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    mr_assert(outer != MAP_FAILED);
    mr_assert(mprotect(outer, GUARD_BYTES, PROT_NONE) == 0);
    mr_assert(mprotect(outer + GUARD_BYTES + inner, GUARD_BYTES, PROT_NONE) == 0);
    return outer + GUARD_BYTES + (inner - bytes);
}

static inline void guarded_unmap(void *memory, size_t bytes)
{
    size_t inner = (bytes + GUARD_BYTES - 1) & ~(size_t)(GUARD_BYTES - 1);
    uint8_t *outer = (uint8_t *)memory - (inner - bytes) - GUARD_BYTES;
    mr_assert(munmap(outer, inner + 2 * GUARD_BYTES) == 0);
}

/* A ring whose data ends at a guard page, empty at `position`. */
static inline struct ring_shared *ring_memory_map(uint32_t capacity, uint64_t position)
{
    struct ring_shared *shared = guarded_map(sizeof *shared + capacity);
    ring_format(shared, capacity);
    atomic_store_explicit(&shared->tail, position, memory_order_relaxed);
    atomic_store_explicit(&shared->head, position, memory_order_relaxed);
    return shared;
}

static inline void ring_memory_unmap(struct ring_shared *shared, uint32_t capacity)
{
    guarded_unmap(shared, sizeof *shared + capacity);
}

/* The byte at `index` of the payload of record `sequence`. */
static inline uint8_t pattern_byte(uint32_t sequence, uint32_t index)
{
    return (uint8_t)(sequence * 31 + index + (index >> 8));
}

static inline void pattern_fill(void *payload, uint32_t from, uint32_t to, uint32_t sequence)
{
    uint8_t *bytes = payload;
    for (uint32_t i = from; i < to; i++)
        bytes[i] = pattern_byte(sequence, i);
}

/* True when the first `count` bytes are those of record `sequence`. */
static inline bool pattern_holds(const void *payload, uint32_t count, uint32_t sequence)
{
    const uint8_t *bytes = payload;
    for (uint32_t i = 0; i < count; i++) {
        if (bytes[i] != pattern_byte(sequence, i))
            return false;
    }
    return true;
}

/* xorshift64*: small, and the same on every machine. */
static inline uint32_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (uint32_t)((*state * UINT64_C(0x2545f4914f6cdd1d)) >> 32);
}

/* A number below `bound`. */
static inline uint32_t random_below(uint64_t *state, uint32_t bound)
{
    return (uint32_t)(((uint64_t)random_next(state) * bound) >> 32);
}

/* The number in an environment variable, else `otherwise`. */
static inline uint64_t environment_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL && *text != '\0' ? strtoull(text, NULL, 0) : otherwise;
}

static inline int descriptor_count(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) != -1;
    return count;
}

/* Group setup and teardown: a test program leaves as many descriptors open as it found. cmocka
 * tells of a teardown that failed, but not by the exit code. */
static int descriptors_before;

static inline int descriptors_note(void **state)
{
    (void)state;
    descriptors_before = descriptor_count();
    return 0;
}

static inline int descriptors_compare(void **state)
{
    (void)state;
    int count = descriptor_count();
    if (count == descriptors_before)
        return 0;
    fprintf(stderr, "%d descriptors were open, and now there are %d\n", descriptors_before, count);
    exit(EXIT_FAILURE);
}

#endif
