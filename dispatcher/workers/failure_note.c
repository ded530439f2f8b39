/* SPDX-License-Identifier: MIT */
/* failure_note.c - what a worker says of its failure is kept and logged. */
#include "dispatcher/workers/failure_note.h"

#include <string.h>

#include "dispatcher/inputs/error_type.h"
#include "dispatcher/workers/fleet.h"

#define TRACEBACK_LINE_COUNT_MAX 50u

/* A line of the log for each of its last lines. */
static void failure_log_traceback(struct fleet *fleet, const struct worker *worker,
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
static void failure_log(struct fleet *fleet, struct worker *worker,
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
        failure_log_traceback(fleet, worker, failure->traceback, failure->traceback_bytes);
}

void failure_words_keep(struct worker *worker, const struct worker_failure *failure)
{
    const char *newline = memchr(failure->message, '\n', failure->message_bytes);
    size_t bytes = newline ? (size_t)(newline - failure->message) : failure->message_bytes;
    if (bytes >= sizeof worker->failure_words)
        bytes = sizeof worker->failure_words - 1;
    memcpy(worker->failure_words, failure->message, bytes);
    worker->failure_words[bytes] = '\0';
}

void failure_note(struct fleet *fleet, struct worker *worker, const struct worker_failure *failure)
{
    worker->has_said_why = true;
    failure_words_keep(worker, failure);
    if (worker->is_template)
        return; /* it is said when it has ended, and workers begin by themselves */
    fleet->ops->failed(fleet->owner, worker->pool, failure);
    failure_log(fleet, worker, failure);
}
