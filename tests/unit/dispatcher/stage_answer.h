/* SPDX-License-Identifier: MIT */
/*
 * stage_answer.h - what a client of the stage has read, taken apart by a reader that trusts
 * nothing.
 */
#ifndef TESTS_DISPATCHER_STAGE_ANSWER_H
#define TESTS_DISPATCHER_STAGE_ANSWER_H

#include "dispatcher/http/http_body.h"
#include "dispatcher/http/http_response.h"
#include "dispatcher/text/json_scan.h"
#include "tests/unit/dispatcher/stage.h"

#define ANSWER_LINE_COUNT_MAX 4096u

struct client_answer {
    unsigned status;
    bool is_framed;
    bool complete;     /* the head, and the body to its end as its framing says */
    size_t bytes;      /* on the wire, as far as it was read */
    char *body;        /* owned, NUL-terminated, out of its framing */
    size_t body_count; /* NULs of its own included */
    size_t line_count; /* blank ones not counted */
    const char *lines[ANSWER_LINE_COUNT_MAX]; /* NUL-terminated, in `body`; the newest are kept */
    char head_text[4096];
};

static inline void answer_finish(struct client_answer *answer)
{
    free(answer->body);
    answer->body = NULL;
}

/* Reads the body out of its framing; true when it is complete. */
static inline bool answer_body(struct client_answer *answer, const struct http_response *response,
                               const char *bytes, size_t count)
{
    const struct http_head framing = {.chunked = response->chunked,
                                      .has_length = response->has_length,
                                      .content_length = response->content_length};
    struct http_body body;
    const char *reason = "";
    mr_assert(http_body_init(&body, &framing, UINT32_MAX, &reason) == 0);
    for (size_t at = 0;;) {
        size_t consumed;
        struct http_text data;
        int rc = http_body_feed(&body, bytes + at, count - at, &consumed, &data, &reason);
        if (rc < 0) {
            fprintf(stderr, "an answer's body: %s\n", reason);
            abort();
        }
        if (data.bytes > 0)
            memcpy(answer->body + answer->body_count, data.data, data.bytes);
        answer->body_count += data.bytes;
        answer->bytes += consumed;
        at += consumed;
        if (rc != HTTP_BODY_DATA)
            return rc == HTTP_BODY_COMPLETE;
    }
}

/* Every line that is there must be JSON, but those of an event stream that say so themselves. */
static inline void answer_line(struct client_answer *answer, char *line, size_t count)
{
    struct json_error error;
    line[count] = '\0';
    if (count == 0 || strcmp(line, "event: error") == 0 || strcmp(line, ": keep-alive") == 0)
        return;
    const char *json = line;
    if (count >= 6 && memcmp(line, "data: ", 6) == 0)
        json += 6;
    if (strcmp(json, "[DONE]") != 0 &&
        json_scan(json, count - (size_t)(json - line), NULL, &error) < 0) {
        fprintf(stderr, "not JSON at %zu: %s: %s\n", error.offset, error.message, json);
        abort();
    }
    answer->lines[answer->line_count++ % ANSWER_LINE_COUNT_MAX] = json;
}

static inline void answer_lines(struct client_answer *answer)
{
    char *line = answer->body, *end;
    while ((end = memchr(line, '\n', answer->body_count - (size_t)(line - answer->body))) != NULL) {
        answer_line(answer, line, (size_t)(end - line));
        line = end + 1;
    }
    /* A body that only the end of its connection ends may be cut anywhere. */
    mr_assert(!answer->complete || !answer->is_framed || line == answer->body + answer->body_count);
}

/* Takes apart the first answer in `bytes`. A body that is not framed ends where the bytes end, if
 * the server `closed`. Anything no client should have to read ends the process. */
static inline void answer_read(struct client_answer *answer, const char *bytes, size_t count,
                               bool closed)
{
    struct http_scan scan;
    struct http_response response;
    const char *reason = "";
    memset(answer, 0, sizeof(*answer));
    answer->body = malloc(count + 1);
    mr_assert(answer->body);
    http_scan_init_response(&scan);
    int head = http_parse_response_head(&scan, bytes, count, &response, &reason);
    if (head < 0) {
        fprintf(stderr, "an answer's head: %s\n", reason);
        abort();
    }
    answer->status = head > 0 ? response.status : 0;
    answer->bytes = (size_t)head;
    mr_assert((size_t)head < sizeof(answer->head_text));
    if (head > 0)
        memcpy(answer->head_text, bytes, (size_t)head);
    if (head > 0 && !response.chunked && !response.has_length) {
        memcpy(answer->body, bytes + head, count - (size_t)head);
        answer->body_count = count - (size_t)head;
        answer->bytes = count;
        answer->complete = closed;
    } else if (head > 0) {
        answer->is_framed = true;
        answer->complete = answer_body(answer, &response, bytes + head, count - (size_t)head);
    }
    answer->body[answer->body_count] = '\0';
    answer_lines(answer);
}

/* The first answer of a client, so far. */
static inline void client_answer_of(struct client_answer *answer, uint32_t client)
{
    answer_read(answer, stage.clients[client].bytes, stage.clients[client].count,
                stage_is_closed(client));
}

#endif
