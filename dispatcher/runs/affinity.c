/* SPDX-License-Identifier: MIT */
/* affinity.c - sets of eight places, of which a key has one. */
#include "dispatcher/runs/affinity.h"

#include <errno.h>
#include <stdlib.h>

#define WAY_COUNT 8u
#define SET_COUNT (AFFINITY_KEY_COUNT / WAY_COUNT)

int affinity_init(struct affinity *affinity)
{
    *affinity = (struct affinity){.places = calloc(AFFINITY_KEY_COUNT, sizeof *affinity->places)};
    return affinity->places ? 0 : -ENOMEM;
}

void affinity_finish(struct affinity *affinity)
{
    free(affinity->places);
    *affinity = (struct affinity){0};
}

/* Keys are hashes already. */
static struct affinity_place *affinity_set(const struct affinity *affinity, uint64_t key)
{
    return &affinity->places[key % SET_COUNT * WAY_COUNT];
}

bool affinity_find(const struct affinity *affinity, uint64_t key, struct affinity_holder *out)
{
    const struct affinity_place *set = affinity_set(affinity, key);
    mr_assert(key != 0);
    for (uint32_t i = 0; i < WAY_COUNT; i++)
        if (set[i].key == key) {
            *out = set[i].holder;
            return true;
        }
    return false;
}

void affinity_note(struct affinity *affinity, uint64_t key, struct affinity_holder holder)
{
    struct affinity_place *set = affinity_set(affinity, key);
    struct affinity_place *place = &set[0];
    mr_assert(key != 0);
    for (uint32_t i = 0; i < WAY_COUNT && place->key != key; i++)
        if (set[i].key == key || set[i].used < place->used)
            place = &set[i];
    *place = (struct affinity_place){.key = key, .holder = holder, .used = ++affinity->use_count};
}
