/* SPDX-License-Identifier: MIT */
/* out.c - the block pool and the queues of blocks. */
#include "dispatcher/reactor/out.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define OUT_SLAB_BYTES (64u * OUT_BLOCK_BYTES)
#define OUT_SLAB_BLOCK_COUNT (OUT_SLAB_BYTES / OUT_BLOCK_BYTES)

static uint64_t out_pool_used(const struct out_pool *pool);
static uint64_t out_pool_left(const struct out_pool *pool);
static bool out_pool_grow(struct out_pool *pool);
static struct out_block *out_block_for(struct out_pool *pool, struct out_queue *queue,
                                       uint32_t bytes, bool chunked);
static uint32_t out_block_room(const struct out_block *block);
static struct out_block *out_block_append(struct out_pool *pool, struct out_queue *queue,
                                          bool chunked);
static void out_block_seal(struct out_queue *queue, struct out_block *block);
static bool out_block_is_empty(const struct out_block *block);
static void out_block_put(struct out_pool *pool, struct out_block *block);

int out_pool_init(struct out_pool *pool, uint64_t bytes_max)
{
    size_t slab_count_max = (size_t)((bytes_max + OUT_SLAB_BYTES - 1) / OUT_SLAB_BYTES);
    *pool = (struct out_pool){.block_count_max = slab_count_max * OUT_SLAB_BLOCK_COUNT};
    pool->kept_back_count = pool->block_count_max / OUT_KEPT_BACK_SHARE;
    pool->slabs = calloc(slab_count_max + 1, sizeof(*pool->slabs));
    /* The first line of each stream is made in one, also when memory is short by then. */
    pool->open = extent_take(&pool->extents, 0);
    return pool->slabs && pool->open ? 0 : -ENOMEM;
}

void out_pool_finish(struct out_pool *pool)
{
    for (size_t i = 0; i < pool->slab_count; i++)
        munmap(pool->slabs[i], OUT_SLAB_BYTES);
    free(pool->slabs);
    if (pool->open)
        extent_put(&pool->extents, pool->open, 0);
    extent_pool_finish(&pool->extents);
    *pool = (struct out_pool){0};
}

uint64_t out_pool_used_bytes(const struct out_pool *pool)
{
    return out_pool_used(pool) * OUT_BLOCK_BYTES;
}

bool out_pool_allows(const struct out_pool *pool, uint64_t bytes)
{
    uint64_t blocks = bytes / OUT_LINE_BYTES_MAX + 2;
    return out_pool_left(pool) >= blocks + pool->kept_back_count;
}

bool out_pool_has_room(struct out_pool *pool, uint64_t bytes)
{
    uint64_t blocks = bytes / OUT_LINE_BYTES_MAX + 2;
    if (out_pool_left(pool) < blocks)
        return false;
    while (pool->free_count < blocks)
        if (!out_pool_grow(pool))
            return false;
    return true;
}

char *out_reserve(struct out_pool *pool, struct out_queue *queue, uint32_t bytes, bool chunked)
{
    mr_assert(bytes <= OUT_LINE_BYTES_MAX);
    struct out_block *block = out_block_for(pool, queue, bytes, chunked);
    return block ? block->bytes + block->end : NULL;
}

void out_commit(struct out_queue *queue, uint32_t bytes)
{
    mr_assert(queue->last);
    mr_assert(bytes <= out_block_room(queue->last));
    queue->last->end += bytes;
    queue->bytes += bytes;
}

int out_append(struct out_pool *pool, struct out_queue *queue, const char *bytes, size_t count,
               bool chunked)
{
    if (!out_pool_has_room(pool, count))
        return -ENOMEM;
    while (count > 0) {
        char *room = out_reserve(pool, queue, 1, chunked);
        mr_assert(room);
        uint32_t part = out_block_room(queue->last);
        if (part > count)
            part = (uint32_t)count;
        memcpy(room, bytes, part);
        out_commit(queue, part);
        bytes += part;
        count -= part;
    }
    return 0;
}

char *out_long_open(struct out_pool *pool, size_t bytes)
{
    size_t room = OUT_LONG_HEAD_BYTES + bytes + OUT_CHUNK_TAIL_BYTES;
    if (pool->open)
        extent_put(&pool->extents, pool->open, 0);
    pool->open = extent_take(&pool->extents, room);
    return pool->open ? pool->open->bytes + OUT_LONG_HEAD_BYTES : NULL;
}

int out_long_commit(struct out_pool *pool, struct out_queue *queue, size_t count, bool chunked)
{
    struct extent *extent = pool->open;
    mr_assert(extent);
    if (count < OUT_LONG_BYTES_MIN) {
        if (extent->touched < count)
            extent->touched = count;
        return out_append(pool, queue, extent->bytes + OUT_LONG_HEAD_BYTES, count, chunked);
    }
    uint64_t end = OUT_LONG_HEAD_BYTES + count;
    uint64_t cost = (end + OUT_CHUNK_TAIL_BYTES) / OUT_BLOCK_BYTES + 1;
    mr_assert(end < UINT32_MAX);
    if (out_pool_left(pool) <= cost || (!pool->free && !out_pool_grow(pool)))
        return -ENOMEM;
    struct out_block *block = queue->last;
    if (!block || !out_block_is_empty(block)) {
        if (block)
            out_block_seal(queue, block);
        block = out_block_append(pool, queue, chunked);
    }
    block->extent = extent;
    block->bytes = extent->bytes;
    block->start = OUT_LONG_HEAD_BYTES;
    block->end = (uint32_t)end;
    block->cost = (uint32_t)cost;
    block->chunked = chunked;
    queue->bytes += count;
    pool->extent_cost += cost;
    pool->open = NULL;
    return 0;
}

void out_charge(struct out_queue *queue, uint64_t charge)
{
    mr_assert(queue->last);
    queue->last->charge += charge;
}

uint32_t out_lend(struct out_queue *queue, struct iovec *vectors, uint32_t count_max)
{
    mr_assert(queue->lent_count == 0);
    uint32_t count = 0;
    for (struct out_block *block = queue->first; block && count < count_max; block = block->next) {
        if (out_block_is_empty(block))
            break; /* reserved, nothing written yet */
        out_block_seal(queue, block);
        vectors[count++] = (struct iovec){.iov_base = block->bytes + block->start,
                                          .iov_len = block->end - block->start};
    }
    queue->lent_count = count;
    return count;
}

uint64_t out_sent(struct out_pool *pool, struct out_queue *queue, size_t sent)
{
    uint64_t charge = 0;
    queue->lent_count = 0;
    queue->bytes -= sent;
    while (sent > 0) {
        struct out_block *block = queue->first;
        mr_assert(block);
        uint32_t left = block->end - block->start;
        if (sent < left) {
            block->start += (uint32_t)sent;
            break;
        }
        sent -= left;
        charge += block->charge;
        queue->first = block->next;
        if (!queue->first)
            queue->last = NULL;
        out_block_put(pool, block);
    }
    return charge;
}

void out_clear(struct out_pool *pool, struct out_queue *queue)
{
    mr_assert(queue->lent_count == 0);
    while (queue->first) {
        struct out_block *block = queue->first;
        queue->first = block->next;
        out_block_put(pool, block);
    }
    *queue = (struct out_queue){0};
}

static bool out_pool_grow(struct out_pool *pool)
{
    if (pool->block_count + pool->extent_cost >= pool->block_count_max)
        return false;
    char *slab =
        mmap(NULL, OUT_SLAB_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (slab == MAP_FAILED)
        return false;
    pool->slabs[pool->slab_count++] = slab;
    for (uint32_t i = 0; i < OUT_SLAB_BLOCK_COUNT; i++) {
        struct out_block *block = (struct out_block *)(void *)(slab + i * OUT_BLOCK_BYTES);
        block->next = pool->free;
        pool->free = block;
    }
    pool->free_count += OUT_SLAB_BLOCK_COUNT;
    pool->block_count += OUT_SLAB_BLOCK_COUNT;
    return true;
}

static uint64_t out_pool_used(const struct out_pool *pool)
{
    return pool->block_count - pool->free_count + pool->extent_cost;
}

/* Blocks that may still be taken, whether they exist already or not. */
static uint64_t out_pool_left(const struct out_pool *pool)
{
    uint64_t used = out_pool_used(pool);
    mr_assert(used <= pool->block_count_max);
    return pool->block_count_max - used;
}

static void out_block_put(struct out_pool *pool, struct out_block *block)
{
    if (block->extent) {
        pool->extent_cost -= block->cost;
        extent_put(&pool->extents, block->extent, block->end);
    }
    block->next = pool->free;
    pool->free = block;
    pool->free_count++;
}

static struct out_block *out_block_append(struct out_pool *pool, struct out_queue *queue,
                                          bool chunked)
{
    struct out_block *block = pool->free;
    mr_assert(block);
    pool->free = block->next;
    pool->free_count--;
    uint32_t start = chunked ? OUT_CHUNK_HEAD_BYTES : 0;
    block->next = NULL;
    block->charge = 0;
    block->extent = NULL;
    block->bytes = block->room;
    block->start = start;
    block->end = start;
    block->chunked = chunked;
    if (queue->last)
        queue->last->next = block;
    else
        queue->first = block;
    queue->last = block;
    return block;
}

static uint32_t out_block_room(const struct out_block *block)
{
    if (block->extent)
        return 0;
    uint32_t limit = OUT_BLOCK_ROOM - (block->chunked ? OUT_CHUNK_TAIL_BYTES : 0);
    return limit - block->end;
}

/* Writes the size line in front of a chunk and the line end behind it. */
static void out_block_seal(struct out_queue *queue, struct out_block *block)
{
    if (!block->chunked)
        return;
    mr_assert(block->start == (block->extent ? OUT_LONG_HEAD_BYTES : OUT_CHUNK_HEAD_BYTES));
    mr_assert(block->end > block->start);
    uint32_t size = block->end - block->start;
    char *bytes = block->bytes;
    uint32_t position = block->start;
    bytes[--position] = '\n';
    bytes[--position] = '\r';
    for (; size > 0; size >>= 4)
        bytes[--position] = "0123456789abcdef"[size & 15];
    bytes[block->end++] = '\r';
    bytes[block->end++] = '\n';
    queue->bytes += block->start - position + OUT_CHUNK_TAIL_BYTES;
    block->start = position;
    block->chunked = false;
}

static bool out_block_is_empty(const struct out_block *block)
{
    return block->end == (block->chunked ? OUT_CHUNK_HEAD_BYTES : block->start);
}

/* The block new bytes go to. A chunk that was lent is sealed, hence no longer `chunked`; plain
 * bytes may follow in a lent block, since the kernel only reads what was lent. */
static struct out_block *out_block_for(struct out_pool *pool, struct out_queue *queue,
                                       uint32_t bytes, bool chunked)
{
    struct out_block *last = queue->last;
    if (last && last->chunked == chunked && out_block_room(last) >= bytes)
        return last;
    if (last && last->chunked && !chunked && !out_block_is_empty(last) &&
        out_block_room(last) >= bytes) {
        /* The end of a stream: the chunk is closed, plain bytes follow in the same block. */
        out_block_seal(queue, last);
        return last;
    }
    if (last && out_block_is_empty(last)) {
        /* Reserved for a line that was not written after all. */
        last->chunked = chunked;
        last->start = last->end = chunked ? OUT_CHUNK_HEAD_BYTES : 0;
        return last;
    }
    if (out_pool_left(pool) == 0 || (!pool->free && !out_pool_grow(pool)))
        return NULL;
    if (last)
        out_block_seal(queue, last);
    return out_block_append(pool, queue, chunked);
}
