/* SPDX-License-Identifier: MIT */
/* id_index.c - places by the ids of runs. */
#include "dispatcher/runs/id_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX_BYTES 4u /* "run_", the same in all of them */
#define DIGITS_USED 8u

static uint32_t *index_bucket_of(const struct id_index *index, const char *id);

int id_index_init(struct id_index *index, uint32_t place_count)
{
    uint32_t bucket_count = 1;
    while (bucket_count < place_count && bucket_count < UINT32_C(1) << 31)
        bucket_count *= 2;
    *index = (struct id_index){.bucket_count = bucket_count, .place_count = place_count};
    index->buckets = malloc(bucket_count * sizeof(*index->buckets));
    index->next = calloc(place_count, sizeof(*index->next));
    if (!index->buckets || !index->next) {
        id_index_finish(index);
        return -ENOMEM;
    }
    memset(index->buckets, 0xff, bucket_count * sizeof(*index->buckets));
    return 0;
}

void id_index_finish(struct id_index *index)
{
    free(index->buckets);
    free(index->next);
    *index = (struct id_index){0};
}

void id_index_add(struct id_index *index, const char *id, uint32_t place)
{
    uint32_t *bucket = index_bucket_of(index, id);
    index->next[place] = *bucket;
    *bucket = place;
}

void id_index_remove(struct id_index *index, const char *id, uint32_t place)
{
    uint32_t *link = index_bucket_of(index, id);
    while (*link != place) {
        mr_assert(*link != ID_NONE);
        link = &index->next[*link];
    }
    *link = index->next[place];
}

uint32_t id_index_first(const struct id_index *index, const char *id)
{
    return *index_bucket_of(index, id);
}

uint32_t id_index_next(const struct id_index *index, uint32_t place)
{
    return index->next[place];
}

/* Hexadecimal digits; of other characters, four bits all the same. */
static uint32_t *index_bucket_of(const struct id_index *index, const char *id)
{
    uint32_t hash = 0;
    size_t count = strnlen(id, PREFIX_BYTES + DIGITS_USED);
    for (size_t i = PREFIX_BYTES; i < count; i++) {
        unsigned digit = (unsigned char)id[i];
        hash = hash << 4 | ((digit & 15) + (digit >= 'a' ? 9 : 0)) % 16;
    }
    return &index->buckets[hash & (index->bucket_count - 1)];
}
