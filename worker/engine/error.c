/* SPDX-License-Identifier: MIT */
/*
 * error.c - error texts, bounded.
 */
#include "worker/engine/error.h"

#include <stdio.h>
#include <string.h>

#define ERROR_CUT_MARK " ... (cut)"
/* Characters of UTF-8 take at most this many bytes. */
#define ERROR_CHARACTER_BYTES_MAX 4

void error_clear(struct error *error)
{
    error->is_set = false;
    error->type = ERROR_UNKNOWN;
    error->bytes = 0;
    error->text[0] = '\0';
    error->traceback = NULL;
    error->traceback_bytes = 0;
}

size_t error_cut(const char *text, size_t bytes, size_t room)
{
    if (bytes <= room)
        return bytes;
    size_t cut = room;
    /* Steps back over continuation bytes; text that is not UTF-8 is cut anywhere. */
    for (int i = 0; i < ERROR_CHARACTER_BYTES_MAX && cut > 0; i++) {
        if (((unsigned char)text[cut] & 0xc0) != 0x80)
            return cut;
        cut--;
    }
    return room;
}

/* Ends a text that vsnprintf found to be `wanted` bytes long. */
static void error_close(struct error *error, int wanted)
{
    if (wanted < 0) {
        error->text[0] = '\0';
        error->bytes = 0;
        return;
    }
    error->bytes = (size_t)wanted;
    if ((size_t)wanted < sizeof error->text)
        return;
    size_t room = sizeof error->text - sizeof ERROR_CUT_MARK;
    size_t cut = error_cut(error->text, sizeof error->text - 1, room);
    memcpy(error->text + cut, ERROR_CUT_MARK, sizeof ERROR_CUT_MARK);
    error->bytes = cut + sizeof ERROR_CUT_MARK - 1;
}

void error_vset(struct error *error, enum error_type type, const char *format, va_list arguments)
{
    error->is_set = true;
    error->traceback = NULL;
    error->traceback_bytes = 0;
    error->type = (unsigned)type < ERROR_TYPE_COUNT ? type : ERROR_UNKNOWN;
    error_close(error, vsnprintf(error->text, sizeof error->text, format, arguments));
}

void error_set(struct error *error, enum error_type type, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_vset(error, type, format, arguments);
    va_end(arguments);
}

void error_append(struct error *error, const char *text)
{
    size_t room = sizeof error->text - 1 - error->bytes;
    size_t bytes = error_cut(text, strlen(text), room);
    memcpy(error->text + error->bytes, text, bytes);
    error->bytes += bytes;
    error->text[error->bytes] = '\0';
}

void error_set_traceback(struct error *error, const char *text, size_t bytes)
{
    size_t skipped = bytes > ERROR_TRACEBACK_BYTES_MAX ? bytes - ERROR_TRACEBACK_BYTES_MAX : 0;
    /* Not from the middle of a character; text that is not UTF-8 starts anywhere. */
    for (int i = 0; skipped > 0 && i < ERROR_CHARACTER_BYTES_MAX - 1; i++) {
        if (((unsigned char)text[skipped] & 0xc0) != 0x80)
            break;
        skipped++;
    }
    error->traceback = text + skipped;
    error->traceback_bytes = bytes - skipped;
}

void error_explain(struct error *error, const char *what, const char *name, int result)
{
    if (!error->is_set) {
        const char *known = strerrordesc_np(-result);
        if (known)
            error_set(error, ERROR_PIPELINE, "%s %s returned %d (%s)", what, name, result, known);
        else
            error_set(error, ERROR_PIPELINE, "%s %s returned %d", what, name, result);
        return;
    }
    char prefix[128];
    int written = snprintf(prefix, sizeof prefix, "%s %s: ", what, name);
    size_t bytes = written < 0                        ? 0
                   : (size_t)written >= sizeof prefix ? sizeof prefix - 1
                                                      : (size_t)written;
    size_t keep = error->bytes;
    if (bytes + keep >= sizeof error->text)
        keep = error_cut(error->text, keep, sizeof error->text - 1 - bytes);
    memmove(error->text + bytes, error->text, keep);
    memcpy(error->text, prefix, bytes);
    error->bytes = bytes + keep;
    error->text[error->bytes] = '\0';
}
