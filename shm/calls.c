/* SPDX-License-Identifier: MIT */
/* calls.c - one thread adds, another process looks. */
#include "shm/calls.h"

#include "millrace/check.h"

#define TIME_FIRST_NS UINT64_C(100000) /* up to here it is the first bucket */

static void calls_word_add(_Atomic uint64_t *word, uint64_t value)
{
    /* relaxed: our own word, which nobody else writes; a figure on its own. */
    uint64_t now = atomic_load_explicit(word, memory_order_relaxed);
    atomic_store_explicit(word, now + value, memory_order_relaxed);
}

/* 0 for 0 and 1; else how often 1 has to be doubled to reach it. */
static uint32_t calls_doublings(uint64_t value)
{
    return value <= 1 ? 0 : 64 - (uint32_t)__builtin_clzll(value - 1);
}

static uint32_t calls_least(uint32_t index, uint32_t last)
{
    return index < last ? index : last;
}

void calls_add(struct calls_shared *calls, uint64_t time_ns, uint64_t item_count)
{
    uint64_t units = time_ns / TIME_FIRST_NS + (time_ns % TIME_FIRST_NS != 0);
    uint32_t time = calls_least(calls_doublings(units), CALLS_TIME_COUNT - 1);
    uint32_t item = item_count == 0 ? 0 : 1 + calls_doublings(item_count);
    calls_word_add(&calls->time_ns, time_ns);
    calls_word_add(&calls->item_count, item_count);
    calls_word_add(&calls->time_counts[time], 1);
    calls_word_add(&calls->item_counts[calls_least(item, CALLS_ITEM_COUNT - 1)], 1);
}

static void calls_word_collect(const _Atomic uint64_t *word, uint64_t *seen, uint64_t *total)
{
    /* relaxed: a figure on its own. */
    uint64_t now = atomic_load_explicit(word, memory_order_relaxed);
    if (now > CALLS_WORD_MAX)
        now = CALLS_WORD_MAX;
    if (now <= *seen)
        return;
    *total += now - *seen;
    if (*total > CALLS_WORD_MAX)
        *total = CALLS_WORD_MAX;
    *seen = now;
}

void calls_collect(const struct calls_shared *calls, struct calls *seen, struct calls *total)
{
    calls_word_collect(&calls->time_ns, &seen->time_ns, &total->time_ns);
    calls_word_collect(&calls->item_count, &seen->item_count, &total->item_count);
    for (uint32_t i = 0; i < CALLS_TIME_COUNT; i++)
        calls_word_collect(&calls->time_counts[i], &seen->time_counts[i], &total->time_counts[i]);
    for (uint32_t i = 0; i < CALLS_ITEM_COUNT; i++)
        calls_word_collect(&calls->item_counts[i], &seen->item_counts[i], &total->item_counts[i]);
}

uint64_t calls_count(const struct calls *calls)
{
    uint64_t count = 0;
    mr_assert(calls);
    for (uint32_t i = 0; i < CALLS_TIME_COUNT; i++)
        count += calls->time_counts[i];
    return count;
}
