/* SPDX-License-Identifier: MIT */
/* failure.c - a worker's own words on its failures. */
#include "dispatcher/workers/failure.h"

#include "dispatcher/text/packed.h"
#include "millrace/limits.h"

static size_t failure_text_cut(const struct packed_item *text, size_t limit);

bool failure_read(const uint8_t *data, size_t bytes, struct worker_failure *out)
{
    const uint8_t *end = data + bytes;
    struct packed_item list = {0}, type = {0}, message = {0}, traceback = {0};
    const uint8_t *at = packed_read_kind(data, end, PACKED_ARRAY, &list);
    at = packed_read_kind(at, end, PACKED_NATURAL, &type);
    at = packed_read_kind(at, end, PACKED_STRING, &message);
    if (!at || list.u.count != 3 || type.u.natural >= ERROR_TYPE_COUNT ||
        !packed_read(at, end, &traceback))
        return false;
    *out = (struct worker_failure){.type = (enum error_type)type.u.natural};
    out->message = (const char *)message.text;
    out->message_bytes = failure_text_cut(&message, ERROR_MESSAGE_BYTES_MAX);
    if (traceback.kind == PACKED_STRING) {
        out->traceback = (const char *)traceback.text;
        out->traceback_bytes = failure_text_cut(&traceback, ERROR_TRACEBACK_BYTES_MAX);
    }
    return true;
}

static size_t failure_text_cut(const struct packed_item *text, size_t limit)
{
    return text->u.count < limit ? text->u.count : limit;
}
