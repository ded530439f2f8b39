/* SPDX-License-Identifier: MIT */
/*
 * due.h - runs that wait for a time, earliest first: a binary heap of slots.
 */
#ifndef WORKER_DUE_H
#define WORKER_DUE_H

#include <stdint.h>

#include "millrace/check.h"

#define DUE_NOWHERE UINT32_MAX

struct due_entry {
    uint64_t due_ns;
    uint32_t slot;
};

/* Memory for `slot_count` entries; a slot is in it once at most. */
struct due {
    struct due_entry *entries; /* owned */
    uint32_t *places; /* owned; of each slot in entries, DUE_NOWHERE when it is not there */
    uint32_t count;
    uint32_t slot_count;
};

int due_init(struct due *due, uint32_t slot_count) MUST_USE;
void due_finish(struct due *due);

void due_add(struct due *due, uint32_t slot, uint64_t due_ns);

/* Takes a slot out; nothing happens when it is not there. */
void due_remove(struct due *due, uint32_t slot);

/* When the earliest is due; UINT64_MAX when there is none. */
uint64_t due_earliest_ns(const struct due *due);

/* Takes out the earliest, which must exist. */
uint32_t due_take(struct due *due);

#endif
