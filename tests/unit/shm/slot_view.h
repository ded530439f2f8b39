/* SPDX-License-Identifier: MIT */
/*
 * slot_view.h - what a slot's word says, for tests: the two programs only ever move it.
 */
#ifndef TESTS_SLOT_VIEW_H
#define TESTS_SLOT_VIEW_H

#include "shm/slot.h"

struct slot_view {
    uint32_t generation;
    enum slot_state state;
};

/* Sees what was written before the state, as slot_move does. */
static inline struct slot_view slot_load(struct slot_shared *slot)
{
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    mr_assert((word & 0xff) < SLOT_STATE_COUNT);
    mr_assert(word >> 40 == 0);
    return (struct slot_view){
        .generation = (uint32_t)(word >> 8),
        .state = (enum slot_state)(word & 0xff),
    };
}

#endif
