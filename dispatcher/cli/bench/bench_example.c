/* SPDX-License-Identifier: MIT */
/* bench_example.c - the first answer of each bad kind in a load run, in a sentence. */
#include "dispatcher/cli/bench/bench_example.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/text/json_view.h"

static bool example_error_find(const char *line, size_t count, struct text *out);

void bench_example_say(struct bench_examples *examples, enum bench_bad kind, const char *format,
                       ...)
{
    if (!bench_example_is_wanted(examples, kind))
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(examples->texts[kind], BENCH_EXAMPLE_BYTES, format, arguments);
    va_end(arguments);
}

void bench_example_failed(struct bench_examples *examples, unsigned status, const char *line,
                          size_t count)
{
    static const char event[] = "data: ";
    struct text text = {0};
    if (!bench_example_is_wanted(examples, BENCH_FAILED))
        return;
    if (count >= sizeof(event) - 1 && memcmp(line, event, sizeof(event) - 1) == 0) {
        line += sizeof(event) - 1;
        count -= sizeof(event) - 1;
    }
    if (count > 0 && line[count - 1] == '\r')
        count--;
    if (!example_error_find(line, count, &text)) {
        text_finish(&text);
        text_add_bytes(&text, line, count);
    }
    size_t shown = text.count < BENCH_SHOWN_BYTES ? text.count : BENCH_SHOWN_BYTES;
    bench_example_say(examples, BENCH_FAILED, "status %u%s%.*s", status, shown > 0 ? ", " : "",
                      (int)shown, shown > 0 ? text.bytes : "");
    text_finish(&text);
}

void bench_example_out_of_order(struct bench_examples *examples, uint64_t number, uint64_t expected,
                                const char *line, size_t count)
{
    bench_example_say(examples, BENCH_WRONG,
                      "number %" PRIu64 " where %" PRIu64 " was to come: %.*s", number, expected,
                      (int)(count < BENCH_SHOWN_BYTES ? count : BENCH_SHOWN_BYTES), line);
}

/* A member's characters, of anything but a string its JSON. */
static bool example_member_add(const struct json_view *object, const char *key, struct text *out)
{
    struct json_view value;
    if (!json_view_member(object, key, &value) || json_view_is_null(&value))
        return false;
    if (json_view_is_string(&value))
        json_view_string(&value, out);
    else
        text_add_bytes(out, value.text, value.bytes);
    return true;
}

/* {"error":{"type":...,"message":...}}, {"detail":{"message":...}} or {"detail":...} */
static bool example_error_find(const char *line, size_t count, struct text *out)
{
    struct json_view object, part;
    struct json_error error;
    if (json_view_parse(&object, line, count, &error) < 0)
        return false;
    if (json_view_member(&object, "error", &part) && example_member_add(&part, "type", out)) {
        text_add(out, ": ");
        example_member_add(&part, "message", out);
    } else if (!json_view_member(&object, "detail", &part) ||
               !example_member_add(&part, "message", out)) {
        example_member_add(&object, "detail", out);
    }
    return !out->failed && out->count > 0;
}
