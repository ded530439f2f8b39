/* SPDX-License-Identifier: MIT */
/*
 * weak_memory.h - what a few sides may read and write under C11's memory model, as a machine.
 *
 * Each word is a list of the values that were stored to it, in the order in which all sides agree.
 * A side has a view: for each word the newest value that it cannot help knowing. A load may return
 * that value or any newer one; a store may be put behind any value that the side knows. A release
 * sends the view along with the value, an acquire adds what was sent to the own view. Sequentially
 * consistent fences add to each other's views, in the order in which they happen. All that store
 * buffers do is among it (a load that does not see the newest value is one that overtook the
 * store), and more: what arm64 and a compiler may do to relaxed accesses. What it leaves out
 * are loads that see what is stored only later in the same run (load buffering).
 *
 * Plain accesses are no part of the views; they must be ordered by what is. Each side has a clock,
 * which releases send and acquires receive, and an access that conflicts with one which the own
 * clocks do not know of is a race. Fences between sides carry no clocks, just as in C11.
 */
#ifndef TESTS_WEAK_MEMORY_H
#define TESTS_WEAK_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEAK_SIDE_MAX 4u
#define WEAK_WORD_MAX 10u
#define WEAK_VALUE_MAX 24u
#define WEAK_BELL_MAX 2u
#define WEAK_CELL_BYTES 8u
#define WEAK_CELL_MAX 2048u

/* By the word: which of its values. By the side: up to where its plain accesses are known. */
struct weak_view {
    uint8_t known[WEAK_WORD_MAX];
    uint16_t clocks[WEAK_SIDE_MAX];
};

struct weak_value {
    uint64_t bits;
    struct weak_view sent;
    bool is_exchanged; /* the value behind it was made from it: nothing goes between */
};

/* `order[place]` is the value at a place, `place[value]` its reverse; value 0 is the first. */
struct weak_word {
    void *address;
    uint8_t bytes;
    uint8_t count;
    uint8_t order[WEAK_VALUE_MAX];
    uint8_t place[WEAK_VALUE_MAX];
    struct weak_value values[WEAK_VALUE_MAX];
};

struct weak_side {
    struct weak_view now;
    struct weak_view received; /* with what relaxed loads saw: an acquire fence adds it */
    struct weak_view released; /* at the last release fence: relaxed stores send it */
};

/* A descriptor that is written and slept on. The kernel takes a lock for both, which orders what is
 * before the one and behind the other as a release and an acquire do. */
struct weak_bell {
    uint32_t count;
    struct weak_view sent;
};

/* Some plain bytes: who wrote them last, and who has read them when. */
struct weak_cell {
    uint16_t written; /* by the writer's clock; 0: never */
    uint16_t writer;
    uint16_t read[WEAK_SIDE_MAX];
    bool is_touched;
};

struct weak_memory {
    uint32_t side_count;
    uint32_t word_count;
    uint32_t touched_count;
    struct weak_side sides[WEAK_SIDE_MAX];
    struct weak_view fenced; /* all that sequentially consistent fences have seen */
    struct weak_word words[WEAK_WORD_MAX];
    struct weak_bell bells[WEAK_BELL_MAX];
    uint16_t touched[WEAK_CELL_MAX];
    struct weak_cell cells[WEAK_CELL_MAX];
    uint8_t *plain; /* where the cells' bytes lie */
    size_t plain_bytes;
    /* Decides between 0 and `count` - 1 where more than one thing may happen. */
    uint32_t (*choose)(uint32_t count);
};

/* An access to a word of 4 or 8 bytes. Orders are those of <stdatomic.h>, but not seq_cst. */
struct weak_access {
    uint32_t side;
    int order;
    void *address;
    uint8_t bytes;
};

void weak_memory_reset(struct weak_memory *memory, uint32_t side_count, void *plain,
                       size_t plain_bytes);

/* True in *is_old when a newer value was there. */
uint64_t weak_load(struct weak_memory *memory, const struct weak_access *access, bool *is_old);
void weak_store(struct weak_memory *memory, const struct weak_access *access, uint64_t bits);
/* Returns the value before. */
uint64_t weak_add(struct weak_memory *memory, const struct weak_access *access, uint64_t operand);
/* Stores `desired` when the value, which it returns, is `expected`. `access->order` is that of
 * success. */
uint64_t weak_compare_exchange(struct weak_memory *memory, const struct weak_access *access,
                               uint64_t expected, uint64_t desired, int order_failed);
void weak_fence(struct weak_memory *memory, uint32_t side, int order);

void weak_bell_write(struct weak_memory *memory, uint32_t side, uint32_t bell);
void weak_bell_read(struct weak_memory *memory, uint32_t side, uint32_t bell);

/* False when it is a race. */
bool weak_plain(struct weak_memory *memory, uint32_t side, const void *address, size_t bytes,
                bool is_write);
bool weak_is_plain(const struct weak_memory *memory, const void *address);

/* Time passes for a side: its later plain accesses are not among what it has sent so far. */
void weak_tick(struct weak_memory *memory, uint32_t side);

/* Two memories with the same hash behave the same from here on. */
uint64_t weak_hash(const struct weak_memory *memory);

/* Writes each word's last value to where it is. */
void weak_settle(const struct weak_memory *memory);

static inline uint64_t weak_mix(uint64_t hash, uint64_t with)
{
    hash = (hash ^ with) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

#endif
