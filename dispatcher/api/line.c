/* SPDX-License-Identifier: MIT */
/* line.c - the text of results. */
#include "dispatcher/api/line.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/http/response.h"
#include "dispatcher/inputs/error_type.h"
#include "dispatcher/server/loop.h"
#include "dispatcher/text/json_out.h"
#include "dispatcher/text/put.h"

#define EVENT_HEAD "data: "
#define LINE_TAIL "],\"error\":null}\n"
#define LINE_TAIL_BYTES (sizeof(LINE_TAIL) - 1)

static struct pipeline *pipeline_of(struct loop *loop, const struct run *run)
{
    return &loop->pipelines[run->pipeline_index];
}

static struct conn *conn_of(struct loop *loop, const struct run *run)
{
    mr_assert(run->conn_attached);
    return &loop->front.conns[run->conn_index];
}

void line_prefix_init(struct loop *loop, struct run *run)
{
    struct put prefix = PUT_INTO(run->prefix);
    if (run->mode == RUN_MODE_EVENTS)
        PUT(&prefix, EVENT_HEAD);
    PUT(&prefix, "{\"id\":\"");
    put_text(&prefix, run->id);
    PUT(&prefix, "\",\"created_at\":");
    put_bytes(&prefix, loop->reactor.wall_text, WALL_TEXT_BYTES);
    PUT(&prefix, ",\"updated_at\":");
    run->updated_offset = (uint32_t)(prefix.at - run->prefix);
    put_bytes(&prefix, loop->reactor.wall_text, WALL_TEXT_BYTES);
    PUT(&prefix, ",\"pipeline_id\":\"");
    put_text(&prefix, pipeline_of(loop, run)->config->id);
    PUT(&prefix, "\",\"state\":\"running\",\"queue_position\":null,\"inputs\":null,\"outputs\":[");
    run->prefix_count = (uint32_t)(prefix.at - run->prefix);
    run->prefix_pass = loop->reactor.pass;
}

/* The time inside the prefix is set at most once a pass. */
static void prefix_refresh(const struct loop *loop, struct run *run)
{
    if (run->prefix_pass == loop->reactor.pass)
        return;
    memcpy(run->prefix + run->updated_offset, loop->reactor.wall_text, WALL_TEXT_BYTES);
    run->prefix_pass = loop->reactor.pass;
}

static void stream_begin(struct loop *loop, struct run *run)
{
    if (run->head_sent)
        return;
    run->head_sent = true;
    response_stream_head(&loop->front, conn_of(loop, run),
                         run->mode == RUN_MODE_EVENTS ? "text/event-stream"
                                                      : "application/x-ndjson");
}

/* One line into `out`, which has room for line_bound(). Returns its bytes or what json_out says. */
static int64_t line_make(const struct run *run, uint32_t output_count, const uint8_t *payload,
                         size_t bytes, char *out)
{
    memcpy(out, run->prefix, run->prefix_count);
    int64_t count = json_out_outputs(payload, bytes, output_count, out + run->prefix_count);
    if (count < 0)
        return count;
    count += run->prefix_count;
    memcpy(out + count, LINE_TAIL, LINE_TAIL_BYTES);
    count += (int64_t)LINE_TAIL_BYTES;
    if (run->mode == RUN_MODE_EVENTS)
        out[count++] = '\n';
    return count;
}

static size_t line_bound(const struct run *run, size_t bytes, uint32_t output_count)
{
    return run->prefix_count + json_out_bound(bytes, output_count) + LINE_TAIL_BYTES + 1;
}

/* A line that may not fit a block, or whose head must wait until the value proved good. */
static int line_write_long(struct loop *loop, struct run *run, struct conn *conn,
                           const uint8_t *payload, size_t bytes)
{
    uint32_t output_count = pipeline_of(loop, run)->variables.output_count;
    char *out = out_long_open(&loop->front.out, line_bound(run, bytes, output_count));
    if (!out)
        return -ENOMEM;
    int64_t count = line_make(run, output_count, payload, bytes, out);
    if (count < 0)
        return (int)count;
    if (!out_pool_allows(&loop->front.out, (uint64_t)count))
        return -ENOMEM;
    stream_begin(loop, run);
    return out_long_commit(&loop->front.out, &conn->out, (size_t)count, conn->request.minor == 1);
}

static int line_write_short(struct loop *loop, struct run *run, struct conn *conn,
                            const uint8_t *payload, size_t bytes, uint32_t bound)
{
    uint32_t output_count = pipeline_of(loop, run)->variables.output_count;
    char *out = out_reserve(&loop->front.out, &conn->out, bound, conn->request.minor == 1);
    if (!out)
        return -ENOMEM;
    int64_t count = line_make(run, output_count, payload, bytes, out);
    if (count < 0)
        return (int)count;
    out_commit(&conn->out, (uint32_t)count);
    return 0;
}

int line_write(struct loop *loop, struct run *run, const uint8_t *payload, size_t bytes,
               uint64_t charge)
{
    struct conn *conn = conn_of(loop, run);
    size_t bound = line_bound(run, bytes, pipeline_of(loop, run)->variables.output_count);
    /* A long line is looked at again when its length is known: it has at least the value's bytes.
     */
    if (!out_pool_allows(&loop->front.out, bound <= OUT_LINE_BYTES_MAX ? bound : bytes))
        return -ENOMEM;
    prefix_refresh(loop, run);
    int rc = run->head_sent && bound <= OUT_LINE_BYTES_MAX
                 ? line_write_short(loop, run, conn, payload, bytes, (uint32_t)bound)
                 : line_write_long(loop, run, conn, payload, bytes);
    if (rc < 0)
        return rc;
    out_charge(&conn->out, charge);
    conn_mark_dirty(&loop->front, conn);
    run->line_count++;
    run->last_line_ms = loop->reactor.now_ms;
    loop->metrics.line_count++;
    return 0;
}

/* ---- plain runs: one result ---------------------------------------------------------------- */

/* A text keeps so much room, and a quarter of what it has, for the next values. */
#define COLLECT_SLACK_BYTES 1024u

/* The count of a msgpack array and the bytes of its header; 0 when it is none. */
static size_t array_header(const uint8_t *payload, size_t bytes, size_t *count)
{
    if (bytes >= 1 && (payload[0] & 0xf0) == 0x90) {
        *count = payload[0] & 0x0f;
        return 1;
    }
    if (bytes >= 3 && payload[0] == 0xdc) {
        *count = ((size_t)payload[1] << 8) | payload[2];
        return 3;
    }
    return 0;
}

/* Streams become arrays, item by item; of a plain output the first value counts. */
static int collect_value(struct text *text, bool is_stream, bool is_first, const uint8_t *bytes,
                         size_t count, size_t *consumed)
{
    const char *type;
    char *room = text_reserve(text, json_out_bound(count, 1));
    if (!room)
        return -ENOMEM;
    size_t head = is_stream && !is_first ? 1 : 0;
    int64_t written = json_out_value(bytes, count, consumed, &type, room + head);
    if (written < 0)
        return (int)written;
    if (is_stream) {
        if (head)
            room[0] = ',';
        text->count += (size_t)written + head;
    } else if (is_first) {
        char value_head[48];
        int n = snprintf(value_head, sizeof(value_head), "{\"type\":\"%s\",\"value\":", type);
        mr_assert(n > 0);
        memmove(room + n, room, (size_t)written);
        memcpy(room, value_head, (size_t)n);
        text->count += (size_t)n + (size_t)written;
        text_add(text, ",\"file\":null}");
    }
    return 0;
}

int line_collect(struct loop *loop, struct run *run, const uint8_t *payload, size_t bytes)
{
    const struct variables *variables = &pipeline_of(loop, run)->variables;
    size_t count = 0, total = 0;
    size_t offset = array_header(payload, bytes, &count);
    if (offset == 0 || count != variables->output_count)
        return -EBADMSG;
    for (size_t i = 0; i < count; i++) {
        size_t consumed = 0;
        if (json_out_is_exhausted(payload + offset, bytes - offset)) {
            offset += CHUNK_EXHAUSTED_BYTES;
            continue;
        }
        struct text *collected = &run->collected[i];
        int rc = collect_value(collected, variables->outputs[i].type == MR_STREAM,
                               collected->count == 0, payload + offset, bytes - offset, &consumed);
        if (rc < 0)
            return rc;
        /* There was room for the longest text that the value could have become. */
        text_trim(collected, collected->count / 4 + COLLECT_SLACK_BYTES);
        offset += consumed;
        total += run->collected[i].count;
    }
    if (offset != bytes)
        return -EBADMSG;
    run->line_count++;
    return total > loop->config->body_bytes_max ? -EFBIG : 0;
}

void line_outputs(struct loop *loop, const struct run *run, struct text *outputs)
{
    const struct variables *variables = &pipeline_of(loop, run)->variables;
    text_add(outputs, "[");
    for (size_t i = 0; i < variables->output_count; i++) {
        const struct text *value = &run->collected[i];
        bool is_stream = variables->outputs[i].type == MR_STREAM;
        text_add(outputs, "%s%s", i > 0 ? "," : "",
                 is_stream ? "{\"type\":\"array\",\"value\":[" : "");
        text_add_bytes(outputs, value->bytes, value->count);
        if (is_stream)
            text_add(outputs, "],\"file\":null}");
        else if (value->count == 0)
            text_add(outputs, "{\"type\":\"none\",\"value\":null,\"file\":null}");
    }
    text_add(outputs, "]");
}

static void result_send(struct loop *loop, struct run *run)
{
    struct text outputs = {0}, body = {0};
    line_outputs(loop, run, &outputs);
    struct line_result result = {.id = run->id,
                                 .pipeline_id = pipeline_of(loop, run)->config->id,
                                 .state = "completed",
                                 .created_at = run->created_at,
                                 .updated_at = loop->reactor.wall_s,
                                 .queue_position = -1,
                                 .line_count = -1,
                                 .outputs = &outputs};
    line_format(&body, &result);
    struct conn *conn = conn_of(loop, run);
    if (body.failed || outputs.failed)
        response_detail(&loop->front, conn, 503, "Out of memory.");
    else
        response_send(
            &loop->front, conn,
            &(struct response){.status = 200, .body = body.bytes, .body_bytes = body.count});
    text_finish(&outputs);
    text_finish(&body);
}

/* ---- ends ---------------------------------------------------------------------------------- */

void line_format(struct text *text, const struct line_result *result)
{
    const struct run_failure *failure = result->failure;
    text_add(text,
             "{\"id\":\"%s\",\"created_at\":%.6f,\"updated_at\":%.6f,\"pipeline_id\":\"%s\","
             "\"state\":\"%s\",\"queue_position\":",
             result->id, result->created_at, result->updated_at, result->pipeline_id,
             result->state);
    if (result->queue_position >= 0)
        text_add(text, "%ld", result->queue_position);
    else
        text_add(text, "null");
    text_add(text, ",\"inputs\":null,\"outputs\":");
    if (result->outputs && !result->outputs->failed)
        text_add_bytes(text, result->outputs->bytes, result->outputs->count);
    else
        text_add(text, "null");
    if (failure) {
        text_add(text, ",\"error\":{\"type\":\"%s\",\"message\":", error_type_name(failure->type));
        text_add_json(text, failure->message, failure->message_count);
        text_add(text, ",\"traceback\":");
        if (failure->traceback)
            text_add_json(text, failure->traceback, failure->traceback_count);
        else
            text_add(text, "null");
        text_add(text, "}");
    } else {
        text_add(text, ",\"error\":null");
    }
    if (result->line_count >= 0)
        text_add(text, ",\"lines\":%lld", (long long)result->line_count);
    text_add(text, "}\n");
}

/* The last line of a run, as text. */
static void last_line(struct loop *loop, struct run *run, const struct run_failure *failure,
                      struct text *text)
{
    const char *state = "completed";
    if (failure)
        state = failure->state ? failure->state : "failed";
    struct line_result result = {.id = run->id,
                                 .pipeline_id = pipeline_of(loop, run)->config->id,
                                 .state = state,
                                 .created_at = run->created_at,
                                 .updated_at = loop->reactor.wall_s,
                                 .queue_position = -1,
                                 .line_count = run->final_line ? (int64_t)run->line_count : -1,
                                 .failure = failure};
    line_format(text, &result);
}

/* Adds text to a stream that has begun; a connection without room for it is cut. */
static void stream_add(struct loop *loop, struct conn *conn, const char *bytes, size_t count)
{
    if (out_append(&loop->front.out, &conn->out, bytes, count, conn->request.minor == 1) < 0)
        conn_doom(&loop->front, conn);
    conn_mark_dirty(&loop->front, conn);
}

static void stream_finish(struct loop *loop, struct run *run, const struct run_failure *failure)
{
    struct conn *conn = conn_of(loop, run);
    bool events = run->mode == RUN_MODE_EVENTS;
    struct text text = {0};
    if (failure || run->final_line) {
        if (events)
            text_add(&text, "%s" EVENT_HEAD, failure ? "event: error\n" : "");
        last_line(loop, run, failure, &text);
        if (events)
            text_add(&text, "\n");
    }
    if (events)
        text_add(&text, EVENT_HEAD "[DONE]\n\n");
    if (text.failed)
        conn_doom(&loop->front, conn);
    else if (text.count > 0)
        stream_add(loop, conn, text.bytes, text.count);
    text_finish(&text);
    response_stream_end(&loop->front, conn, failure ? "failed" : "completed", run->line_count);
}

void line_complete(struct loop *loop, struct run *run)
{
    if (run->mode == RUN_MODE_RESULT) {
        result_send(loop, run);
        return;
    }
    stream_begin(loop, run);
    stream_finish(loop, run, NULL);
}

void line_fail(struct loop *loop, struct run *run, const struct run_failure *failure)
{
    if (!run->head_sent && run->mode == RUN_MODE_EVENTS && failure->status == 200)
        stream_begin(loop, run);
    if (run->head_sent) {
        stream_finish(loop, run, failure);
        return;
    }
    struct conn *conn = conn_of(loop, run);
    struct text body = {0};
    last_line(loop, run, failure, &body);
    if (body.failed)
        response_detail(&loop->front, conn, 503, "Out of memory.");
    else
        response_send(&loop->front, conn,
                      &(struct response){.status = failure->status,
                                         .content_type = run->mode == RUN_MODE_LINES
                                                             ? "application/x-ndjson"
                                                             : NULL,
                                         .body = body.bytes,
                                         .body_bytes = body.count,
                                         .retry_after_s = failure->retry_after_s});
    text_finish(&body);
}

void line_keepalive(struct loop *loop, struct run *run)
{
    if (run->mode == RUN_MODE_RESULT)
        return;
    stream_begin(loop, run);
    if (run->mode == RUN_MODE_EVENTS)
        stream_add(loop, conn_of(loop, run), ": keep-alive\n\n", 14);
    else
        stream_add(loop, conn_of(loop, run), "\n", 1);
    run->last_line_ms = loop->reactor.now_ms;
}
