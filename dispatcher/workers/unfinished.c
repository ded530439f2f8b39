/* SPDX-License-Identifier: MIT */
/* unfinished.c - a buffer that grows with the fragments, within a share. */
#include "dispatcher/workers/unfinished.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "millrace/limits.h"
#include "millrace/protocol.h"

/* A worker with runs keeps so much for the next value: a pair of values in a usual window. */
#define KEEP_BYTES (4u * 1024 * 1024)
/* Each growth takes an eighth more than is needed now, and no less than this. */
#define GROWTH_BYTES_MIN 4096u
/* Message, traceback and what is packed around them. */
#define ERROR_BYTES_MAX (ERROR_MESSAGE_BYTES_MAX + ERROR_TRACEBACK_BYTES_MAX + 64u)

static int unfinished_grow(struct unfinished *value, struct unfinished_share *share, size_t needed);
static void unfinished_count(struct unfinished *value, struct unfinished_share *share, size_t room);

uint64_t unfinished_share_max(uint64_t output_bytes_max, uint32_t pipeline_count)
{
    uint64_t one = output_bytes_max < VALUE_BYTES_MAX ? output_bytes_max : VALUE_BYTES_MAX;
    uint64_t part = output_bytes_max / pipeline_count;
    return part > one ? part : one;
}

int unfinished_add(struct unfinished *value, struct unfinished_share *share,
                   const struct record *record, const void *payload)
{
    if (value->slot == UNFINISHED_NONE) {
        value->slot = record->slot;
        value->kind = record->kind;
        value->count = 0;
    }
    mr_assert(value->slot == record->slot);
    size_t needed = value->count + record->bytes;
    if (needed > (value->kind == RECORD_ERROR ? ERROR_BYTES_MAX : VALUE_BYTES_MAX))
        return -EFBIG;
    int rc = unfinished_grow(value, share, needed);
    if (rc < 0)
        return rc;
    if (record->bytes > 0)
        memcpy(value->bytes + value->count, payload, record->bytes);
    value->count = needed;
    return 0;
}

void unfinished_end(struct unfinished *value)
{
    value->slot = UNFINISHED_NONE;
}

void unfinished_trim(struct unfinished *value, struct unfinished_share *share, bool is_idle)
{
    if (is_idle || value->room > KEEP_BYTES)
        unfinished_free(value, share);
}

void unfinished_free(struct unfinished *value, struct unfinished_share *share)
{
    if (value->slot != UNFINISHED_NONE || value->room == 0)
        return;
    free(value->bytes);
    value->bytes = NULL;
    unfinished_count(value, share, 0);
}

static void unfinished_count(struct unfinished *value, struct unfinished_share *share, size_t room)
{
    share->bytes += room - value->room;
    value->room = room;
}

static int unfinished_grow(struct unfinished *value, struct unfinished_share *share, size_t needed)
{
    if (needed == 0)
        needed = 1; /* a value without a byte has a place, too, and is found to be none there */
    if (needed <= value->room)
        return 0;
    uint64_t others = share->bytes - value->room;
    size_t room = needed + needed / 8 + GROWTH_BYTES_MIN;
    if (others + room > share->bytes_max)
        room = needed;
    if (others + room > share->bytes_max)
        return -ENOBUFS;
    uint8_t *grown = realloc(value->bytes, room);
    if (!grown)
        return -ENOMEM;
    value->bytes = grown;
    unfinished_count(value, share, room);
    return 0;
}
