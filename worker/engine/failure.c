/* SPDX-License-Identifier: MIT */
/*
 * failure.c - error texts, bounded.
 */
#include "worker/engine/failure.h"

#include <stdio.h>
#include <string.h>

#define FAILURE_CUT_MARK " ... (cut)"
/* Characters of UTF-8 take at most this many bytes. */
#define FAILURE_CHARACTER_BYTES_MAX 4

void failure_clear(struct failure *failure)
{
    failure->is_set = false;
    failure->type = ERROR_UNKNOWN;
    failure->bytes = 0;
    failure->text[0] = '\0';
    failure->traceback = NULL;
    failure->traceback_bytes = 0;
}

size_t failure_cut(const char *text, size_t bytes, size_t room)
{
    if (bytes <= room)
        return bytes;
    size_t cut = room;
    /* Steps back over continuation bytes; text that is not UTF-8 is cut anywhere. */
    for (int i = 0; i < FAILURE_CHARACTER_BYTES_MAX && cut > 0; i++) {
        if (((unsigned char)text[cut] & 0xc0) != 0x80)
            return cut;
        cut--;
    }
    return room;
}

/* Ends a text that vsnprintf found to be `wanted` bytes long. */
static void failure_close(struct failure *failure, int wanted)
{
    if (wanted < 0) {
        failure->text[0] = '\0';
        failure->bytes = 0;
        return;
    }
    failure->bytes = (size_t)wanted;
    if ((size_t)wanted < sizeof failure->text)
        return;
    size_t room = sizeof failure->text - sizeof FAILURE_CUT_MARK;
    size_t cut = failure_cut(failure->text, sizeof failure->text - 1, room);
    memcpy(failure->text + cut, FAILURE_CUT_MARK, sizeof FAILURE_CUT_MARK);
    failure->bytes = cut + sizeof FAILURE_CUT_MARK - 1;
}

void failure_vset(struct failure *failure, enum error_type type, const char *format,
                  va_list arguments)
{
    failure->is_set = true;
    failure->traceback = NULL;
    failure->traceback_bytes = 0;
    failure->type = (unsigned)type < ERROR_TYPE_COUNT ? type : ERROR_UNKNOWN;
    failure_close(failure, vsnprintf(failure->text, sizeof failure->text, format, arguments));
}

void failure_set(struct failure *failure, enum error_type type, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    failure_vset(failure, type, format, arguments);
    va_end(arguments);
}

void failure_set_traceback(struct failure *failure, const char *text, size_t bytes)
{
    size_t skipped = bytes > ERROR_TRACEBACK_BYTES_MAX ? bytes - ERROR_TRACEBACK_BYTES_MAX : 0;
    /* Not from the middle of a character; text that is not UTF-8 starts anywhere. */
    for (int i = 0; skipped > 0 && i < FAILURE_CHARACTER_BYTES_MAX - 1; i++) {
        if (((unsigned char)text[skipped] & 0xc0) != 0x80)
            break;
        skipped++;
    }
    failure->traceback = text + skipped;
    failure->traceback_bytes = bytes - skipped;
}

void failure_explain(struct failure *failure, const char *what, const char *name, int result)
{
    if (!failure->is_set) {
        const char *known = strerrordesc_np(-result);
        if (known)
            failure_set(failure, ERROR_PIPELINE, "%s %s returned %d (%s)", what, name, result,
                        known);
        else
            failure_set(failure, ERROR_PIPELINE, "%s %s returned %d", what, name, result);
        return;
    }
    char prefix[128];
    int written = snprintf(prefix, sizeof prefix, "%s %s: ", what, name);
    size_t bytes = written < 0                        ? 0
                   : (size_t)written >= sizeof prefix ? sizeof prefix - 1
                                                      : (size_t)written;
    size_t keep = failure->bytes;
    if (bytes + keep >= sizeof failure->text)
        keep = failure_cut(failure->text, keep, sizeof failure->text - 1 - bytes);
    memmove(failure->text + bytes, failure->text, keep);
    memcpy(failure->text, prefix, bytes);
    failure->bytes = bytes + keep;
    failure->text[failure->bytes] = '\0';
}
