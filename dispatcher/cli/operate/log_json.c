/* SPDX-License-Identifier: MIT */
/* log_json.c - lines of a log as objects of JSON, as the format json of the log has them. */
#include "dispatcher/cli/operate/log_json.h"

#include <string.h>

#define BLOCK_KEY "traceback" /* of all blocks that there are */

static void json_event_add(struct text *out, const struct log_line *line);
static void json_value_add(struct text *out, const struct log_line *line,
                           const struct log_span *value);
static void json_block_add(struct log_json *json, const struct log_span *body);

void log_json_take(struct log_json *json, struct text *out, const struct log_line *line)
{
    bool has_event = json->event.count > 0;
    if (line->kind == LOG_LINE_BLOCK && has_event) {
        json_block_add(json, &line->body);
        return;
    }
    log_json_release(json, out);
    if (line->kind != LOG_LINE_EVENT) {
        text_add(out, "{\"text\":");
        text_add_json(out, line->body.bytes, line->body.count);
        text_add(out, "}\n");
    } else if (line->format == LOG_FORMAT_JSON) {
        text_add_bytes(out, line->body.bytes, line->body.count);
        text_add(out, "\n");
    } else if (line->format == LOG_FORMAT_LOGFMT) {
        json_event_add(out, line);
        text_add(out, "}\n");
    } else {
        json_event_add(&json->event, line);
    }
}

void log_json_release(struct log_json *json, struct text *out)
{
    if (json->event.count > 0) {
        text_add_bytes(out, json->event.bytes, json->event.count);
        text_add(out, "%s}\n", json->has_block ? "\"" : "");
    }
    out->failed |= json->event.failed;
    json->event.count = 0;
    json->has_block = false;
}

void log_json_finish(struct log_json *json)
{
    text_finish(&json->event);
}

/* A line each, as it is shown: of what was escaped in it nothing can be told any more. */
static void json_block_add(struct log_json *json, const struct log_span *body)
{
    struct text line = {0};
    text_add_json(&line, body->bytes, body->count);
    text_add(&json->event, "%s", json->has_block ? "\\n" : ",\"" BLOCK_KEY "\":\"");
    if (line.count >= 2) /* without its quotes */
        text_add_bytes(&json->event, line.bytes + 1, line.count - 2);
    json->event.failed |= line.failed;
    json->has_block = true;
    text_finish(&line);
}

static void json_member_begin(struct text *out, const char *key, size_t bytes, bool *is_first)
{
    text_add(out, "%s", *is_first ? "" : ",");
    text_add_json(out, key, bytes);
    text_add(out, ":");
    *is_first = false;
}

/* Without its last brace. */
static void json_event_add(struct text *out, const struct log_line *line)
{
    const struct {
        const char *key;
        const struct log_span *value;
    } head[] = {{"time", &line->time}, {"level", &line->level}, {"event", &line->event}};
    struct log_line fields = *line;
    struct log_span key, value;
    bool is_first = true;
    text_add(out, "{");
    for (size_t i = 0; i < ARRAY_COUNT(head); i++) {
        if (head[i].value->count == 0)
            continue;
        json_member_begin(out, head[i].key, strlen(head[i].key), &is_first);
        text_add_json(out, head[i].value->bytes, head[i].value->count);
    }
    while (log_line_next(&fields, &key, &value)) {
        json_member_begin(out, key.bytes, key.count, &is_first);
        json_value_add(out, line, &value);
    }
}

/* ---- values -------------------------------------------------------------------------------- */

static unsigned json_digit(char c)
{
    return c >= '0' && c <= '9'   ? (unsigned)(c - '0')
           : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                  : 16;
}

/* The bytes that a text in quotes stands for. */
static void json_unescape(struct text *out, const char *at, const char *end)
{
    while (at < end) {
        char c = *at++;
        if (c == '\\' && at < end) {
            unsigned high = end - at >= 3 ? json_digit(at[1]) : 16;
            unsigned low = end - at >= 3 ? json_digit(at[2]) : 16;
            bool is_byte = *at == 'x' && high < 16 && low < 16;
            c = is_byte ? (char)(high << 4 | low) : *at == 'n' ? '\n' : *at;
            at += is_byte ? 3 : 1;
        }
        text_add_bytes(out, &c, 1);
    }
}

/* What JSON writes without quotes: logfmt's texts are strings of JSON as they stand. */
static bool json_is_value(const struct log_span *value, bool is_logfmt)
{
    struct json_view view;
    struct json_error error;
    if (value->count == 0 || json_view_parse(&view, value->bytes, value->count, &error) < 0)
        return false;
    char first = view.text[0];
    return first == '"' ? is_logfmt : first != '{' && first != '[' && first != 'n';
}

static void json_value_add(struct text *out, const struct log_line *line,
                           const struct log_span *value)
{
    bool is_quoted = value->count >= 2 && value->bytes[0] == '"';
    if (json_is_value(value, line->format == LOG_FORMAT_LOGFMT)) {
        text_add_bytes(out, value->bytes, value->count);
    } else if (is_quoted) {
        struct text text = {0};
        json_unescape(&text, value->bytes + 1, value->bytes + value->count - 1);
        text_add_json(out, text.bytes ? text.bytes : "", text.count);
        out->failed |= text.failed;
        text_finish(&text);
    } else {
        text_add_json(out, value->bytes, value->count);
    }
}
