/* SPDX-License-Identifier: MIT */
/*
 * drain.c - records between a worker and its runs.
 *
 * A record is copied first; header, slot, generation, sequence and window are checked on the copy.
 */
#include "dispatcher/workers/drain.h"

#include <errno.h>
#include <string.h>

#include "dispatcher/workers/failure.h"
#include "dispatcher/workers/fleet.h"
#include "dispatcher/workers/output.h"
#include "dispatcher/workers/pause.h"
#include "dispatcher/workers/warm_up.h"
#include "millrace/protocol.h"
#include "shm/window.h"

#define DRAIN_BATCH_MIN 2048u
#define DRAIN_BATCH_PER_RUN 16u

static const char *drain_record(struct fleet *fleet, struct worker *worker,
                                const struct record *record, const void *payload);
static uint32_t drain(struct fleet *fleet, struct worker *worker);

uint32_t drain_all(struct fleet *fleet)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < fleet->worker_count; i++) {
        struct worker *worker = fleet->workers[i];
        if (!worker || !worker_is_heard(worker))
            continue;
        uint32_t count = drain(fleet, worker);
        total += count;
        if ((worker->bells_heard | worker->noise_records) != 0)
            pause_count_bells(fleet, worker, count);
    }
    return total;
}

void drain_rest(struct fleet *fleet, struct worker *worker)
{
    /* A process that outlived the worker may go on writing. */
    uint32_t left =
        worker->pool->config->options.reply_ring_bytes / (uint32_t)sizeof(struct record);
    for (uint32_t count; left > 0 && (count = drain(fleet, worker)) > 0;)
        left -= count < left ? count : left;
}

/* A batch grows with the runs, so that each connection gets more than one line at a time; and it
 * takes half of what their windows hold, so that the worker makes lines while others are sent. */
static uint32_t drain(struct fleet *fleet, struct worker *worker)
{
    uint32_t batch = DRAIN_BATCH_PER_RUN * worker->active_count;
    if (batch < DRAIN_BATCH_MIN)
        batch = DRAIN_BATCH_MIN;
    uint64_t run_count = worker->active_count > 0 ? worker->active_count : 1;
    uint64_t charge_max = run_count * (worker->window_bytes / 2);
    const char *wrong = NULL;
    uint64_t charge = 0;
    uint32_t count = 0;
    while (count < batch && charge <= charge_max && !wrong && !worker->is_corrupt) {
        struct record record;
        const void *payload;
        int rc = ring_peek(&worker->channel.replies, &record, &payload);
        if (rc == 0)
            break;
        if (rc < 0) {
            wrong = "its reply ring is corrupt";
        } else {
            charge += record.bytes + CHUNK_CHARGE_BYTES;
            wrong = drain_record(fleet, worker, &record, payload);
        }
        count++;
    }
    if (wrong)
        worker_distrust(worker, wrong);
    worker->ring_used_bytes = worker->channel.replies.tail_seen - worker->channel.replies.head;
    if (count == 0)
        return 0;
    worker->record_count += count;
    fleet->record_count += count;
    if (ring_release(&worker->channel.replies))
        worker->pending_rings |= DOORBELL_SPACE;
    return count;
}

/* ---- records ------------------------------------------------------------------------------- */

/* The slot of the run a record is about; NULL: the record is nonsense. */
static struct worker_slot *drain_slot_of(const struct worker *worker, const struct record *record)
{
    if (record->slot >= worker->concurrency)
        return NULL;
    struct worker_slot *slot = &worker->slots[record->slot];
    return slot->run && slot->generation == record->generation ? slot : NULL;
}

/* However its text reads, the run failed. */
static void drain_error(struct fleet *fleet, struct worker *worker, struct run *run,
                        const uint8_t *data, size_t bytes)
{
    static const char unreadable[] = "the worker sent an error that cannot be read";
    struct worker_failure failure = {
        .type = ERROR_PIPELINE, .message = unreadable, .message_bytes = sizeof unreadable - 1};
    bool is_read = failure_read(data, bytes, &failure);
    (void)is_read; /* else it stays as it is */
    output_run_ends(fleet, worker);
    fleet->ops->proved(fleet->owner, worker);
    fleet->ops->ended(fleet->owner, run, &failure);
}

/* Rare, and the path of a chunk is shorter without it. */
static __attribute__((noinline)) void drain_log(struct fleet *fleet, struct worker *worker,
                                                const struct record *record, const uint8_t *data)
{
    struct channel_log log;
    if (!channel_log_read(data, record->bytes, &log))
        return;
    const struct worker_slot *slot = drain_slot_of(worker, record);
    output_log(fleet, worker, log.level, slot ? slot->run_id : NULL, "log", log.text,
               log.text_bytes);
}

/* With a count of delivered bytes that is never older than the worker's. */
static bool drain_exceeds_window(const struct worker *worker, const struct worker_slot *slot,
                                 uint64_t charge)
{
    return !slot->is_cancelled &&
           !window_allows(slot->charged - slot->delivered, charge, worker->window_bytes);
}

/* Charges a whole value and hands it on. */
static const char *drain_whole(struct fleet *fleet, struct worker *worker, struct worker_slot *slot,
                               const struct record *record, const uint8_t *data, size_t bytes)
{
    if (record->kind == RECORD_ERROR) {
        drain_error(fleet, worker, slot->run, data, bytes);
        return NULL;
    }
    uint64_t charge = bytes + CHUNK_CHARGE_BYTES;
    if (drain_exceeds_window(worker, slot, charge))
        return "it sent more than its window allows";
    slot->charged += charge;
    fleet->ops->value(fleet->owner, slot->run, data, bytes);
    return NULL;
}

/* What is there of a value so far fits what a whole one may be. */
static bool drain_part_exceeds_window(const struct worker *worker, const struct worker_slot *slot)
{
    const struct unfinished *value = &worker->unfinished;
    return value->kind == RECORD_CHUNK &&
           !window_allows_part(slot->charged - slot->delivered, value->count + CHUNK_CHARGE_BYTES,
                               worker->window_bytes);
}

/* A fragment of a run that is not cancelled. */
static const char *drain_fragment(struct fleet *fleet, struct worker *worker,
                                  struct worker_slot *slot, const struct record *record,
                                  const void *payload)
{
    struct unfinished *value = &worker->unfinished;
    struct unfinished_share *share = &worker->pool->unfinished;
    if (value->slot != UNFINISHED_NONE &&
        (value->slot != record->slot || value->kind != record->kind))
        return "it sent another record inside a value";
    int rc = unfinished_add(value, share, record, payload);
    if (rc == -EFBIG)
        return "it sent a value above the limit";
    if (rc < 0) {
        /* What follows of the run is not looked at. */
        fleet->ops->value_lost(fleet->owner, slot->run, rc);
        return NULL;
    }
    if (drain_part_exceeds_window(worker, slot))
        return "it sent more than its window allows";
    if (record->flags & RECORD_MORE) {
        worker->noise_records += record->bytes < NOISE_CRUMB_BYTES;
        return NULL;
    }
    value->slot = UNFINISHED_WHOLE; /* the bytes stay where they are, whatever becomes of the run */
    const char *wrong = drain_whole(fleet, worker, slot, record, value->bytes, value->count);
    unfinished_end(value);
    unfinished_trim(value, share, worker->active_count == 0);
    return wrong;
}

/* Of a run that was answered long ago. What was under way when it was cancelled fits its window, or
 * is one large value; of more there is no use, and no end. */
static const char *drain_late(struct worker *worker, struct worker_slot *slot,
                              const struct record *record)
{
    uint64_t window_bytes = (uint64_t)WINDOW_PAIR_MAX * worker->window_bytes;
    slot->charged += record->bytes + (record->flags & RECORD_MORE ? 0 : CHUNK_CHARGE_BYTES);
    uint64_t waiting = slot->charged - slot->delivered;
    if (waiting > VALUE_BYTES_MAX + CHUNK_CHARGE_BYTES + window_bytes)
        return "it sent more than its window allows";
    worker->noise_records += record->bytes < NOISE_CRUMB_BYTES &&
                             (waiting > window_bytes || record->flags & RECORD_MORE);
    return NULL;
}

/* False: what an END has in it is nothing that it may have. */
static bool drain_end_take(struct fleet *fleet, const struct worker_slot *slot,
                           const struct record *record, const void *payload)
{
    struct end_plain plain;
    if (record->bytes == 0)
        return true;
    if (record->bytes != sizeof plain || record->flags != 0)
        return false;
    memcpy(&plain, payload, sizeof plain); /* the private copy */
    fleet->ops->plain(fleet->owner, slot->run, plain.outputs);
    return true;
}

/* A record of a run. Returns what is wrong with it, or NULL. */
static const char *drain_run_record(struct fleet *fleet, struct worker *worker,
                                    const struct record *record, const void *payload)
{
    struct worker_slot *slot = drain_slot_of(worker, record);
    if (!slot)
        return warm_up_take(fleet, worker, record, payload);
    if (record->sequence != slot->sequence++)
        return "it sent a record out of sequence";
    if (slot->is_cancelled && (record->kind == RECORD_CHUNK || record->flags & RECORD_MORE))
        return drain_late(worker, slot, record);
    bool is_inside = worker->unfinished.slot != UNFINISHED_NONE;
    if (record->kind == RECORD_END) {
        if (is_inside)
            return "it ended a run inside a value";
        if (!drain_end_take(fleet, slot, record, payload))
            return "it ended a run with more words than it has";
        output_run_ends(fleet, worker);
        fleet->ops->proved(fleet->owner, worker);
        fleet->ops->ended(fleet->owner, slot->run, NULL);
        return NULL;
    }
    if (is_inside || (!slot->is_cancelled && record->flags & RECORD_MORE))
        return drain_fragment(fleet, worker, slot, record, payload);
    memcpy(fleet->record, payload, record->bytes); /* the private copy */
    return drain_whole(fleet, worker, slot, record, fleet->record, record->bytes);
}

static const char *drain_record(struct fleet *fleet, struct worker *worker,
                                const struct record *record, const void *payload)
{
    switch (record->kind) {
    case RECORD_CHUNK:
    case RECORD_END:
    case RECORD_ERROR:
        return drain_run_record(fleet, worker, record, payload);
    case RECORD_LOG:
        worker->noise_records += 1 + record->bytes / NOISE_RECORD_BYTES;
        memcpy(fleet->record, payload, record->bytes);
        drain_log(fleet, worker, record, fleet->record);
        return NULL;
    default:
        return "it sent a record of an unknown kind";
    }
}
