/* SPDX-License-Identifier: MIT */
/* messages.c - HELLO, READY, FAILED, FILE and PROGRESS, read from untrusted packets. */
#include "dispatcher/workers/messages.h"

#include <errno.h>
#include <string.h>

#include "dispatcher/inputs/error_type.h"
#include "dispatcher/workers/failure.h"
#include "dispatcher/workers/fleet.h"
#include "millrace/protocol.h"

#define TRACEBACK_LINE_COUNT_MAX 50u

static struct worker_said messages_wrong(const char *reason)
{
    return (struct worker_said){.event = WORKER_EV_MISBEHAVED, .reason = reason};
}

static struct worker_said messages_understand(struct fleet *fleet, struct worker *worker,
                                              const struct channel_message *message);

bool message_take(struct fleet *fleet, struct worker *worker, struct worker_said *out)
{
    struct channel_message message;
    const char *wrong;
    int rc = channel_take(&worker->channel, fleet->record, &message, &wrong);
    if (rc == 0)
        return false;
    *out = rc < 0 ? messages_wrong(wrong) : messages_understand(fleet, worker, &message);
    return true;
}

/* ---- messages ------------------------------------------------------------------------------ */

static struct worker_said messages_hello(struct worker *worker, const uint8_t *body, size_t bytes)
{
    struct worker_pool *pool = worker->pool;
    struct variables variables = {0};
    int rc =
        variables_parse(&variables, body, bytes, worker->said_reason, sizeof worker->said_reason);
    if (rc < 0)
        return messages_wrong(rc == -ENOMEM ? "no memory for its variables" : worker->said_reason);
    if (worker->state != WORKER_STARTING) {
        variables_finish(&variables);
    } else if (!pool->is_known) {
        pool->variables = variables;
        pool->is_known = true;
    } else {
        bool is_same = variables_equal(&pool->variables, &variables);
        variables_finish(&variables);
        if (!is_same)
            return messages_wrong("its inputs or outputs are not those the pipeline had when the "
                                  "server started: the source changed, restart the server");
    }
    return (struct worker_said){.event = WORKER_EV_HELLO, .reason = "it said HELLO out of turn"};
}

/* A line of the log for each of its last lines. */
static void messages_log_traceback(struct fleet *fleet, const struct worker *worker,
                                   const char *text, size_t count)
{
    const char *end = text + count;
    const char *first = end;
    for (unsigned lines = 0; first > text; first--) {
        lines += first[-1] == '\n';
        if (lines > TRACEBACK_LINE_COUNT_MAX)
            break;
    }
    while (first < end) {
        const char *newline = memchr(first, '\n', (size_t)(end - first));
        const char *stop = newline ? newline : end;
        log_event(&fleet->reactor->log, LEVEL_ERROR, "pipeline_traceback",
                  LOG_WORD("pipeline", worker->pool->config->pointer), worker_log_field(worker),
                  LOG_BYTES("text", first, (size_t)(stop - first)));
        first = stop + 1;
    }
}

/* All of it, unless it is what was said before. */
static void messages_log_failure(struct fleet *fleet, struct worker *worker,
                                 const struct worker_failure *failure)
{
    uint64_t count =
        repeats_note(&worker->pool->start_failures, failure->message, failure->message_bytes,
                     failure->traceback, failure->traceback_bytes);
    worker->is_repeating = count > 0;
    if (repeats_is_said(count))
        log_event(&fleet->reactor->log, LEVEL_ERROR, "pipeline_failed",
                  LOG_WORD("pipeline", worker->pool->config->pointer), worker_log_field(worker),
                  LOG_WORD("type", error_type_name(failure->type)),
                  count > 0 ? LOG_NATURAL("same_as_before", count) : LOG_NOTHING,
                  LOG_BYTES("text", failure->message, failure->message_bytes));
    if (count == 0 && failure->traceback && fleet->config->tracebacks != TRACEBACKS_OFF)
        messages_log_traceback(fleet, worker, failure->traceback, failure->traceback_bytes);
}

/* The first line, as far as there is room. */
static void messages_words_keep(struct worker *worker, const struct worker_failure *failure)
{
    const char *newline = memchr(failure->message, '\n', failure->message_bytes);
    size_t bytes = newline ? (size_t)(newline - failure->message) : failure->message_bytes;
    if (bytes >= sizeof worker->failure_words)
        bytes = sizeof worker->failure_words - 1;
    memcpy(worker->failure_words, failure->message, bytes);
    worker->failure_words[bytes] = '\0';
}

/* It did not load or start, and says why: once, then it exits. */
static struct worker_said messages_failed(struct fleet *fleet, struct worker *worker,
                                          const uint8_t *body, size_t bytes)
{
    struct worker_failure failure;
    if (worker->has_said_why)
        return messages_wrong("it said again why it failed");
    if (!failure_read(body, bytes, &failure))
        return messages_wrong("it sent a failure that cannot be read");
    worker->has_said_why = true;
    messages_words_keep(worker, &failure);
    if (!worker->is_template) { /* else it says so itself, and workers begin by themselves */
        fleet->ops->failed(fleet->owner, worker->pool, &failure);
        messages_log_failure(fleet, worker, &failure);
    }
    return (struct worker_said){.event = WORKER_EV_FAILED, .reason = "it said FAILED out of turn"};
}

static struct worker_said messages_file(struct fleet *fleet, struct worker *worker,
                                        const struct channel_message *message)
{
    const char *wrong = worker_files_heard(fleet, worker, message);
    return wrong ? messages_wrong(wrong) : (struct worker_said){.event = WORKER_EV_COUNT};
}

/* The text, of one that has failed, stays with the template. */
static struct worker_said messages_forked(struct worker *worker, const uint8_t *body, size_t bytes)
{
    struct worker_said said = {.event = WORKER_EV_COUNT, .has_copy = true};
    if (worker->state == WORKER_DYING)
        return (struct worker_said){.event = WORKER_EV_COUNT};
    if (!worker->is_template || worker->state != WORKER_READY)
        return messages_wrong("it told of a copy");
    if (bytes < sizeof said.copy)
        return messages_wrong("it told of a copy in a way that cannot be read");
    memcpy(&said.copy, body, sizeof said.copy);
    const struct worker_failure failure = {.message = (const char *)body + sizeof said.copy,
                                           .message_bytes = bytes - sizeof said.copy};
    messages_words_keep(worker, &failure);
    return said;
}

/* What one that is not starting any more says of its start is not kept. */
static struct worker_said messages_progress(const struct fleet *fleet, struct worker *worker,
                                            const uint8_t *body, size_t bytes)
{
    struct start_progress progress;
    if (!start_progress_read(body, bytes, &progress))
        return messages_wrong("it told of its start in a way that cannot be read");
    progress.said_ms = fleet->reactor->now_ms;
    if (worker_is_starting(worker))
        worker->progress = progress;
    return (struct worker_said){.event = WORKER_EV_PROGRESS,
                                .reason = "it said PROGRESS out of turn"};
}

static struct worker_said messages_understand(struct fleet *fleet, struct worker *worker,
                                              const struct channel_message *message)
{
    if (message->kind == MESSAGE_PROGRESS)
        return messages_progress(fleet, worker, message->body, message->body_bytes);
    if (message->kind == MESSAGE_HELLO)
        return messages_hello(worker, message->body, message->body_bytes);
    if (message->kind == MESSAGE_FAILED)
        return messages_failed(fleet, worker, message->body, message->body_bytes);
    if (message->kind == MESSAGE_FILE)
        return messages_file(fleet, worker, message);
    if (message->kind == MESSAGE_FORKED)
        return messages_forked(worker, message->body, message->body_bytes);
    return (struct worker_said){.event = WORKER_EV_READY, .reason = "it said READY out of turn"};
}
