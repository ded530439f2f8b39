/* SPDX-License-Identifier: MIT */
/*
 * out.h - bytes on their way to clients: blocks from one bounded pool, a queue of them a
 * connection.
 *
 *   queue   [ block: sent..|.....end ][ block: start.....end ][ block: start...end|room ]
 *             ^ first                                           ^ last, still being filled
 *             `-- lent to the kernel while a send is in flight --'
 *
 * Lines of a run are gathered in the last block until a send begins; a block that was lent is
 * sealed and later bytes go to a new one. A block of a chunked response is one HTTP chunk (RFC
 * 9112, 7.1): its size line is written in front when the block is sealed. A line much longer than
 * a block is made in an extent, which takes its place in the queue as it is.
 */
#ifndef DISPATCHER_OUT_H
#define DISPATCHER_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "dispatcher/reactor/extent.h"
#include "millrace/check.h"

#define OUT_BLOCK_BYTES 16384u
#define OUT_IOVEC_COUNT_MAX 16u

struct out_block {
    struct out_block *next;
    uint64_t charge;       /* of the lines that end in this block, see protocol.h */
    struct extent *extent; /* one long line; NULL: many in room[] */
    char *bytes;           /* of the extent, or room[] */
    uint32_t start;        /* first byte to send, an offset into bytes */
    uint32_t end;          /* first free byte */
    uint32_t cost;         /* of the extent, in blocks */
    bool chunked;          /* an HTTP chunk whose size line is not written yet */
    char room[];
};

#define OUT_BLOCK_ROOM ((uint32_t)(OUT_BLOCK_BYTES - sizeof(struct out_block)))
/* What chunked framing takes of a block: "3fe0\r\n" before, "\r\n" behind. */
#define OUT_CHUNK_HEAD_BYTES 6u
#define OUT_CHUNK_TAIL_BYTES 2u
/* Before a long line: "ffffffff\r\n". */
#define OUT_LONG_HEAD_BYTES 10u
/* A line up to this is copied into blocks, and its extent is free for the next one. */
#define OUT_LONG_BYTES_MIN (32u * 1024)

#define OUT_KEPT_BACK_SHARE 4u /* of all blocks, the reciprocal; only a full pool ever shows it */

/* Owned by the loop. Memory comes in slabs and stays; free blocks are reused last in, first out.
 * Bytes in extents count as the blocks they would fill. */
struct out_pool {
    struct out_block *free;
    uint64_t free_count;
    uint64_t block_count; /* made so far */
    uint64_t block_count_max;
    uint64_t kept_back_count; /* blocks lines leave to the ends of responses */
    uint64_t extent_cost;     /* of all extents in queues, in blocks */
    void **slabs;             /* each OUT_SLAB_BYTES */
    size_t slab_count;
    struct extent_pool extents;
    struct extent *open; /* where the next long line is made; NULL until there was one */
};

struct out_queue {
    struct out_block *first;
    struct out_block *last;
    uint32_t lent_count; /* blocks from the first on that belong to the kernel */
    uint64_t bytes;      /* waiting, lent ones included; without size lines to come */
};

/* 0 or -ENOMEM. The limit is rounded up to whole slabs. */
int out_pool_init(struct out_pool *pool, uint64_t bytes_max) MUST_USE;
void out_pool_finish(struct out_pool *pool);

/* What queues hold now, in whole blocks, extents included. */
uint64_t out_pool_used_bytes(const struct out_pool *pool);

/* True when a line of `bytes` may be added: what is kept back for ends is not touched by it. */
bool out_pool_allows(const struct out_pool *pool, uint64_t bytes);

/* True when `bytes` more fit into the pool now, however they fall into blocks. */
bool out_pool_has_room(struct out_pool *pool, uint64_t bytes);

/* Room for `bytes` (at most OUT_LINE_BYTES_MAX) at the end of the queue, contiguous; write there,
 * then out_commit() what was used. NULL when the pool is exhausted. */
char *out_reserve(struct out_pool *pool, struct out_queue *queue, uint32_t bytes, bool chunked);
void out_commit(struct out_queue *queue, uint32_t bytes);
#define OUT_LINE_BYTES_MAX (OUT_BLOCK_ROOM - OUT_CHUNK_HEAD_BYTES - OUT_CHUNK_TAIL_BYTES)

/* Copies any number of bytes to the end. 0, or -ENOMEM and nothing was added. */
int out_append(struct out_pool *pool, struct out_queue *queue, const char *bytes, size_t count,
               bool chunked) MUST_USE;

/* A place of `bytes` for a line that may be too long for a block, until the next call for this
 * pool: write there, then out_long_commit() what was used, or leave it. NULL: no memory. */
char *out_long_open(struct out_pool *pool, size_t bytes);

/* Puts the first `count` bytes of that place at the end of the queue. 0, or -ENOMEM and nothing was
 * added. */
int out_long_commit(struct out_pool *pool, struct out_queue *queue, size_t count,
                    bool chunked) MUST_USE;

/* Adds to the charge of the last block: the line that needed it ends here. */
void out_charge(struct out_queue *queue, uint64_t charge);

/* Seals and lends blocks to the kernel: fills `vectors`, returns how many (0: nothing to send). */
uint32_t out_lend(struct out_queue *queue, struct iovec *vectors, uint32_t count_max);

/* The kernel is done: `sent` bytes of what was lent have left. Returns the charge of the blocks
 * that are out in full; they go back to the pool. What is left can be lent again. */
uint64_t out_sent(struct out_pool *pool, struct out_queue *queue, size_t sent);

/* Drops everything. Nothing may be lent. */
void out_clear(struct out_pool *pool, struct out_queue *queue);

static inline bool out_is_empty(const struct out_queue *queue)
{
    return queue->bytes == 0;
}

#endif
