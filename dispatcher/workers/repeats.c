/* SPDX-License-Identifier: MIT */
/* repeats.c - texts told from each other by a hash: who makes two that collide hides his own. */
#include "dispatcher/workers/repeats.h"

#include <string.h>

/* FNV-1a, 64 bits. */
#define REPEATS_HASH_START UINT64_C(0xcbf29ce484222325)
#define REPEATS_HASH_PRIME UINT64_C(0x100000001b3)

static uint64_t repeats_hash(uint64_t hash, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ (unsigned char)text[i]) * REPEATS_HASH_PRIME;
    return hash;
}

uint64_t repeats_note(struct repeats *repeats, const char *text, size_t bytes, const char *more,
                      size_t more_bytes)
{
    uint64_t hash = repeats_hash(REPEATS_HASH_START, text, bytes);
    hash = repeats_hash(hash, more, more ? more_bytes : 0);
    if (hash != repeats->hash)
        *repeats = (struct repeats){.hash = hash};
    return repeats->count++;
}

bool repeats_has(const struct repeats *repeats, const char *text)
{
    return repeats->count > 0 &&
           repeats->hash == repeats_hash(REPEATS_HASH_START, text, strlen(text));
}
