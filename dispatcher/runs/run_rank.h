/* SPDX-License-Identifier: MIT */
/*
 * run_rank.h - by what a run is scheduled: its class, whose it is, and what it would find again.
 *
 * Tenants and keys are known by hashes with a secret of this process, so that nobody can choose
 * them to share a place with another one's.
 */
#ifndef DISPATCHER_RUN_RANK_H
#define DISPATCHER_RUN_RANK_H

#include <stddef.h>
#include <stdint.h>

#include "dispatcher/text/run_class.h"
#include "millrace/check.h"

#define RANK_SECRET_BYTES 16u

/* Zero is of the first class, of nobody in particular, and finds nothing again. */
struct run_rank {
    uint32_t class;
    uint64_t tenant;
    uint64_t affinity; /* 0: none */
};

struct rank_secret {
    unsigned char bytes[RANK_SECRET_BYTES];
};

/* A new one. 0 or -EIO: no randomness can be had. */
int rank_secret_make(struct rank_secret *out) MUST_USE;

/* Never 0. */
uint64_t rank_hash(const struct rank_secret *secret, const void *bytes, size_t count);

/* The hash of the first `prefix_bytes` of the first input that is text, in a payload (msgpack
 * [run_id, [input, ...]]) of which so many bytes are at hand; 0: there is none there. */
uint64_t rank_hash_prefix(const struct rank_secret *secret, const uint8_t *payload, size_t count,
                          uint32_t prefix_bytes);

#endif
