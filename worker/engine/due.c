/* SPDX-License-Identifier: MIT */
/*
 * due.c - the heap, and where each slot is in it.
 */
#include "worker/engine/due.h"

#include <errno.h>

int due_init(struct due *due, uint32_t slot_count)
{
    *due = (struct due){.slot_count = slot_count};
    due->entries = calloc(slot_count, sizeof *due->entries);
    due->places = calloc(slot_count, sizeof *due->places);
    if (!due->entries || !due->places) {
        due_finish(due);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < slot_count; i++)
        due->places[i] = DUE_NOWHERE;
    return 0;
}

void due_finish(struct due *due)
{
    free(due->entries);
    free(due->places);
    *due = (struct due){.entries = NULL};
}

static void due_put(struct due *due, uint32_t place, struct due_entry entry)
{
    due->entries[place] = entry;
    due->places[entry.slot] = place;
}

/* Moves the hole at `place` up to where `entry` belongs. */
static void due_rise(struct due *due, uint32_t place, struct due_entry entry)
{
    while (place > 0) {
        uint32_t parent = (place - 1) / 2;
        if (due->entries[parent].due_ns <= entry.due_ns)
            break;
        due_put(due, place, due->entries[parent]);
        place = parent;
    }
    due_put(due, place, entry);
}

/* Moves the hole at `place` down to where `entry` belongs. */
static void due_sink(struct due *due, uint32_t place, struct due_entry entry)
{
    for (;;) {
        uint32_t child = 2 * place + 1;
        if (child >= due->count)
            break;
        if (child + 1 < due->count && due->entries[child + 1].due_ns < due->entries[child].due_ns)
            child++;
        if (entry.due_ns <= due->entries[child].due_ns)
            break;
        due_put(due, place, due->entries[child]);
        place = child;
    }
    due_put(due, place, entry);
}

void due_add(struct due *due, uint32_t slot, uint64_t due_ns)
{
    mr_assert(slot < due->slot_count);
    mr_assert(due->places[slot] == DUE_NOWHERE);
    due_rise(due, due->count++, (struct due_entry){.due_ns = due_ns, .slot = slot});
}

void due_remove(struct due *due, uint32_t slot)
{
    mr_assert(slot < due->slot_count);
    uint32_t place = due->places[slot];
    if (place == DUE_NOWHERE)
        return;
    due->places[slot] = DUE_NOWHERE;
    struct due_entry last = due->entries[--due->count];
    if (place == due->count)
        return;
    if (place > 0 && last.due_ns < due->entries[(place - 1) / 2].due_ns)
        due_rise(due, place, last);
    else
        due_sink(due, place, last);
}

uint64_t due_earliest_ns(const struct due *due)
{
    return due->count > 0 ? due->entries[0].due_ns : UINT64_MAX;
}

uint32_t due_take(struct due *due)
{
    mr_assert(due->count > 0);
    uint32_t slot = due->entries[0].slot;
    due_remove(due, slot);
    return slot;
}
