/* SPDX-License-Identifier: MIT */
/* log_line.c - a line of a log, in whatever format it was written, taken apart. */
#include "dispatcher/cli/operate/log_line.h"

#include <string.h>

#include "millrace/check.h"

#define PRIORITY_BYTES 3u /* "<6>" */
#define INDENT "    "

static bool line_begins(const struct log_span *span, const char *with)
{
    size_t bytes = strlen(with);
    return span->count >= bytes && memcmp(span->bytes, with, bytes) == 0;
}

static void line_skip(struct log_span *span, size_t bytes)
{
    span->bytes += bytes;
    span->count -= bytes;
}

/* The next word, without the blank behind it, which is skipped, too. */
static struct log_span line_word_take(struct log_span *rest)
{
    const char *blank = rest->count > 0 ? memchr(rest->bytes, ' ', rest->count) : NULL;
    struct log_span word = {rest->bytes, blank ? (size_t)(blank - rest->bytes) : rest->count};
    line_skip(rest, word.count + (blank != NULL));
    return word;
}

/* "TIME LEVEL EVENT ", of which the journal has no time. False: it is no event of that format. */
static bool line_head_take(struct log_line *line)
{
    static const char *const levels[] = {"debug", "info", "warning", "error"};
    struct log_span rest = line->body;
    bool is_timed = rest.count > 0 && rest.bytes[0] >= '0' && rest.bytes[0] <= '9';
    struct log_span time = is_timed ? line_word_take(&rest) : (struct log_span){0};
    struct log_span level = line_word_take(&rest);
    for (size_t i = 0; i < ARRAY_COUNT(levels); i++) {
        if (strlen(levels[i]) != level.count || memcmp(levels[i], level.bytes, level.count) != 0)
            continue;
        line->time = time;
        line->level = level;
        line->event = line_word_take(&rest);
        line->fields = rest;
        return true;
    }
    return false;
}

void log_line_read(struct log_line *line, const char *bytes, size_t count)
{
    struct json_error error;
    *line = (struct log_line){.kind = LOG_LINE_EVENT, .body = {bytes, count}};
    if (count > PRIORITY_BYTES && bytes[0] == '<' && bytes[2] == '>')
        line_skip(&line->body, PRIORITY_BYTES);
    if (line_begins(&line->body, INDENT)) {
        line->kind = LOG_LINE_BLOCK;
        line_skip(&line->body, strlen(INDENT));
    } else if (line_begins(&line->body, "{") &&
               json_view_parse(&line->root, line->body.bytes, line->body.count, &error) == 0) {
        line->format = LOG_FORMAT_JSON;
    } else if (line_begins(&line->body, "time=")) {
        line->format = LOG_FORMAT_LOGFMT;
        line->fields = line->body;
    } else if (line_head_take(line)) {
        line->format = LOG_FORMAT_TEXT;
    } else {
        line->kind = LOG_LINE_OTHER;
    }
}

/* Bytes up to behind the quote that ends a text, or to the end of the line. */
static size_t line_quoted_bytes(const struct log_span *rest)
{
    size_t at = 1;
    while (at < rest->count && rest->bytes[at] != '"')
        at += rest->bytes[at] == '\\' && at + 1 < rest->count ? 2 : 1;
    return at < rest->count ? at + 1 : rest->count;
}

bool log_line_next(struct log_line *line, struct log_span *key, struct log_span *value)
{
    struct log_span *rest = &line->fields;
    const char *equals = rest->count > 0 ? memchr(rest->bytes, '=', rest->count) : NULL;
    if (!equals)
        return false;
    *key = (struct log_span){rest->bytes, (size_t)(equals - rest->bytes)};
    line_skip(rest, key->count + 1);
    if (line_begins(rest, "\"")) {
        *value = (struct log_span){rest->bytes, line_quoted_bytes(rest)};
        line_skip(rest, value->count);
        if (line_begins(rest, " "))
            line_skip(rest, 1);
    } else {
        *value = line_word_take(rest);
    }
    return true;
}
