/* SPDX-License-Identifier: MIT */
/*
 * ring.c - the four labelled edges of a record ring, and the arithmetic between them.
 *
 *   claim    [ ... | committed | pad? | header | payload ....... ]  private until the commit
 *                              ^ tail                            ^ tail + claimed
 *   commit   [ ... | committed | pad? | header | payload .. | free ]
 *                                                           ^ tail, stored once (R1)
 *
 * Where a record does not fit before the wrap, a pad record fills the rest and the record starts at
 * offset 0; both become visible by the same store of the tail. A record takes at most a quarter of
 * the ring, so pad and record together take less than half, and an empty ring refuses nothing.
 *
 * The peer may write anything at any time. Our own positions, the capacity and the address of the
 * data are private; a position of the peer is loaded once and must lie between two of ours; a
 * header is copied once and the copy is checked. So no access leaves the ring, and every call ends.
 *
 * What a record costs across two cores is mostly the way of its cache lines from one to the other.
 * The producer asks for those that it is going to write long before it does, and so waits for none.
 */
#include "shm/ring.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "millrace/limits.h"
#include "millrace/protocol.h"

/* How far ahead of the tail the producer asks for cache lines: some eight short records. */
#define RING_PREFETCH_BYTES 1024u
#define RING_LINE_BYTES 64u

_Static_assert(RING_PREFETCH_BYTES < RING_BYTES_MIN, "lines that are free in an empty ring");

/* Without this gcc takes x86-64's oldest prefetch, which brings a line to be read: the write then
 * waits for it once more. All but Intel's first 64-bit processors, of 2005 and before, have
 * PREFETCHW or ignore it. */
#ifdef __x86_64__
#define PREFETCHES_TO_WRITE __attribute__((target("prfchw")))
#else
#define PREFETCHES_TO_WRITE
#endif

static void ring_check_capacity(uint64_t capacity)
{
    mr_assert(capacity >= RING_BYTES_MIN);
    mr_assert(capacity <= RING_BYTES_MAX);
    mr_assert((capacity & (capacity - 1)) == 0);
}

void ring_format(struct ring_shared *shared, uint32_t capacity)
{
    ring_check_capacity(capacity);
    /* relaxed: nobody shares the ring yet. */
    atomic_store_explicit(&shared->tail, 0, memory_order_relaxed);
    atomic_store_explicit(&shared->head, 0, memory_order_relaxed);
    shared->capacity = capacity;
}

void ring_tx_init(struct ring_tx *tx, struct ring_shared *shared, uint32_t capacity)
{
    ring_check_capacity(capacity);
    /* relaxed: own word; only we write it. */
    uint64_t tail = atomic_load_explicit(&shared->tail, memory_order_relaxed);
    *tx = (struct ring_tx){
        .shared = shared,
        .data = shared->data,
        .capacity = capacity,
        .tail = tail,
        .head_seen = tail - capacity, /* looks full, so that the first claim looks at the head */
    };
    ring_tx_check(tx);
}

void ring_rx_init(struct ring_rx *rx, struct ring_shared *shared, uint32_t capacity)
{
    ring_check_capacity(capacity);
    /* relaxed: own word; only we write it. */
    uint64_t head = atomic_load_explicit(&shared->head, memory_order_relaxed);
    *rx = (struct ring_rx){
        .shared = shared,
        .data = shared->data,
        .capacity = capacity,
        .head = head,
        .next = head,
        .tail_seen = head, /* looks empty, so that the first peek looks at the tail */
    };
    ring_rx_check(rx);
}

void ring_tx_check(const struct ring_tx *tx)
{
    ring_check_capacity(tx->capacity);
    mr_assert(tx->tail % RECORD_ALIGN == 0);
    mr_assert(tx->head_seen % RECORD_ALIGN == 0);
    mr_assert(tx->tail - tx->head_seen <= tx->capacity);
    mr_assert(tx->claimed <= tx->capacity - (tx->tail - tx->head_seen));
    mr_assert(tx->pad <= tx->claimed);
    mr_assert(tx->pad == 0 || ((tx->tail + tx->pad) & (tx->capacity - 1)) == 0);
}

void ring_rx_check(const struct ring_rx *rx)
{
    ring_check_capacity(rx->capacity);
    mr_assert(rx->head % RECORD_ALIGN == 0);
    mr_assert(rx->next % RECORD_ALIGN == 0);
    mr_assert(rx->tail_seen % RECORD_ALIGN == 0);
    mr_assert(rx->tail_seen - rx->head <= rx->capacity);
    mr_assert(rx->next - rx->head <= rx->tail_seen - rx->head);
}

uint32_t ring_payload_max(uint64_t capacity)
{
    return (uint32_t)(capacity / 4 - sizeof(struct record));
}

/* What a record of `bytes` payload takes in the ring. */
static uint64_t ring_record_bytes(uint32_t bytes)
{
    return (sizeof(struct record) + (uint64_t)bytes + RECORD_ALIGN - 1) &
           ~(uint64_t)(RECORD_ALIGN - 1);
}

/* Bytes from `position` to the wrap, at least one record header. */
static uint64_t ring_rest(uint64_t capacity, uint64_t position)
{
    return capacity - (position & (capacity - 1));
}

static uint64_t ring_free(const struct ring_tx *tx)
{
    return tx->capacity - (tx->tail - tx->head_seen);
}

/* Looks where the consumer is. It only moves forward and never passes the tail. */
static int ring_load_head(struct ring_tx *tx)
{
    /* A2: takes the released bytes back; pairs with R2 in ring_release. */
    uint64_t head = atomic_load_explicit(&tx->shared->head, memory_order_acquire);
    if (head % RECORD_ALIGN != 0 || head - tx->head_seen > tx->tail - tx->head_seen)
        return -EPROTO;
    tx->head_seen = head;
    return 0;
}

static uint8_t *ring_at(const struct ring_tx *tx, uint64_t position)
{
    return tx->data + (position & (tx->capacity - 1));
}

/* Makes a claim at the tail, or changes nothing. Results as ring_claim. */
static inline int ring_reserve(struct ring_tx *tx, uint32_t bytes, void **payload)
{
    uint64_t total = ring_record_bytes(bytes);
    if (total > tx->capacity / 4)
        return -EMSGSIZE;

    uint64_t rest = ring_rest(tx->capacity, tx->tail);
    uint64_t pad = total <= rest ? 0 : rest;
    if (pad + total > ring_free(tx)) {
        int rc = ring_load_head(tx);
        if (rc != 0)
            return rc;
        if (pad + total > ring_free(tx))
            return -EAGAIN;
    }
    tx->claimed = pad + total;
    tx->pad = pad;
    *payload = ring_at(tx, tx->tail + pad) + sizeof(struct record);
    return 0;
}

int ring_claim(struct ring_tx *tx, uint32_t bytes, void **payload)
{
    mr_assert(tx->claimed == 0);

    return ring_reserve(tx, bytes, payload);
}

int ring_extend(struct ring_tx *tx, uint32_t used, uint32_t bytes, void **payload)
{
    mr_assert(tx->claimed != 0);
    mr_assert(used <= bytes);
    mr_assert(ring_record_bytes(used) <= tx->claimed - tx->pad);

    void *source = ring_at(tx, tx->tail + tx->pad) + sizeof(struct record);
    void *target = source;
    if (ring_record_bytes(bytes) > tx->claimed - tx->pad) {
        int rc = ring_reserve(tx, bytes, &target);
        if (rc != 0)
            return rc;
    }
    /* They differ when the grown record no longer fits before the wrap. The old place then lies
     * inside the new pad, whose header only the commit writes, and the new one behind the wrap: the
     * bytes are still there and the two do not overlap. */
    if (target != source)
        memcpy(target, source, used);
    *payload = target;
    return 0;
}

/* Fills the rest before the wrap, out of the way of the usual commit. */
static __attribute__((noinline)) void ring_write_pad(struct ring_tx *tx)
{
    const struct record pad = {
        .kind = RECORD_PAD,
        .bytes = (uint32_t)(tx->pad - sizeof pad),
    };
    memcpy(ring_at(tx, tx->tail), &pad, sizeof pad);
}

/* Field by field, since they were just written so: one load of all of them would wait until the
 * last of those stores, and every store before it, has left the processor's store buffer. */
static inline void ring_write_header(uint8_t *out, const struct record *meta)
{
    memcpy(out + offsetof(struct record, bytes), &meta->bytes, sizeof meta->bytes);
    memcpy(out + offsetof(struct record, slot), &meta->slot, sizeof meta->slot);
    memcpy(out + offsetof(struct record, kind), &meta->kind, sizeof meta->kind);
    memcpy(out + offsetof(struct record, flags), &meta->flags, sizeof meta->flags);
    memcpy(out + offsetof(struct record, generation), &meta->generation, sizeof meta->generation);
    memcpy(out + offsetof(struct record, sequence), &meta->sequence, sizeof meta->sequence);
}

/* Asks for the lines of the last `bytes` before RING_PREFETCH_BYTES from the tail, which has moved
 * by so many. Not for lines that the consumer may still have to read, as far as we have looked. */
static inline void PREFETCHES_TO_WRITE ring_prefetch(const struct ring_tx *tx, uint64_t bytes)
{
    if (ring_free(tx) < RING_PREFETCH_BYTES + RING_LINE_BYTES)
        return;
    uint64_t end = tx->tail + RING_PREFETCH_BYTES;
    uint64_t begin = bytes < RING_PREFETCH_BYTES ? end - bytes : tx->tail;
    for (uint64_t at = begin; at < end; at += RING_LINE_BYTES)
        __builtin_prefetch(ring_at(tx, at), 1);
}

void PREFETCHES_TO_WRITE ring_commit(struct ring_tx *tx, const struct record *meta)
{
    uint64_t total = ring_record_bytes(meta->bytes);
    mr_assert(meta->kind != RECORD_PAD);
    mr_assert(total <= tx->claimed - tx->pad);

    ring_write_header(ring_at(tx, tx->tail + tx->pad), meta);
    if (tx->pad != 0)
        ring_write_pad(tx);
    const uint64_t moved = tx->pad + total;
    tx->tail += moved;
    tx->claimed = 0;
    tx->pad = 0;
    /* R1: publishes the record's bytes, and the pad before it; pairs with A1 in ring_load_tail. */
    atomic_store_explicit(&tx->shared->tail, tx->tail, memory_order_release);
    ring_prefetch(tx, moved);
}

void ring_abort(struct ring_tx *tx)
{
    mr_assert(tx->claimed != 0);
    tx->claimed = 0;
    tx->pad = 0;
}

uint32_t ring_claimable(struct ring_tx *tx)
{
    mr_assert(tx->claimed == 0);

    if (ring_load_head(tx) != 0)
        return 0; /* the next claim says why */
    uint64_t free = ring_free(tx);
    uint64_t rest = ring_rest(tx->capacity, tx->tail);
    uint64_t before_wrap = free < rest ? free : rest;
    uint64_t after_wrap = free - before_wrap;
    uint64_t best = before_wrap > after_wrap ? before_wrap : after_wrap;
    if (best < sizeof(struct record))
        return 0;
    uint64_t bytes = best - sizeof(struct record);
    uint32_t bytes_max = ring_payload_max(tx->capacity);
    return bytes < bytes_max ? (uint32_t)bytes : bytes_max;
}

uint64_t ring_head(const struct ring_tx *tx)
{
    /* relaxed: only says whether to claim again, which loads again (A2). */
    return atomic_load_explicit(&tx->shared->head, memory_order_relaxed);
}

uint64_t ring_unread_bytes(const struct ring_tx *tx)
{
    return tx->tail - ring_head(tx);
}

/* Looks where the producer is. It only moves forward, and never laps what we have not released. */
static int ring_load_tail(struct ring_rx *rx)
{
    /* A1: takes the committed records; pairs with R1 in ring_commit. */
    uint64_t tail = atomic_load_explicit(&rx->shared->tail, memory_order_acquire);
    if (tail % RECORD_ALIGN != 0 ||
        tail - rx->tail_seen > rx->capacity - (rx->tail_seen - rx->head))
        return -EPROTO;
    rx->tail_seen = tail;
    return 0;
}

/* Copies a header out of the ring, once, for checking. */
static struct record ring_copy_header(const struct ring_rx *rx, uint64_t position)
{
    struct record meta;
    memcpy(&meta, rx->data + (position & (rx->capacity - 1)), sizeof meta);
    /* Keeps the compiler from reading the shared bytes again where the copy is meant. */
    atomic_signal_fence(memory_order_seq_cst);
    return meta;
}

/* Steps over a pad: it ends exactly at the wrap, it is shorter than the longest record, and behind
 * it is what was committed with it. */
static int ring_skip_pad(struct ring_rx *rx, uint32_t bytes)
{
    uint64_t total = (uint64_t)bytes + sizeof(struct record);
    if (total != ring_rest(rx->capacity, rx->next) || total >= rx->capacity / 4 ||
        total >= rx->tail_seen - rx->next)
        return -EPROTO;
    rx->next += total;
    return 0;
}

int ring_peek(struct ring_rx *rx, struct record *out, const void **payload)
{
    if (rx->next == rx->tail_seen) {
        int rc = ring_load_tail(rx);
        if (rc != 0)
            return rc;
        if (rx->next == rx->tail_seen)
            return 0;
    }

    struct record meta = ring_copy_header(rx, rx->next);
    if (meta.kind == RECORD_PAD) {
        int rc = ring_skip_pad(rx, meta.bytes);
        if (rc != 0)
            return rc;
        meta = ring_copy_header(rx, rx->next);
    }

    /* A record ends before the wrap and before the tail. A second pad would fill the whole ring. */
    const uint64_t total = ring_record_bytes(meta.bytes);
    if (meta.kind == RECORD_PAD || total > rx->capacity / 4 ||
        total > ring_rest(rx->capacity, rx->next) || total > rx->tail_seen - rx->next)
        return -EPROTO;

    *payload = rx->data + (rx->next & (rx->capacity - 1)) + sizeof meta;
    rx->next += total;
    memcpy(out, &meta, sizeof meta);
    return 1;
}

bool ring_release(struct ring_rx *rx)
{
    if (rx->next == rx->head)
        return false;
    rx->head = rx->next;
    /* R2: gives the bytes back; pairs with A2 in ring_load_head. */
    atomic_store_explicit(&rx->shared->head, rx->head, memory_order_release);
    return true;
}

bool ring_is_empty(struct ring_rx *rx)
{
    /* relaxed: only says whether to peek, which loads again (A1). A position that is nonsense
     * counts as a record, so that the peek tells. */
    return atomic_load_explicit(&rx->shared->tail, memory_order_relaxed) == rx->next;
}
