/* SPDX-License-Identifier: MIT */
/* log_filter.c - which lines of a log are of one pipeline, or of one run. */
#include "dispatcher/cli/log_filter.h"

#include <string.h>

#include "dispatcher/text/json_view.h"
#include "millrace/check.h"

#define PRIORITY_BYTES 3u /* "<6>" */
#define INDENT "    "
#define NOTICE "millrace: "

/* What is left of a line. */
struct log_rest {
    const char *at, *end;
};

static bool filter_begins(const struct log_rest *rest, const char *with);
static bool filter_head_skip(struct log_rest *rest);
static bool filter_fields_pass(const struct log_filter *filter, struct log_rest rest);
static bool filter_json_passes(const struct log_filter *filter, const struct log_rest *rest,
                               bool *is_event);

struct log_filter log_filter_make(const char *pipeline, const char *run)
{
    return (struct log_filter){.pipeline = pipeline, .run = run, .passes = !pipeline && !run};
}

bool log_filter_take(struct log_filter *filter, const char *line, size_t bytes,
                     enum log_line_kind *kind)
{
    struct log_rest rest = {line, line + bytes};
    bool is_event = true;
    if (bytes > PRIORITY_BYTES && line[0] == '<' && line[2] == '>')
        rest.at += PRIORITY_BYTES;
    *kind = LOG_LINE_EVENT;
    if (filter_begins(&rest, INDENT)) {
        *kind = LOG_LINE_BLOCK;
        return filter->passes;
    }
    if (filter_begins(&rest, "{"))
        filter->passes = filter_json_passes(filter, &rest, &is_event);
    else if (filter_begins(&rest, "time=") || (is_event = filter_head_skip(&rest)))
        filter->passes = filter_fields_pass(filter, rest);
    if (is_event)
        return filter->passes;
    *kind = LOG_LINE_OTHER;
    filter->passes = !filter->pipeline && !filter->run;
    return filter->passes || filter_begins(&rest, NOTICE);
}

static bool filter_begins(const struct log_rest *rest, const char *with)
{
    size_t bytes = strlen(with);
    return (size_t)(rest->end - rest->at) >= bytes && memcmp(rest->at, with, bytes) == 0;
}

/* ---- text and logfmt ----------------------------------------------------------------------- */

static size_t filter_word_bytes(const struct log_rest *rest)
{
    const char *blank = memchr(rest->at, ' ', (size_t)(rest->end - rest->at));
    return (size_t)((blank ? blank : rest->end) - rest->at);
}

/* The next word and the blank behind it. */
static void filter_word_skip(struct log_rest *rest)
{
    rest->at += filter_word_bytes(rest);
    rest->at += rest->at < rest->end;
}

/* "TIME LEVEL EVENT ", of which the journal has no time. False: it is no event of that format. */
static bool filter_head_skip(struct log_rest *rest)
{
    static const char *const levels[] = {"debug", "info", "warning", "error"};
    bool is_event = false;
    if (rest->at < rest->end && *rest->at >= '0' && *rest->at <= '9')
        filter_word_skip(rest);
    size_t bytes = filter_word_bytes(rest);
    for (size_t i = 0; i < ARRAY_COUNT(levels); i++)
        is_event |= strlen(levels[i]) == bytes && memcmp(levels[i], rest->at, bytes) == 0;
    if (!is_event)
        return false;
    filter_word_skip(rest);
    filter_word_skip(rest);
    return true;
}

/* Behind the quote that ends a text, or at the end of the line. */
static const char *filter_quoted_skip(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++)
        at += *at == '\\' && at + 1 < end;
    return at < end ? at + 1 : end;
}

static bool filter_is(const char *value, size_t bytes, const char *wanted)
{
    if (bytes >= 2 && value[0] == '"' && value[bytes - 1] == '"') {
        value++;
        bytes -= 2;
    }
    return strlen(wanted) == bytes && memcmp(value, wanted, bytes) == 0;
}

/* Whether all that is asked for is there; pointers and ids have nothing that would be escaped. */
static bool filter_fields_pass(const struct log_filter *filter, struct log_rest rest)
{
    bool has_pipeline = !filter->pipeline, has_run = !filter->run;
    while (rest.at < rest.end) {
        const char *equals = memchr(rest.at, '=', (size_t)(rest.end - rest.at));
        if (!equals)
            break;
        size_t key_bytes = (size_t)(equals - rest.at);
        const char *key = rest.at, *value = equals + 1;
        rest.at = value;
        const char *end = value < rest.end && *value == '"' ? filter_quoted_skip(value, rest.end)
                                                            : value + filter_word_bytes(&rest);
        size_t bytes = (size_t)(end - value);
        if (!has_pipeline && filter_is(key, key_bytes, "pipeline"))
            has_pipeline = filter_is(value, bytes, filter->pipeline);
        else if (!has_run && filter_is(key, key_bytes, "run"))
            has_run = filter_is(value, bytes, filter->run);
        rest.at = end + (end < rest.end);
    }
    return has_pipeline && has_run;
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static bool filter_member_is(const struct json_view *root, const char *key, const char *wanted)
{
    struct json_view value;
    return !wanted ||
           (json_view_member(root, key, &value) && filter_is(value.text, value.bytes, wanted));
}

static bool filter_json_passes(const struct log_filter *filter, const struct log_rest *rest,
                               bool *is_event)
{
    struct json_view root;
    struct json_error error;
    *is_event = json_view_parse(&root, rest->at, (size_t)(rest->end - rest->at), &error) == 0;
    return *is_event && filter_member_is(&root, "pipeline", filter->pipeline) &&
           filter_member_is(&root, "run", filter->run);
}
