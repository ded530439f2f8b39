/* SPDX-License-Identifier: MIT */
/*
 * id_index.h - places by the ids of runs: a hash table with chains through an array.
 *
 * Ids are random, so part of one is its hash. Memory is taken at the start; adding, removing and
 * looking up allocate nothing. Who asks compares the whole id: only some digits are looked at here.
 *
 *     for (uint32_t i = id_index_first(&index, id); i != ID_NONE; i = id_index_next(&index, i))
 */
#ifndef DISPATCHER_ID_INDEX_H
#define DISPATCHER_ID_INDEX_H

#include <stdint.h>

#include "millrace/check.h"

#define ID_NONE UINT32_MAX

struct id_index {
    uint32_t *buckets;
    uint32_t bucket_count; /* a power of two */
    uint32_t *next;        /* of each place, in its chain */
    uint32_t place_count;
};

/* For places 0 .. place_count - 1. 0 or -ENOMEM. */
int id_index_init(struct id_index *index, uint32_t place_count) MUST_USE;
void id_index_finish(struct id_index *index);

/* A place is there once at most; to be removed under the id it was added with. */
void id_index_add(struct id_index *index, const char *id, uint32_t place);
void id_index_remove(struct id_index *index, const char *id, uint32_t place);

/* Places whose id may be this one; of any text. */
uint32_t id_index_first(const struct id_index *index, const char *id);
uint32_t id_index_next(const struct id_index *index, uint32_t place);

#endif
