/* SPDX-License-Identifier: MIT */
/*
 * ring.h - single-producer single-consumer byte ring of records over shared memory.
 *
 *   data   [ free | released | committed records ......... | claimed | free ]
 *                 ^ head                                    ^ tail
 *
 * Roles are types: a ring_tx can only write, a ring_rx only read; each lives in one process (one
 * thread). Positions are 64-bit and free-running. A record is contiguous, a multiple of
 * RECORD_ALIGN, and becomes visible only by the release store of the tail (R1): a writer killed
 * half-way leaves nothing. Neither side trusts the other's words: each is loaded once, checked, and
 * the copy is used. Capacity and the data pointer are private copies.
 */
#ifndef SHM_RING_H
#define SHM_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "millrace/check.h"
#include "millrace/layout.h"

struct ring_tx {
    struct ring_shared *shared;
    uint8_t *data;
    uint64_t capacity;
    uint64_t tail;      /* own position, published by ring_commit */
    uint64_t head_seen; /* the consumer's, as last loaded */
    uint64_t claimed;   /* bytes from tail to the end of the claimed record, pad included; 0 none */
    uint64_t pad;       /* of which this much is padding before the wrap */
};

struct ring_rx {
    struct ring_shared *shared;
    const uint8_t *data;
    uint64_t capacity;
    uint64_t head;      /* as last published by ring_release */
    uint64_t next;      /* first byte not yet peeked */
    uint64_t tail_seen; /* the producer's, as last loaded and checked */
};

/* Puts the control words of a fresh ring in order. Creator only, before it is shared. */
void ring_format(struct ring_shared *shared, uint32_t capacity);

/* A private end on a ring of `capacity` bytes (a power of two the caller knows, never read back).
 * Positions are taken over from shared memory only by the producer's and consumer's own words. */
void ring_tx_init(struct ring_tx *tx, struct ring_shared *shared, uint32_t capacity);
void ring_rx_init(struct ring_rx *rx, struct ring_shared *shared, uint32_t capacity);

/* Largest payload of one record: a quarter of the ring less the header. */
uint32_t ring_payload_max(uint64_t capacity);

/* Room for one record of up to `bytes` payload at *payload, contiguous. One claim at a time. 0, or
 * -EAGAIN (full now), -EMSGSIZE (above ring_payload_max), -EPROTO (the consumer's position is
 * nonsense). On failure nothing is claimed. */
int ring_claim(struct ring_tx *tx, uint32_t bytes, void **payload) MUST_USE;

/* Grows the claim at hand to `bytes`, keeping the first `used` bytes (they may move). Results as
 * for ring_claim; on failure the old claim stands. */
int ring_extend(struct ring_tx *tx, uint32_t used, uint32_t bytes, void **payload) MUST_USE;

/* Publishes the claimed record with the header `meta`, whose `bytes` may be fewer than claimed
 * (R1). */
void ring_commit(struct ring_tx *tx, const struct record *meta);

/* Gives the claim back; nothing becomes visible. */
void ring_abort(struct ring_tx *tx);

/* Bytes that can be claimed for sure without waiting: payload of one record, 0 when full. Loads the
 * consumer's position. */
uint32_t ring_claimable(struct ring_tx *tx);

/* The next record: its header copied into `out`, *payload pointing into shared memory where the
 * peer may still rewrite it (copy before checking). 1, 0 (nothing there), or -EPROTO (a position or
 * a length is nonsense; the ring is dead). Padding is skipped. */
int ring_peek(struct ring_rx *rx, struct record *out, const void **payload) MUST_USE;

/* Where the consumer says it is, unchecked: to be compared only. It moves when room comes back. */
uint64_t ring_head(const struct ring_tx *tx);

/* What is committed and not given back, by the consumer's unchecked word: says whether to wait, and
 * nothing of what can be claimed. */
uint64_t ring_unread_bytes(const struct ring_tx *tx);

/* Gives back everything peeked so far (R2). Once per batch. True when it moved. */
bool ring_release(struct ring_rx *rx);

/* True when no record waits. Loads the producer's position; for the sleeper's second look. */
bool ring_is_empty(struct ring_rx *rx);

/* Assert what must hold between any two calls, whatever the peer writes. For tests. */
void ring_tx_check(const struct ring_tx *tx);
void ring_rx_check(const struct ring_rx *rx);

#endif
