/* SPDX-License-Identifier: MIT */
/* warm_up.c - a run of nobody is offered, what it yields is thrown away, and its end noted. */
#include "dispatcher/workers/warm_up.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/inputs/warm_up_inputs.h"
#include "dispatcher/workers/failure_note.h"
#include "dispatcher/workers/fleet.h"
#include "dispatcher/workers/placement.h"
#include "dispatcher/workers/recycle.h"
#include "millrace/protocol.h"

/* Of what a failure says, for the words before it there is room. */
#define WARM_UP_MESSAGE_BYTES 4096u

static void warm_up_fail(struct fleet *fleet, struct worker *worker,
                         const struct worker_failure *failure)
{
    static char text[WARM_UP_MESSAGE_BYTES]; /* large for a stack; one thread */
    struct worker_failure told = *failure;
    int count = snprintf(text, sizeof text, "the warm-up failed: %.*s", (int)failure->message_bytes,
                         failure->message);
    mr_assert(count > 0);
    told.message = text;
    told.message_bytes = (size_t)count < sizeof text ? (size_t)count : sizeof text - 1;
    failure_note(fleet, worker, &told);
}

static void warm_up_fail_words(struct fleet *fleet, struct worker *worker, const char *words)
{
    warm_up_fail(fleet, worker,
                 &(struct worker_failure){
                     .type = ERROR_STARTUP, .message = words, .message_bytes = strlen(words)});
}

bool warm_up_fits(struct fleet *fleet, struct worker *worker)
{
    const struct worker_pool *pool = worker->pool;
    struct run_payload payload = {0};
    char reason[WARM_UP_REASON_BYTES];
    if (!pool->config->warm_up)
        return true;
    int rc = warm_up_inputs_pack(pool->config->warm_up, &pool->variables, &payload, reason);
    free(payload.memory);
    if (rc < 0)
        warm_up_fail_words(fleet, worker, reason);
    return rc == 0;
}

/* A worker that is about to die hears nothing, which is not what its start failed for. */
static int warm_up_offer(struct fleet *fleet, struct worker *worker,
                         const struct run_payload *payload)
{
    struct warm_up *warm_up = &worker->warm_up;
    int rc = worker_offer(worker,
                          &(struct worker_offer){.payload = payload->memory,
                                                 .payload_fd = -1,
                                                 .payload_bytes = payload->bytes},
                          &warm_up->slot_index);
    if (rc == 0)
        warm_up->state = WARM_UP_RUNS;
    if (rc == -EAGAIN && worker->full_until_ms != 0)
        rc = -ETOOMANYREFS;
    worker->full_until_ms = 0;
    worker->is_full = false;
    if (rc < 0 && rc != -EAGAIN)
        warm_up_fail_words(fleet, worker, strerror(-rc));
    return rc;
}

int warm_up_begin(struct fleet *fleet, struct worker *worker)
{
    const struct worker_pool *pool = worker->pool;
    struct run_payload payload = {0};
    char reason[WARM_UP_REASON_BYTES];
    if (!pool->config->warm_up || worker->is_template) /* which has no runs: its copies have */
        return -ENOENT;
    /* Those of another configuration than at its HELLO, perhaps. */
    int rc = warm_up_inputs_pack(pool->config->warm_up, &pool->variables, &payload, reason);
    if (rc < 0) {
        warm_up_fail_words(fleet, worker, reason);
        return rc;
    }
    rc = warm_up_offer(fleet, worker, &payload);
    free(payload.memory);
    if (rc < 0)
        return rc;
    worker->progress = (struct start_progress){
        .said_ms = fleet->reactor->now_ms, .permille = MESSAGE_PROGRESS_UNKNOWN, .text = "warm-up"};
    return 0;
}

void warm_up_cut(struct fleet *fleet, struct worker *worker)
{
    log_event(&fleet->reactor->log, LEVEL_INFO, "warm_up_cut",
              LOG_WORD("pipeline", worker->pool->config->pointer), worker_log_field(worker),
              LOG_NATURAL("values", worker->warm_up.value_count));
    worker->warm_up.is_cut = true;
    worker_tell_cancel(worker, worker->warm_up.slot_index, CANCEL_DEADLINE);
}

/* ---- what comes of it ---------------------------------------------------------------------- */

/* The worker's place hears of it when the ring was drained. */
static void warm_up_end(struct fleet *fleet, struct worker *worker, bool is_done)
{
    struct warm_up *warm_up = &worker->warm_up;
    warm_up->state = is_done ? WARM_UP_DONE : WARM_UP_FAILED;
    worker_give_slot(worker, warm_up->slot_index);
    fleet->has_suspects = fleet->reactor->has_chores = true;
}

static void warm_up_error(struct fleet *fleet, struct worker *worker, const uint8_t *data,
                          size_t bytes)
{
    static const char unreadable[] = "the worker sent an error that cannot be read";
    struct worker_failure failure = {
        .type = ERROR_PIPELINE, .message = unreadable, .message_bytes = sizeof unreadable - 1};
    bool is_done = worker->warm_up.is_cut;
    bool is_read = failure_read(data, bytes, &failure);
    (void)is_read; /* else it stays as it is */
    enum device_policy policy = recycle_policy(worker, failure.type);
    if (!is_done)
        warm_up_fail(fleet, worker, &failure);
    warm_up_end(fleet, worker, is_done);
    if (!is_done)
        placement_note_failure(fleet, worker, policy);
}

/* The window is open again as soon as a value is whole: as fast as a client can be. */
static const char *warm_up_chunk(struct worker *worker, const struct record *record)
{
    struct warm_up *warm_up = &worker->warm_up;
    bool is_whole = !(record->flags & RECORD_MORE);
    warm_up->value_bytes += record->bytes;
    if (warm_up->value_bytes > VALUE_BYTES_MAX)
        return "it sent a value above the limit";
    if (!is_whole) {
        worker->noise_records += record->bytes < NOISE_CRUMB_BYTES;
        return NULL;
    }
    worker_deliver(worker, warm_up->slot_index, warm_up->value_bytes + CHUNK_CHARGE_BYTES);
    warm_up->value_count++;
    warm_up->value_bytes = 0;
    return NULL;
}

/* Of an error only the first line and the end of its traceback matter, but what was cut cannot be
 * read: it is put together like a value. */
static const char *warm_up_error_take(struct fleet *fleet, struct worker *worker,
                                      const struct record *record, const void *payload)
{
    struct unfinished *value = &worker->unfinished;
    if (value->slot == UNFINISHED_NONE && !(record->flags & RECORD_MORE)) {
        memcpy(fleet->record, payload, record->bytes); /* the private copy */
        warm_up_error(fleet, worker, fleet->record, record->bytes);
        return NULL;
    }
    if (unfinished_add(value, &worker->pool->unfinished, record, payload) < 0)
        return "it sent an error for which there is no room";
    if (record->flags & RECORD_MORE)
        return NULL;
    value->slot = UNFINISHED_WHOLE;
    warm_up_error(fleet, worker, value->bytes, value->count);
    unfinished_end(value);
    unfinished_trim(value, &worker->pool->unfinished, true);
    return NULL;
}

const char *warm_up_take(struct fleet *fleet, struct worker *worker, const struct record *record,
                         const void *payload)
{
    const struct warm_up *warm_up = &worker->warm_up;
    if (record->slot >= worker->concurrency ||
        !worker_is_warm_up(worker, record->slot, record->generation))
        return "it sent a record of no run";
    if (record->sequence != worker->slots[record->slot].sequence++)
        return "it sent a record out of sequence";
    bool is_inside_error = worker->unfinished.slot != UNFINISHED_NONE;
    /* One that was cut may end where it is. */
    bool is_inside_value = warm_up->value_bytes > 0 && !warm_up->is_cut;
    if (record->kind == RECORD_CHUNK
            ? is_inside_error
            : is_inside_value || (is_inside_error && record->kind != RECORD_ERROR))
        return "it sent another record inside a value";
    if (record->kind == RECORD_CHUNK)
        return warm_up_chunk(worker, record);
    if (record->kind == RECORD_ERROR)
        return warm_up_error_take(fleet, worker, record, payload);
    if (record->bytes != 0 && (record->bytes != sizeof(struct end_plain) || record->flags != 0))
        return "it ended a run with more words than it has";
    warm_up_end(fleet, worker, true);
    return NULL;
}
