/* SPDX-License-Identifier: MIT */
/* unfinished.c - a buffer that grows with the fragments, within a share. */
#include "dispatcher/workers/unfinished.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/server/loop.h"
#include "millrace/limits.h"

/* A worker with runs keeps so much for the next value: a pair of values in a usual window. */
#define KEEP_BYTES (4u * 1024 * 1024)
/* Each growth takes an eighth more than is needed now, and no less than this. */
#define GROWTH_BYTES_MIN 4096u
/* Message, traceback and what is packed around them. */
#define ERROR_BYTES_MAX (ERROR_MESSAGE_BYTES_MAX + ERROR_TRACEBACK_BYTES_MAX + 64u)

static struct pipeline *pipeline_of(struct loop *loop, const struct worker *worker)
{
    return &loop->pipelines[worker->pipeline_index];
}

/* Equal parts, but none is so small that a value of the largest size could never pass. */
uint64_t unfinished_share(const struct loop *loop)
{
    uint64_t all = loop->config->output_bytes_max;
    uint64_t one = all < VALUE_BYTES_MAX ? all : VALUE_BYTES_MAX;
    uint64_t part = all / loop->pipeline_count;
    return part > one ? part : one;
}

static void room_count(struct loop *loop, struct worker *worker, size_t room)
{
    struct unfinished *value = &worker->unfinished;
    pipeline_of(loop, worker)->unfinished_bytes += room - value->room;
    loop->unfinished_bytes += room - value->room;
    value->room = room;
}

static int room_make(struct loop *loop, struct worker *worker, size_t needed)
{
    struct unfinished *value = &worker->unfinished;
    if (needed == 0)
        needed = 1; /* a value without a byte has a place, too, and is found to be none there */
    if (needed <= value->room)
        return 0;
    uint64_t others = pipeline_of(loop, worker)->unfinished_bytes - value->room;
    uint64_t share = unfinished_share(loop);
    size_t room = needed + needed / 8 + GROWTH_BYTES_MIN;
    if (others + room > share)
        room = needed;
    if (others + room > share)
        return -ENOBUFS;
    uint8_t *grown = realloc(value->bytes, room);
    if (!grown)
        return -ENOMEM;
    value->bytes = grown;
    room_count(loop, worker, room);
    return 0;
}

int unfinished_add(struct loop *loop, struct worker *worker, const struct record *record,
                   const void *payload)
{
    struct unfinished *value = &worker->unfinished;
    if (value->slot == UNFINISHED_NONE) {
        value->slot = record->slot;
        value->kind = record->kind;
        value->count = 0;
    }
    mr_assert(value->slot == record->slot);
    size_t needed = value->count + record->bytes;
    if (needed > (value->kind == RECORD_ERROR ? ERROR_BYTES_MAX : VALUE_BYTES_MAX))
        return -EFBIG;
    int rc = room_make(loop, worker, needed);
    if (rc < 0)
        return rc;
    if (record->bytes > 0)
        memcpy(value->bytes + value->count, payload, record->bytes);
    value->count = needed;
    return 0;
}

void unfinished_end(struct worker *worker)
{
    worker->unfinished.slot = UNFINISHED_NONE;
}

void unfinished_trim(struct loop *loop, struct worker *worker)
{
    if (worker->active_count == 0 || worker->unfinished.room > KEEP_BYTES)
        unfinished_free(loop, worker);
}

void unfinished_free(struct loop *loop, struct worker *worker)
{
    struct unfinished *value = &worker->unfinished;
    if (value->slot != UNFINISHED_NONE || value->room == 0)
        return;
    free(value->bytes);
    value->bytes = NULL;
    room_count(loop, worker, 0);
}
