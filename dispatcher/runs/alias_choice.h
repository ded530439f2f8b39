/* SPDX-License-Identifier: MIT */
/*
 * alias_choice.h - which of several gets the next one, by weights: in turns, or by a key.
 *
 * In turns (smooth weighted round robin) each gets exactly its share of every so many that are the
 * sum of the weights, and those of one are spread among the others: of 5, 1 and 1 it is a a b a c a
 * a. By a key (weighted rendezvous hashing) each key has one place, of all keys each place has its
 * share, and where a weight changes no key moves that need not: to the one that got more, or from
 * the one that got less.
 */
#ifndef DISPATCHER_ALIAS_CHOICE_H
#define DISPATCHER_ALIAS_CHOICE_H

#include <stddef.h>
#include <stdint.h>

/* One of those to choose from. */
struct alias_choice {
    uint64_t identity; /* alias_hash() of its name, by which keys know it */
    uint32_t weight;   /* 0: never */
    int64_t credit;    /* what it has not got yet; 0 at first */
};

/* Of `count` choices, the place of the one whose turn it is. One weight at least is above 0. */
uint32_t alias_choose_turn(struct alias_choice *choices, uint32_t count);

/* Likewise the place of a key, which alone decides: neither turns nor the order of the choices. */
uint32_t alias_choose_key(const struct alias_choice *choices, uint32_t count, uint64_t key);

/* SipHash-2-4 with a key that is the same in every server, so that each of several servers, and one
 * that was started again, gives a key the same place. */
uint64_t alias_hash(const void *bytes, size_t count);

/* Of two numbers, of which the order counts. */
uint64_t alias_hash_two(uint64_t first, uint64_t second);

#endif
