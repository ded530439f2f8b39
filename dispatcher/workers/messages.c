/* SPDX-License-Identifier: MIT */
/* messages.c - HELLO, READY and FAILED, read from untrusted packets. */
#include "dispatcher/workers/messages.h"

#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "dispatcher/inputs/error_type.h"
#include "dispatcher/server/loop.h"
#include "dispatcher/workers/failure.h"
#include "millrace/protocol.h"
#include "shm/descriptors.h"

#define MESSAGES_PER_EVENT 16u
#define BATCHES_PER_SOCKET 64u /* the smallest packets of the largest usual buffer */
#define TRACEBACK_LINE_COUNT_MAX 50u

static struct pipeline *pipeline_of(struct loop *loop, const struct worker *worker)
{
    return &loop->pipelines[worker->pipeline_index];
}

/* ---- messages ------------------------------------------------------------------------------ */

static void on_hello(struct loop *loop, struct worker *worker, const uint8_t *body, size_t bytes)
{
    struct pipeline *pipeline = pipeline_of(loop, worker);
    struct variables variables = {0};
    char reason[200];
    int rc = variables_parse(&variables, body, bytes, reason, sizeof(reason));
    if (rc < 0) {
        supervisor_event(loop, worker, WORKER_EV_MISBEHAVED,
                         rc == -ENOMEM ? "no memory for its variables" : reason);
        return;
    }
    if (!pipeline->is_known) {
        pipeline->variables = variables;
        pipeline->is_known = true;
    } else {
        bool same = variables_equal(&pipeline->variables, &variables);
        variables_finish(&variables);
        if (!same) {
            supervisor_event(loop, worker, WORKER_EV_MISBEHAVED,
                             "its inputs or outputs are not those the pipeline had when the server "
                             "started: the source changed, restart the server");
            return;
        }
    }
    supervisor_event(loop, worker, WORKER_EV_HELLO, "it said HELLO out of turn");
}

/* A line of the log for each of its last lines. */
static void traceback_log(struct loop *loop, const struct worker *worker, const char *text,
                          size_t count)
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
        log_text(&loop->reactor.log, LEVEL_ERROR, "pipeline_traceback", first,
                 (size_t)(stop - first), "pipeline=%s worker=%u",
                 pipeline_of(loop, worker)->config->pointer, worker->number);
        first = stop + 1;
    }
}

/* It did not load or start, and says why: once, then it exits. All of it is in the log. */
static void on_failed(struct loop *loop, struct worker *worker, const uint8_t *body, size_t bytes)
{
    struct run_failure failure = {0}; /* what it does not say is not there */
    if (worker->has_said_why) {
        supervisor_event(loop, worker, WORKER_EV_MISBEHAVED, "it said again why it failed");
        return;
    }
    if (!failure_read(body, bytes, &failure)) {
        supervisor_event(loop, worker, WORKER_EV_MISBEHAVED,
                         "it sent a failure that cannot be read");
        return;
    }
    struct pipeline *pipeline = pipeline_of(loop, worker);
    worker->has_said_why = true;
    pipeline_note_failure(loop, pipeline, failure.type, failure.message, failure.message_count);
    log_text(&loop->reactor.log, LEVEL_ERROR, "pipeline_failed", failure.message,
             failure.message_count, "pipeline=%s worker=%u type=%s", pipeline->config->pointer,
             worker->number, error_type_name(failure.type));
    if (failure.traceback) {
        pipeline_note_traceback(pipeline, failure.traceback, failure.traceback_count);
        traceback_log(loop, worker, failure.traceback, failure.traceback_count);
    }
    supervisor_event(loop, worker, WORKER_EV_FAILED, "it said FAILED out of turn");
}

static void on_message(struct loop *loop, struct worker *worker, const uint8_t *bytes, size_t count)
{
    struct message header;
    if (count < sizeof(header)) {
        supervisor_event(loop, worker, WORKER_EV_MISBEHAVED, "it sent a message cut short");
        return;
    }
    memcpy(&header, bytes, sizeof(header));
    const uint8_t *body = bytes + sizeof(header);
    size_t body_bytes = count - sizeof(header);
    if (header.magic != MESSAGE_MAGIC || header.version != PROTOCOL_VERSION ||
        header.bytes != body_bytes)
        supervisor_event(loop, worker, WORKER_EV_MISBEHAVED,
                         "it speaks another version of the protocol: millrace and the worker are "
                         "not of one build");
    else if (header.kind == MESSAGE_HELLO)
        on_hello(loop, worker, body, body_bytes);
    else if (header.kind == MESSAGE_READY)
        supervisor_event(loop, worker, WORKER_EV_READY, "it said READY out of turn");
    else if (header.kind == MESSAGE_FAILED)
        on_failed(loop, worker, body, body_bytes);
    else
        supervisor_event(loop, worker, WORKER_EV_MISBEHAVED, "it sent an unknown message");
}

/* Whether more than empty packets is there: what recv() says of one is what it says of the end. */
static bool bytes_wait(const struct worker *worker)
{
    int bytes = 0;
    return ioctl(worker->socket, SIOCINQ, &bytes) == 0 && bytes > 0;
}

bool messages_read(struct loop *loop, struct worker *worker)
{
    for (uint32_t i = 0; i < MESSAGES_PER_EVENT; i++) {
        if (!worker_has_process(worker))
            return false;
        if (worker->takes_descriptors && descriptors_wait(worker->socket)) {
            supervisor_event(loop, worker, WORKER_EV_MISBEHAVED, "it sent descriptors");
            return false;
        }
        ssize_t count = recv(worker->socket, loop->record, MESSAGE_BYTES_MAX, MSG_DONTWAIT);
        if (count == -1 || (count == 0 && !bytes_wait(worker)))
            return false; /* nothing there, or closed: the pidfd says the rest */
        on_message(loop, worker, loop->record, (size_t)count);
    }
    return true;
}

void messages_read_rest(struct loop *loop, struct worker *worker)
{
    for (uint32_t i = 0; i < BATCHES_PER_SOCKET && messages_read(loop, worker); i++)
        continue;
}
