/* SPDX-License-Identifier: MIT */
/* log_filter.c - which lines of a log are of one pipeline, or of one run, by their fields. */
#include "dispatcher/cli/operate/log_filter.h"

#include <string.h>

#define NOTICE "millrace: "

static bool filter_event_passes(const struct log_filter *filter, const struct log_line *line);

struct log_filter log_filter_make(const char *pipeline, const char *run)
{
    return (struct log_filter){.pipeline = pipeline, .run = run, .passes = !pipeline && !run};
}

bool log_filter_take(struct log_filter *filter, const struct log_line *line)
{
    const struct log_span *body = &line->body;
    if (line->kind == LOG_LINE_BLOCK)
        return filter->passes;
    if (line->kind == LOG_LINE_EVENT) {
        filter->passes = filter_event_passes(filter, line);
        return filter->passes;
    }
    filter->passes = !filter->pipeline && !filter->run;
    return filter->passes || (body->count >= sizeof NOTICE - 1 &&
                              memcmp(body->bytes, NOTICE, sizeof NOTICE - 1) == 0);
}

/* Pointers and ids have nothing that would be escaped. */
static bool filter_is(const char *value, size_t bytes, const char *wanted)
{
    if (bytes >= 2 && value[0] == '"' && value[bytes - 1] == '"') {
        value++;
        bytes -= 2;
    }
    return strlen(wanted) == bytes && memcmp(value, wanted, bytes) == 0;
}

static bool filter_member_is(const struct json_view *root, const char *key, const char *wanted)
{
    struct json_view value;
    return !wanted ||
           (json_view_member(root, key, &value) && filter_is(value.text, value.bytes, wanted));
}

/* Whether all that is asked for is there. */
static bool filter_event_passes(const struct log_filter *filter, const struct log_line *line)
{
    if (line->format == LOG_FORMAT_JSON)
        return filter_member_is(&line->root, "pipeline", filter->pipeline) &&
               filter_member_is(&line->root, "run", filter->run);
    bool has_pipeline = !filter->pipeline, has_run = !filter->run;
    struct log_line fields = *line;
    struct log_span key, value;
    while (log_line_next(&fields, &key, &value)) {
        if (!has_pipeline && filter_is(key.bytes, key.count, "pipeline"))
            has_pipeline = filter_is(value.bytes, value.count, filter->pipeline);
        else if (!has_run && filter_is(key.bytes, key.count, "run"))
            has_run = filter_is(value.bytes, value.count, filter->run);
    }
    return has_pipeline && has_run;
}
