/* SPDX-License-Identifier: MIT */
/*
 * slot.c - the edges R3/A3 to R6/A6 on the words of one slot and the count of cancels.
 *
 * A word holds (generation << 8) | something, so a value left over from an earlier run of the same
 * slot is never taken for one of this run.
 */
#include "shm/slot.h"

static uint64_t slot_word(uint32_t generation, uint32_t low)
{
    mr_assert(low <= 0xff);
    return ((uint64_t)generation << 8) | low;
}

bool slot_move(struct slot_shared *slot, uint32_t generation, enum slot_state from,
               enum slot_state to)
{
    mr_assert(from < SLOT_STATE_COUNT);
    mr_assert(to < SLOT_STATE_COUNT);
    uint64_t expected = slot_word(generation, from);
    uint64_t desired = slot_word(generation, to);
    /* R3: publishes what was written before the state, and as A3 sees what came with the old one;
     * pairs with itself and with R3 in slot_store. relaxed on failure: nothing was learned. */
    return atomic_compare_exchange_strong_explicit(&slot->word, &expected, desired,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

static void slot_store(struct slot_shared *slot, uint32_t generation, enum slot_state state)
{
    /* R3: publishes what was written before the state; pairs with A3 in slot_move. */
    atomic_store_explicit(&slot->word, slot_word(generation, state), memory_order_release);
}

void slot_offer(struct slot_shared *slot, uint32_t generation)
{
    /* relaxed: own words, published by R3 in slot_store and by the START record's R1. */
    atomic_store_explicit(&slot->cancel, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->delivered, 0, memory_order_relaxed);
    slot_store(slot, generation, SLOT_OFFERED);
}

void slot_free(struct slot_shared *slot, uint32_t generation)
{
    slot_store(slot, generation, SLOT_FREE);
}

static void slot_count_cancel(_Atomic uint64_t *cancel_count)
{
    /* R6: publishes the word that is counted; pairs with A6 in slot_cancel_count. */
    atomic_fetch_add_explicit(cancel_count, 1, memory_order_release);
}

void slot_cancel(struct slot_shared *slot, _Atomic uint64_t *cancel_count, uint32_t generation,
                 uint32_t reason)
{
    mr_assert(reason != 0);
    /* R4: publishes what was written before asking; pairs with A4 in slot_cancel_reason. */
    atomic_store_explicit(&slot->cancel, slot_word(generation, reason), memory_order_release);
    slot_count_cancel(cancel_count);
}

uint32_t slot_cancel_reason(struct slot_shared *slot, uint32_t generation)
{
    /* A4: sees what was written before asking; pairs with R4 in slot_cancel. */
    uint64_t word = atomic_load_explicit(&slot->cancel, memory_order_acquire);
    return word >> 8 == generation ? (uint32_t)(word & 0xff) : 0;
}

uint64_t slot_cancel_count(const _Atomic uint64_t *cancel_count)
{
    /* A6: sees every cancel word that was counted; pairs with R6 in slot_cancel. */
    return atomic_load_explicit(cancel_count, memory_order_acquire);
}

void slot_deliver(struct slot_shared *slot, uint64_t charge)
{
    /* R5: publishes what was written before the count; pairs with A5 in slot_delivered. */
    atomic_store_explicit(&slot->delivered, charge, memory_order_release);
}

uint64_t slot_delivered(struct slot_shared *slot)
{
    /* A5: sees what was written before the count; pairs with R5 in slot_deliver. */
    return atomic_load_explicit(&slot->delivered, memory_order_acquire);
}

void slot_progress(struct slot_shared *slot, uint64_t now_ns)
{
    /* relaxed: a stamp on its own; a late one only makes the worker look a little slower. */
    atomic_store_explicit(&slot->progress, now_ns, memory_order_relaxed);
}

uint64_t slot_last_progress(struct slot_shared *slot)
{
    /* relaxed: as in slot_progress. */
    return atomic_load_explicit(&slot->progress, memory_order_relaxed);
}
