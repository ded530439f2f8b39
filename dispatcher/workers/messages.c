/* SPDX-License-Identifier: MIT */
/* messages.c - HELLO, READY, FAILED, FILE and PROGRESS, read from untrusted packets. */
#include "dispatcher/workers/messages.h"

#include <errno.h>
#include <string.h>

#include "dispatcher/workers/failure_note.h"
#include "dispatcher/workers/fleet.h"
#include "dispatcher/workers/warm_up.h"
#include "millrace/protocol.h"

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

/* It is of no use to start what will not warm up. */
static struct worker_said messages_hello(struct fleet *fleet, struct worker *worker,
                                         const uint8_t *body, size_t bytes)
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
    if (worker->state == WORKER_STARTING && !warm_up_fits(fleet, worker))
        return (struct worker_said){.event = WORKER_EV_COLD,
                                    .reason = "it cannot warm up with the inputs for that"};
    return (struct worker_said){.event = WORKER_EV_HELLO, .reason = "it said HELLO out of turn"};
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
    failure_note(fleet, worker, &failure);
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
    if (worker->state == WORKER_DYING || (worker->is_template && worker->state == WORKER_STOPPING))
        return (struct worker_said){.event = WORKER_EV_COUNT}; /* said before the signal came */
    if (!worker->is_template || worker->state != WORKER_READY)
        return messages_wrong("it told of a copy");
    if (bytes < sizeof said.copy)
        return messages_wrong("it told of a copy in a way that cannot be read");
    memcpy(&said.copy, body, sizeof said.copy);
    if (said.copy.error < 0)
        return messages_wrong("it told of a copy in a way that cannot be read");
    const struct worker_failure failure = {.message = (const char *)body + sizeof said.copy,
                                           .message_bytes = bytes - sizeof said.copy};
    failure_words_keep(worker, &failure);
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
        return messages_hello(fleet, worker, message->body, message->body_bytes);
    if (message->kind == MESSAGE_FAILED)
        return messages_failed(fleet, worker, message->body, message->body_bytes);
    if (message->kind == MESSAGE_FILE)
        return messages_file(fleet, worker, message);
    if (message->kind == MESSAGE_FORKED)
        return messages_forked(worker, message->body, message->body_bytes);
    return (struct worker_said){.event = WORKER_EV_READY, .reason = "it said READY out of turn"};
}
