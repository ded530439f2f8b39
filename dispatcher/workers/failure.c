/* SPDX-License-Identifier: MIT */
/* failure.c - a worker's own words on its failures. */
#include "dispatcher/workers/failure.h"

#include "dispatcher/text/packed.h"
#include "millrace/limits.h"

/* Reads one item of the kind that is wanted; the position after it, or NULL. */
static const uint8_t *item_read(const uint8_t *at, const uint8_t *end, enum packed_kind kind,
                                struct packed_item *item)
{
    if (!at)
        return NULL;
    at = packed_read(at, end, item);
    return at && item->kind == kind ? at : NULL;
}

static size_t text_cut(const struct packed_item *text, size_t limit)
{
    return text->u.count < limit ? text->u.count : limit;
}

bool failure_read(const uint8_t *data, size_t bytes, struct worker_failure *out)
{
    const uint8_t *end = data + bytes;
    struct packed_item list = {0}, type = {0}, message = {0}, traceback = {0};
    const uint8_t *at = item_read(data, end, PACKED_ARRAY, &list);
    at = item_read(at, end, PACKED_NATURAL, &type);
    at = item_read(at, end, PACKED_STRING, &message);
    if (!at || list.u.count != 3 || type.u.natural >= ERROR_TYPE_COUNT ||
        !packed_read(at, end, &traceback))
        return false;
    *out = (struct worker_failure){.type = (enum error_type)type.u.natural};
    out->message = (const char *)message.text;
    out->message_bytes = text_cut(&message, ERROR_MESSAGE_BYTES_MAX);
    if (traceback.kind == PACKED_STRING) {
        out->traceback = (const char *)traceback.text;
        out->traceback_bytes = text_cut(&traceback, ERROR_TRACEBACK_BYTES_MAX);
    }
    return true;
}
