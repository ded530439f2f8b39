/* SPDX-License-Identifier: MIT */
/* stream.c - lines and ends of streams. */
#include "dispatcher/api/formats/stream.h"

#include <errno.h>
#include <string.h>

#include "dispatcher/api/api.h"
#include "dispatcher/api/formats/file_text.h"
#include "dispatcher/api/formats/run_text.h"
#include "dispatcher/http/response.h"
#include "dispatcher/runs/pipeline.h"
#include "dispatcher/text/json_out.h"
#include "dispatcher/text/put.h"
#include "dispatcher/workers/fleet.h"

static void stream_refresh(struct answer *answer);
static size_t stream_bound(const struct answer *answer, size_t bytes);
static int stream_write_files(struct answer *answer, const struct run *run, const uint8_t *data,
                              size_t bytes);
static int stream_write_long(struct answer *answer, const struct run *run, const uint8_t *data,
                             size_t bytes, size_t bound);
static int stream_write_short(struct answer *answer, const uint8_t *data, size_t bytes,
                              uint32_t bound);
static void stream_add(struct answer *answer, const char *data, size_t bytes);
static void stream_end(struct answer *answer, const struct run *run,
                       const struct run_failure *failure);
static void stream_refuse(struct answer *answer, const struct run *run,
                          const struct run_failure *failure);

void stream_begin(struct sink *sink, const struct run *run, const struct stream_words *words)
{
    struct answer *answer = answer_of(sink);
    struct reactor *reactor = answer->api->reactor;
    struct put prefix = PUT_INTO(answer->prefix);
    answer->words = words;
    answer->tail_bytes = (uint32_t)strlen(words->line_tail);
    answer->output_count = run->pipeline->pool->variables.output_count;
    put_text(&prefix, words->line_head);
    PUT(&prefix, "{\"id\":\"");
    put_text(&prefix, run->id);
    PUT(&prefix, "\",\"created_at\":");
    put_bytes(&prefix, run->created_text, WALL_TEXT_BYTES);
    PUT(&prefix, ",\"updated_at\":");
    answer->updated_offset = (uint32_t)(prefix.at - answer->prefix);
    put_bytes(&prefix, reactor_wall_text(reactor), WALL_TEXT_BYTES);
    PUT(&prefix, ",\"pipeline_id\":\"");
    put_text(&prefix, run->pipeline->config->id);
    PUT(&prefix, "\",\"state\":\"running\",\"queue_position\":null,\"inputs\":null,\"outputs\":[");
    answer->prefix_bytes = (uint32_t)(prefix.at - answer->prefix);
    answer->prefix_pass = reactor->pass;
}

void stream_known(struct sink *sink, const struct run *run)
{
    answer_of(sink)->output_count = run->pipeline->pool->variables.output_count;
}

int stream_value(struct sink *sink, struct run *run, const uint8_t *data, size_t bytes,
                 uint64_t charge)
{
    struct answer *answer = answer_of(sink);
    struct api *api = answer->api;
    size_t bound = stream_bound(answer, bytes);
    /* A long line is looked at again when its length is known: it has at least the value's
     * bytes. */
    if (!out_pool_allows(&api->front->out, bound <= OUT_LINE_BYTES_MAX ? bound : bytes))
        return -ENOMEM;
    if (answer->prefix_pass != api->reactor->pass)
        stream_refresh(answer);
    int rc;
    if (run->given && file_text_is_needed(run, data, bytes))
        rc = stream_write_files(answer, run, data, bytes);
    else if (answer->head_sent && bound <= OUT_LINE_BYTES_MAX)
        rc = stream_write_short(answer, data, bytes, (uint32_t)bound);
    else
        rc = stream_write_long(answer, run, data, bytes, bound);
    if (rc < 0)
        return rc;
    out_charge(&answer->conn->out, charge);
    conn_mark_dirty(api->front, answer->conn);
    api->line_count++;
    return 0;
}

/* The time inside the prefix is set at most once a pass. */
static __attribute__((noinline)) void stream_refresh(struct answer *answer)
{
    struct reactor *reactor = answer->api->reactor;
    memcpy(answer->prefix + answer->updated_offset, reactor_wall_text(reactor), WALL_TEXT_BYTES);
    answer->prefix_pass = reactor->pass;
}

static void stream_send_head(struct answer *answer, const struct run *run)
{
    char headers[RUN_TEXT_HEADERS_BYTES];
    if (answer->head_sent)
        return;
    answer->head_sent = true;
    response_stream_head(answer->api->front, answer->conn, answer->words->content_type,
                         run_text_headers(run, headers));
}

/* One line into `out`, which has room for stream_bound(). Returns its bytes or what json_out
 * says. */
static int64_t stream_make_line(const struct answer *answer, const uint8_t *data, size_t bytes,
                                char *out)
{
    memcpy(out, answer->prefix, answer->prefix_bytes);
    int64_t count = json_out_outputs(data, bytes, answer->output_count, out + answer->prefix_bytes);
    if (count < 0)
        return count;
    count += answer->prefix_bytes;
    memcpy(out + count, answer->words->line_tail, STREAM_TAIL_ROOM);
    return count + answer->tail_bytes;
}

static size_t stream_bound(const struct answer *answer, size_t bytes)
{
    return answer->prefix_bytes + json_out_bound(bytes, answer->output_count) + STREAM_TAIL_ROOM;
}

/* A line that may not fit a block, or whose head must wait until the value proved good. */
static int stream_write_long(struct answer *answer, const struct run *run, const uint8_t *data,
                             size_t bytes, size_t bound)
{
    struct out_pool *pool = &answer->api->front->out;
    struct conn *conn = answer->conn;
    char *out = out_long_open(pool, bound);
    if (!out)
        return -ENOMEM;
    int64_t count = stream_make_line(answer, data, bytes, out);
    if (count < 0)
        return (int)count;
    if (!out_pool_allows(pool, (uint64_t)count))
        return -ENOMEM;
    stream_send_head(answer, run);
    return out_long_commit(pool, &conn->out, (size_t)count, conn->request.minor == 1);
}

/* A line whose outputs are there as text. */
static int stream_write_text(struct answer *answer, const struct run *run,
                             const struct text *outputs)
{
    struct out_pool *pool = &answer->api->front->out;
    struct conn *conn = answer->conn;
    const size_t bytes = answer->prefix_bytes + outputs->count + answer->tail_bytes;
    if (!out_pool_allows(pool, bytes))
        return -ENOMEM;
    char *out = out_long_open(pool, bytes);
    if (!out)
        return -ENOMEM;
    memcpy(out, answer->prefix, answer->prefix_bytes);
    memcpy(out + answer->prefix_bytes, outputs->bytes, outputs->count);
    memcpy(out + answer->prefix_bytes + outputs->count, answer->words->line_tail,
           answer->tail_bytes);
    stream_send_head(answer, run);
    return out_long_commit(pool, &conn->out, bytes, conn->request.minor == 1);
}

static __attribute__((noinline)) int
stream_write_files(struct answer *answer, const struct run *run, const uint8_t *data, size_t bytes)
{
    struct text outputs = {0};
    int rc = file_text_outputs(answer, run, data, bytes, &outputs);
    if (rc == 0)
        rc = stream_write_text(answer, run, &outputs);
    text_finish(&outputs);
    return rc;
}

static int stream_write_short(struct answer *answer, const uint8_t *data, size_t bytes,
                              uint32_t bound)
{
    struct conn *conn = answer->conn;
    char *out = out_reserve(&answer->api->front->out, &conn->out, bound, conn->request.minor == 1);
    if (!out)
        return -ENOMEM;
    int64_t count = stream_make_line(answer, data, bytes, out);
    if (count < 0)
        return (int)count;
    out_commit(&conn->out, (uint32_t)count);
    return 0;
}

/* ---- ends ---------------------------------------------------------------------------------- */

void stream_keepalive(struct sink *sink, struct run *run)
{
    struct answer *answer = answer_of(sink);
    stream_send_head(answer, run);
    stream_add(answer, answer->words->keepalive, strlen(answer->words->keepalive));
}

int stream_finish(struct sink *sink, struct run *run, const struct run_failure *failure)
{
    struct answer *answer = answer_of(sink);
    if (answer_is_heard(answer)) {
        bool begins = !failure || (failure->status == 200 && answer->words->begins_failed);
        if (begins)
            stream_send_head(answer, run);
        if (answer->head_sent)
            stream_end(answer, run, failure);
        else
            stream_refuse(answer, run, failure);
    }
    return answer_give(answer);
}

int stream_drop(struct sink *sink, struct run *run)
{
    (void)run;
    return answer_give(answer_of(sink));
}

/* Adds text to a stream that has begun; a connection without room for it is cut. */
static void stream_add(struct answer *answer, const char *data, size_t bytes)
{
    struct conn *conn = answer->conn;
    if (out_append(&answer->api->front->out, &conn->out, data, bytes, conn->request.minor == 1) < 0)
        conn_doom(answer->api->front, conn);
    conn_mark_dirty(answer->api->front, conn);
}

static void stream_last_line(const struct answer *answer, const struct run *run,
                             const struct run_failure *failure, struct text *text)
{
    int64_t line_count = answer->final_line ? (int64_t)run->value_count : -1;
    run_text_end(text, answer->api, run, failure, line_count, NULL);
}

static void stream_add_word(struct text *text, const char *word)
{
    if (*word != '\0')
        text_add_bytes(text, word, strlen(word));
}

static void stream_end(struct answer *answer, const struct run *run,
                       const struct run_failure *failure)
{
    const struct stream_words *words = answer->words;
    struct text text = {0};
    if (failure || answer->final_line) {
        stream_add_word(&text, failure ? words->failure_head : "");
        stream_add_word(&text, words->line_head);
        stream_last_line(answer, run, failure, &text);
        stream_add_word(&text, words->line_end);
    }
    stream_add_word(&text, words->end);
    if (text.failed)
        conn_doom(answer->api->front, answer->conn);
    else if (text.count > 0)
        stream_add(answer, text.bytes, text.count);
    text_finish(&text);
    response_stream_end(answer->api->front, answer->conn, failure ? "failed" : "completed",
                        run->value_count);
}

/* No line has been sent: the answer is that of a request that failed. */
static void stream_refuse(struct answer *answer, const struct run *run,
                          const struct run_failure *failure)
{
    struct text body = {0};
    char headers[RUN_TEXT_HEADERS_BYTES];
    stream_last_line(answer, run, failure, &body);
    answer_failure(answer, failure, answer->words->failure_type, run_text_headers(run, headers),
                   &body);
}
