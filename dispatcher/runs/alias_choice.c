/* SPDX-License-Identifier: MIT */
/* alias_choice.c - shares by turns and by keys. */
#include "dispatcher/runs/alias_choice.h"

#include <math.h>
#include <string.h>

#include <sodium.h>

#include "millrace/check.h"

static const unsigned char hash_key[crypto_shorthash_KEYBYTES] = "millrace aliases";

uint64_t alias_hash(const void *bytes, size_t count)
{
    unsigned char out[crypto_shorthash_BYTES];
    uint64_t hash = 0;
    crypto_shorthash(out, bytes, count, hash_key);
    for (size_t i = 0; i < sizeof out; i++)
        hash = hash << 8 | out[i];
    return hash;
}

uint64_t alias_hash_two(uint64_t first, uint64_t second)
{
    unsigned char both[16];
    for (unsigned i = 0; i < 8; i++) {
        both[i] = (unsigned char)(first >> (8 * i));
        both[8 + i] = (unsigned char)(second >> (8 * i));
    }
    return alias_hash(both, sizeof both);
}

/* Who has waited most gets it, and pays what all were given. */
uint32_t alias_choose_turn(struct alias_choice *choices, uint32_t count)
{
    uint32_t best = count;
    int64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (choices[i].weight == 0)
            continue;
        choices[i].credit += choices[i].weight;
        sum += choices[i].weight;
        if (best == count || choices[i].credit > choices[best].credit)
            best = i;
    }
    mr_assert(best < count);
    choices[best].credit -= sum;
    return best;
}

/* Above 0 and below 1: the middle of one of 2^52 parts. */
static double choice_draw(uint64_t identity, uint64_t key)
{
    return ((double)(alias_hash_two(identity, key) >> 12) + 0.5) * 0x1p-52;
}

/* Each waits for a time that is the shorter, on the average, the more it weighs; the first one gets
 * it. A time depends on nothing but its own weight and the key. */
uint32_t alias_choose_key(const struct alias_choice *choices, uint32_t count, uint64_t key)
{
    uint32_t best = count;
    double best_time = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (choices[i].weight == 0)
            continue;
        double time = -log(choice_draw(choices[i].identity, key)) / choices[i].weight;
        if (best < count && time >= best_time)
            continue;
        best = i;
        best_time = time;
    }
    mr_assert(best < count);
    return best;
}
