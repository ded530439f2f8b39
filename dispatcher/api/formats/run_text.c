/* SPDX-License-Identifier: MIT */
/* run_text.c - runs as JSON text. */
#include "dispatcher/api/formats/run_text.h"

#include <stdio.h>

#include "dispatcher/inputs/error_type.h"
#include "dispatcher/runs/pipeline.h"

static void run_text_time(struct text *text, const char *name, double at)
{
    if (at > 0)
        text_add(text, "\"%s\":%.6f", name, at);
    else
        text_add(text, "\"%s\":null", name);
}

static void run_text_course(struct text *text, const struct run_course *course)
{
    text_add(text, ",\"times\":{");
    run_text_time(text, "queued", course->queued);
    text_add(text, ",");
    run_text_time(text, "started", course->started);
    text_add(text, ",");
    run_text_time(text, "first_chunk", course->first_chunk);
    text_add(text, ",");
    run_text_time(text, "ended", course->ended);
    if (course->worker == RUN_WORKER_NONE)
        text_add(text, "},\"worker\":null,\"attempt\":%u", course->attempt);
    else
        text_add(text, "},\"worker\":%u,\"attempt\":%u", course->worker, course->attempt);
}

/* "inputs", "outputs" and "error". */
static void run_text_outcome(struct text *text, const struct run_failure *failure,
                             bool has_traceback, const struct text *outputs)
{
    text_add(text, "\"inputs\":null,\"outputs\":");
    if (outputs && !outputs->failed)
        text_add_bytes(text, outputs->bytes, outputs->count);
    else
        text_add(text, "null");
    if (failure) {
        text_add(text, ",\"error\":{\"type\":\"%s\",\"message\":", error_type_name(failure->type));
        text_add_json(text, failure->message, failure->message_count);
        text_add(text, ",\"traceback\":");
        if (failure->traceback && has_traceback)
            text_add_json(text, failure->traceback, failure->traceback_count);
        else
            text_add(text, "null");
        text_add(text, "}");
    } else {
        text_add(text, ",\"error\":null");
    }
}

void run_text_format(struct text *text, const struct run_text *run)
{
    text_add(text,
             "{\"id\":\"%s\",\"created_at\":%.6f,\"updated_at\":%.6f,\"pipeline_id\":\"%s\","
             "\"state\":\"%s\",\"queue_position\":",
             run->id, run->created_at, run->updated_at, run->pipeline_id, run->state);
    if (run->queue_position >= 0)
        text_add(text, "%ld,", run->queue_position);
    else
        text_add(text, "null,");
    run_text_outcome(text, run->failure, run->has_traceback, run->outputs);
    if (run->line_count >= 0)
        text_add(text, ",\"lines\":%lld", (long long)run->line_count);
    if (run->course)
        run_text_course(text, run->course);
    text_add(text, "}\n");
}

void run_text_end(struct text *text, const struct api *api, const struct run *run,
                  const struct run_failure *failure, int64_t line_count, const struct text *outputs)
{
    run_text_format(text, &(struct run_text){.id = run->id,
                                             .pipeline_id = run->pipeline->config->id,
                                             .state = run_failure_state(failure),
                                             .created_at = run->created_at,
                                             .updated_at = api->reactor->wall_s,
                                             .queue_position = -1,
                                             .line_count = line_count,
                                             .outputs = outputs,
                                             .failure = failure,
                                             .has_traceback = run_text_shows_tracebacks(api)});
}

void run_text_callback(struct text *text, const struct api *api, const struct run_failure *failure,
                       const struct text *outputs)
{
    text_add(text, "{");
    run_text_outcome(text, failure, run_text_shows_tracebacks(api), outputs);
    text_add(text, "}\n");
}

const char *run_text_headers(const struct run *run, char text[RUN_TEXT_HEADERS_BYTES])
{
    if (!run->alias)
        return NULL;
    snprintf(text, RUN_TEXT_HEADERS_BYTES, "X-Millrace-Pipeline: %s\r\n",
             run->pipeline->config->pointer);
    return text;
}
