/* SPDX-License-Identifier: MIT */
/*
 * affinity.h - which worker has what runs of a key would find again, as far as that is remembered:
 * a pure table.
 *
 * It has a bounded number of places. Where those that a key may have are taken, the one goes that
 * was not used for longest. A worker is known by its place and its process: what a process had is
 * forgotten with it.
 */
#ifndef DISPATCHER_AFFINITY_H
#define DISPATCHER_AFFINITY_H

#include <stdbool.h>
#include <stdint.h>

#include "millrace/check.h"

#define AFFINITY_KEY_COUNT 8192u

struct affinity_holder {
    uint32_t worker;     /* its index in the fleet */
    uint32_t generation; /* of its process */
};

struct affinity_place {
    uint64_t key; /* 0: vacant */
    struct affinity_holder holder;
    uint64_t used; /* when, by the table's own count */
};

/* Owned by its pipeline. */
struct affinity {
    struct affinity_place *places; /* owned */
    uint64_t use_count;
};

/* 0 or -ENOMEM. */
int affinity_init(struct affinity *affinity) MUST_USE;
void affinity_finish(struct affinity *affinity);

/* Who has it; false: nobody is known to. `key` is not 0. */
bool affinity_find(const struct affinity *affinity, uint64_t key, struct affinity_holder *out);

/* It has it from now on. */
void affinity_note(struct affinity *affinity, uint64_t key, struct affinity_holder holder);

#endif
