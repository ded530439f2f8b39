/* SPDX-License-Identifier: MIT */
/*
 * result.c - the one result of a plain run: its values are collected, and told at its end.
 *
 * What is collected counts against --output-memory together with output that waits for clients, and
 * what runs of one pipeline collect within its share, from the value that made it grow until the
 * client is answered.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/api/answer.h"
#include "dispatcher/api/api.h"
#include "dispatcher/api/callback.h"
#include "dispatcher/api/formats/file_text.h"
#include "dispatcher/api/formats/format.h"
#include "dispatcher/api/formats/run_text.h"
#include "dispatcher/http/response.h"
#include "dispatcher/runs/runs.h"
#include "dispatcher/text/json_out.h"
#include "millrace/protocol.h"

/* A text keeps so much room, and a quarter of what it has, for the next values. */
#define COLLECT_SLACK_BYTES 1024u

/* The count of a msgpack array and the bytes of its header; 0 when it is none. */
static size_t result_array_header(const uint8_t *payload, size_t bytes, size_t *count)
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

/* An item of a stream; or what of a plain output comes again, of which nothing is kept. */
static int result_collect_item(struct collected *collected, bool is_kept, bool is_file,
                               const uint8_t *data, size_t bytes, size_t *consumed)
{
    struct text *text = &collected->text;
    const char *type;
    const size_t head = is_kept && text->count > 0 ? 1 : 0;
    char *room = text_reserve(text, json_out_bound(bytes, 1));
    if (!room)
        return -ENOMEM;
    int64_t written = json_out_value(data, bytes, consumed, &type, room + head);
    if (written < 0)
        return (int)written;
    if (head) {
        room[0] = ',';
    } else if (is_kept) {
        collected->first_type = type;
        collected->is_first_file = is_file;
        collected->first_bytes = (size_t)written;
    }
    if (is_kept)
        text->count += (size_t)written + head;
    return 0;
}

/* Streams become arrays, item by item; of a plain output the first value counts. */
static int result_collect_one(struct collected *collected, bool is_stream, bool is_file,
                              const uint8_t *data, size_t bytes, size_t *consumed)
{
    if (collected->text.count == 0 && !is_stream)
        return output_text_add(&collected->text, data, bytes, is_file, consumed);
    return result_collect_item(collected, is_stream, is_file, data, bytes, consumed);
}

/* ---- what is held ---------------------------------------------------------------------------- */

static void result_count(struct answer *answer, struct pipeline *pipeline, uint64_t bytes)
{
    struct api *api = answer->api;
    mr_assert(pipeline->collected_bytes >= answer->collected_bytes);
    mr_assert(api->collected_bytes >= pipeline->collected_bytes);
    pipeline->collected_bytes = pipeline->collected_bytes - answer->collected_bytes + bytes;
    api->collected_bytes = api->collected_bytes - answer->collected_bytes + bytes;
    answer->collected_bytes = bytes;
}

static uint64_t result_rooms(const struct answer *answer)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < answer->output_count; i++)
        bytes += answer->collected[i].text.room;
    return bytes;
}

static int result_check_limits(const struct api *api, const struct pipeline *pipeline)
{
    if (pipeline->collected_bytes > pipeline->pool->unfinished.bytes_max)
        return -EDQUOT;
    /* All of it could be answered now, and leaves to other answers what lines do. */
    return out_pool_allows(&api->front->out, api->collected_bytes) ? 0 : -ENOMEM;
}

/* Counts what the texts hold now. 0; -EDQUOT: the pipeline has more than its share; -ENOMEM:
 * --output-memory is used up. They are counted in either case: the run has to end. Only one that
 * grows is refused: the others may have what they have. */
static int result_account(struct answer *answer, struct pipeline *pipeline)
{
    uint64_t before = answer->collected_bytes;
    result_count(answer, pipeline, result_rooms(answer));
    if (answer->collected_bytes <= before || result_check_limits(answer->api, pipeline) == 0)
        return 0;
    /* It may do without room for what comes next. */
    for (uint32_t i = 0; i < answer->output_count; i++)
        text_trim(&answer->collected[i].text, 0);
    result_count(answer, pipeline, result_rooms(answer));
    return result_check_limits(answer->api, pipeline);
}

static void result_free(struct answer *answer, struct pipeline *pipeline)
{
    if (!answer->collected)
        return;
    result_count(answer, pipeline, 0);
    for (uint32_t i = 0; i < answer->output_count; i++)
        text_finish(&answer->collected[i].text);
    free(answer->collected);
    answer->collected = NULL;
}

/* ---- the sink ------------------------------------------------------------------------------ */

/* Without memory for them the first value says so. */
static void result_begin(struct sink *sink, const struct run *run)
{
    struct answer *answer = answer_of(sink);
    answer->output_count = run->pipeline->pool->variables.output_count;
    answer->collected = calloc(answer->output_count + 1, sizeof *answer->collected);
}

static void result_known(struct sink *sink, const struct run *run)
{
    struct answer *answer = answer_of(sink);
    result_free(answer, run->pipeline);
    result_begin(sink, run);
}

/* The same of a value with files, which are written out first. */
static int result_collect_files(const struct answer *answer, const struct run *run,
                                struct collected *collected, bool is_stream, const uint8_t *data,
                                size_t bytes, size_t *consumed)
{
    struct text packed = {0};
    size_t expanded;
    bool is_file;
    int rc = file_text_expand(answer, run, data, bytes, consumed, &is_file, &packed);
    if (rc == 0)
        rc = result_collect_one(collected, is_stream, is_file, (const uint8_t *)packed.bytes,
                                packed.count, &expanded);
    text_finish(&packed);
    return rc;
}

static int result_collect(struct answer *answer, const struct run *run, const uint8_t *data,
                          size_t bytes)
{
    const struct variables *variables = &run->pipeline->pool->variables;
    const bool has_files = file_text_is_needed(run, data, bytes);
    size_t count = 0, total = 0;
    size_t offset = result_array_header(data, bytes, &count);
    if (offset == 0 || count != answer->output_count)
        return -EBADMSG;
    for (size_t i = 0; i < count; i++) {
        const bool is_stream = variables->outputs[i].type == MR_STREAM;
        struct collected *collected = &answer->collected[i];
        size_t consumed = 0;
        if (json_out_is_exhausted(data + offset, bytes - offset)) {
            offset += CHUNK_EXHAUSTED_BYTES;
            continue;
        }
        int rc = has_files ? result_collect_files(answer, run, collected, is_stream, data + offset,
                                                  bytes - offset, &consumed)
                           : result_collect_one(collected, is_stream, false, data + offset,
                                                bytes - offset, &consumed);
        if (rc < 0)
            return rc;
        /* There was room for the longest text that the value could have become. */
        text_trim(&collected->text, collected->text.count / 4 + COLLECT_SLACK_BYTES);
        offset += consumed;
        total += collected->text.count;
    }
    if (offset != bytes)
        return -EBADMSG;
    return total > answer->api->config->body_bytes_max ? -EFBIG : 0;
}

static int result_value(struct sink *sink, struct run *run, const uint8_t *data, size_t bytes,
                        uint64_t charge)
{
    struct answer *answer = answer_of(sink);
    if (!answer->collected)
        return -ENOMEM;
    int rc = result_collect(answer, run, data, bytes);
    bool is_collected = rc == 0 || rc == -EFBIG;
    int account_rc = result_account(answer, run->pipeline);
    run_delivered(run, charge);
    if (rc == 0)
        rc = account_rc;
    return is_collected ? -rc : rc; /* one that was taken, and not one too many, is 0 */
}

/* What was said to be a stream, or not said to be anything, and is one value, which was sent on
 * each line. */
static void result_value_add(const struct collected *collected, struct text *outputs)
{
    if (!collected->is_first_file)
        text_add(outputs, "{\"type\":\"%s\",\"value\":", collected->first_type);
    text_add_bytes(outputs, collected->text.bytes, collected->first_bytes);
    if (!collected->is_first_file)
        text_add(outputs, ",\"file\":null}");
}

/* What was collected, as the JSON text of "outputs". */
static void result_outputs(const struct answer *answer, const struct run *run, struct text *outputs)
{
    const struct variables *variables = &run->pipeline->pool->variables;
    text_add(outputs, "[");
    for (uint32_t i = 0; i < answer->output_count; i++) {
        const struct collected *collected = &answer->collected[i];
        const struct text *text = &collected->text;
        const bool is_plain = run->plain_outputs >> i & 1 && collected->first_type;
        text_add(outputs, "%s", i > 0 ? "," : "");
        if (variables->outputs[i].type == MR_STREAM && is_plain) {
            result_value_add(collected, outputs);
        } else if (variables->outputs[i].type == MR_STREAM) {
            text_add(outputs, "{\"type\":\"array\",\"value\":[");
            text_add_bytes(outputs, text->bytes, text->count);
            text_add(outputs, "],\"file\":null}");
        } else if (text->count == 0) {
            text_add(outputs, "{\"type\":\"none\",\"value\":null,\"file\":null}");
        } else {
            text_add_bytes(outputs, text->bytes, text->count);
        }
    }
    text_add(outputs, "]");
}

/* Nobody waits: whom the client named is told, if it named somebody. */
static void result_call_back(struct answer *answer, const struct run *run,
                             const struct run_failure *failure, const struct text *outputs)
{
    struct text body = {0};
    if (!answer->callback_url)
        return;
    run_text_callback(&body, answer->api, failure, outputs);
    body.failed |= outputs && outputs->failed;
    callback_begin(answer->api->callbacks, run->id, run->owner, answer->callback_url, &body);
    answer->callback_url = NULL;
}

/* Nobody waits: it can be asked for. */
static void result_keep(const struct answer *answer, const struct run *run, struct text *outputs)
{
    if (outputs->failed)
        text_finish(outputs); /* the run is known as completed, without them */
    else
        history_keep(&answer->api->runs->history, run->owner, outputs);
}

static void result_complete(struct answer *answer, const struct run *run)
{
    struct text outputs = {0}, body = {0};
    char headers[RUN_TEXT_HEADERS_BYTES];
    if (answer->collected)
        result_outputs(answer, run, &outputs);
    outputs.failed |= !answer->collected;
    if (!answer->conn) {
        result_call_back(answer, run, NULL, &outputs);
        result_keep(answer, run, &outputs);
        return;
    }
    run_text_end(&body, answer->api, run, NULL, -1, &outputs);
    body.failed |= outputs.failed;
    response_text_with(answer->api->front, answer->conn, 200, NULL, run_text_headers(run, headers),
                       &body);
    text_finish(&outputs);
}

static void result_fail(struct answer *answer, const struct run *run,
                        const struct run_failure *failure)
{
    struct text body = {0};
    char headers[RUN_TEXT_HEADERS_BYTES];
    int64_t line_count = answer->final_line ? (int64_t)run->value_count : -1;
    run_text_end(&body, answer->api, run, failure, line_count, NULL);
    answer_failure(answer, failure, NULL, run_text_headers(run, headers), &body);
}

static int result_finish(struct sink *sink, struct run *run, const struct run_failure *failure)
{
    struct answer *answer = answer_of(sink);
    if (!failure && (!answer->conn || answer_is_heard(answer)))
        result_complete(answer, run);
    else if (failure && answer_is_heard(answer))
        result_fail(answer, run, failure);
    else if (failure && !answer->conn)
        result_call_back(answer, run, failure, NULL);
    result_free(answer, run->pipeline);
    return answer_give(answer);
}

static int result_drop(struct sink *sink, struct run *run)
{
    struct answer *answer = answer_of(sink);
    result_free(answer, run->pipeline);
    return answer_give(answer);
}

static const struct sink_ops result_sink = {
    .begin = result_begin,
    .known = result_known,
    .value = result_value,
    .finish = result_finish,
    .drop = result_drop,
};

const struct format format_result = {.sink = &result_sink, .may_be_asynchronous = true};
