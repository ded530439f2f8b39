/* SPDX-License-Identifier: MIT */
/*
 * worker.c - runs and records between the dispatcher and one worker.
 *
 * Everything read from the segment is loaded once into private memory, checked there, and used from
 * there. What is wrong costs the worker its life and its runs, and nobody else anything.
 */
#include "dispatcher/workers/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dispatcher/server/loop.h"
#include "dispatcher/text/packed.h"
#include "dispatcher/workers/failure.h"
#include "millrace/protocol.h"
#include "shm/descriptors.h"
#include "shm/slot.h"
#include "shm/window.h"

#define DRAIN_BATCH_MIN 2048u
#define DRAIN_BATCH_PER_RUN 16u
#define SLOT_NONE UINT32_MAX
#define OFFER_RETRY_MS 50u
/* Fragments of an honest worker are as large as can be, in the smallest ring twice this. */
#define CRUMB_BYTES (RING_BYTES_MIN / 8)

uint32_t worker_free_count(const struct worker *worker)
{
    return worker_serves(worker) && !worker->is_full ? worker->free_count : 0;
}

void worker_look_for_room(struct worker *worker, uint64_t now_ms)
{
    if (!worker->is_full)
        return;
    if (worker->full_until_ms != 0)
        worker->is_full = now_ms < worker->full_until_ms;
    else if (ring_head(&worker->requests) != worker->full_head)
        worker->is_full = false;
}

/* Too many descriptors of this user are on their way through sockets, whoever sends them: the run
 * waits, and that is tried again. */
static int put_off(struct loop *loop, struct worker *worker)
{
    if (worker->full_until_ms == 0)
        log_line(&loop->reactor.log, LEVEL_WARNING, "offer_put_off",
                 "pipeline=%s worker=%u reason=\"%s\"",
                 loop->pipelines[worker->pipeline_index].config->pointer, worker->number,
                 strerror(ETOOMANYREFS));
    worker->is_full = true;
    worker->full_until_ms = loop->reactor.now_ms + OFFER_RETRY_MS;
    timer_set(&loop->reactor.timers, &loop->offer_timer, worker->full_until_ms);
    return -EAGAIN;
}

void worker_ring(struct worker *worker)
{
    if (worker->news == 0)
        return;
    if (doorbell_ring(&worker->bell, worker->news))
        worker->bell_count++;
    worker->news = 0;
}

/* ---- offering a run ------------------------------------------------------------------------ */

/* Fills a sealed memfd with the payload. Returns the descriptor or -errno. */
static int blob_create(const uint8_t *payload, size_t bytes)
{
    int rc;
    int fd = memfd_create("millrace-request", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd == -1)
        return -errno;
    for (size_t done = 0; done < bytes;) {
        ssize_t written = write(fd, payload + done, bytes - done);
        if (written == -1 && errno == EINTR)
            continue;
        if (written <= 0) {
            rc = written == -1 ? -errno : -EIO;
            goto close_fd;
        }
        done += (size_t)written;
    }
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == -1) {
        rc = -errno;
        goto close_fd;
    }
    return fd;

close_fd:
    close(fd);
    return rc;
}

static int blob_send(const struct worker *worker, int fd, uint64_t bytes, uint32_t slot,
                     uint32_t generation)
{
    struct message header = {.magic = MESSAGE_MAGIC,
                             .version = PROTOCOL_VERSION,
                             .kind = MESSAGE_BLOB,
                             .bytes = sizeof(bytes),
                             .slot = slot,
                             .generation = generation};
    struct iovec parts[] = {{&header, sizeof(header)}, {&bytes, sizeof(bytes)}};
    return descriptors_send(worker->socket, &(struct packet){parts, ARRAY_COUNT(parts), &fd, 1},
                            MSG_DONTWAIT);
}

static int blob_give(const struct worker *worker, const struct run *run, uint32_t slot,
                     uint32_t generation)
{
    if (run->has_payload_file)
        return blob_send(worker, run->payload_fd, run->payload_bytes, slot, generation);
    int fd = blob_create(run->payload, run->payload_bytes);
    if (fd < 0)
        return fd;
    int rc = blob_send(worker, fd, run->payload_bytes, slot, generation);
    close(fd);
    return rc;
}

bool worker_takes_as_blob(const struct worker *worker, const struct run *run)
{
    return run->has_payload_file ||
           run->payload_bytes > ring_payload_max(worker->requests.capacity);
}

int worker_offer(struct loop *loop, struct worker *worker, struct run *run)
{
    mr_assert(worker->free_count > 0);
    bool is_blob = worker_takes_as_blob(worker, run);
    uint32_t bytes = is_blob ? 0 : (uint32_t)run->payload_bytes;
    uint32_t index = worker->free_slots[worker->free_count - 1];
    uint32_t generation = worker->slots[index].generation + 1;
    if (generation == 0)
        generation = 1;
    void *room;
    worker->full_head = ring_head(&worker->requests); /* before the look at what room there is */
    int rc = ring_claim(&worker->requests, bytes, &room);
    worker->is_full = rc == -EAGAIN;
    if (rc == -EPROTO) {
        worker->is_corrupt = true;
        supervisor_event(loop, worker, WORKER_EV_MISBEHAVED, "its request ring is corrupt");
        return -EAGAIN;
    }
    if (rc < 0)
        return rc;
    if (is_blob) {
        rc = blob_give(worker, run, index, generation);
        if (rc < 0) {
            ring_abort(&worker->requests);
            if (rc == -ETOOMANYREFS)
                return put_off(loop, worker);
            /* A worker that has just died: the pidfd says the rest. */
            worker->is_full = rc == -EAGAIN || rc == -EPIPE || rc == -ECONNRESET;
            return worker->is_full ? -EAGAIN : rc;
        }
    } else {
        memcpy(room, run->payload, bytes);
    }
    run->former_stamp_ns = slot_last_progress(&worker->segment.slots[index]);
    slot_offer(&worker->segment.slots[index], generation);
    ring_commit(&worker->requests, &(struct record){.bytes = bytes,
                                                    .slot = (uint16_t)index,
                                                    .kind = RECORD_START,
                                                    .flags = is_blob ? RECORD_BLOB : 0,
                                                    .generation = generation});
    worker->full_until_ms = 0;
    worker->news |= DOORBELL_WORK;
    worker->free_count--;
    worker->active_count++;
    worker->slots[index] = (struct worker_slot){generation, run->index};
    run->worker_index = worker->index;
    run->slot_index = index;
    run_payload_free(loop, run);
    return 0;
}

void worker_tell_cancel(struct loop *loop, struct worker *worker, struct run *run, uint32_t reason)
{
    struct slot_shared *slot = &worker->segment.slots[run->slot_index];
    uint32_t generation = worker->slots[run->slot_index].generation;
    /* A run that was not looked at yet never starts; else the worker sees the word at its next
     * step. */
    bool revoked = slot_move(slot, generation, SLOT_OFFERED, SLOT_REVOKED);
    (void)revoked;
    slot_cancel(slot, &worker->segment.header->cancel_count, generation, reason);
    worker_forget_value(loop, worker, run);
    worker->news |= DOORBELL_WORK;
}

void worker_forget_value(struct loop *loop, struct worker *worker, const struct run *run)
{
    if (worker->unfinished.slot == run->slot_index)
        unfinished_end(worker);
    unfinished_free(loop, worker);
}

void worker_free_slot(struct loop *loop, struct worker *worker, struct run *run)
{
    struct worker_slot *slot = &worker->slots[run->slot_index];
    mr_assert(slot->run_index == run->index);
    slot->run_index = SLOT_NONE;
    worker_forget_value(loop, worker, run);
    slot_free(&worker->segment.slots[run->slot_index], slot->generation);
    worker->free_slots[worker->free_count++] = run->slot_index;
    if (--worker->active_count == 0)
        supervisor_last_run_ended(loop, worker);
}

/* ---- draining the reply ring --------------------------------------------------------------- */

/* The run a record is about; NULL: the record is nonsense. */
static struct run *run_of(struct loop *loop, const struct worker *worker,
                          const struct record *record)
{
    if (record->slot >= loop->config->concurrency)
        return NULL;
    const struct worker_slot *slot = &worker->slots[record->slot];
    if (slot->run_index == SLOT_NONE || slot->generation != record->generation)
        return NULL;
    return &loop->runs[slot->run_index];
}

/* However its text reads, the run failed. */
static void on_error_record(struct loop *loop, struct run *run, const uint8_t *bytes, size_t count)
{
    static const char unreadable[] = "the worker sent an error that cannot be read";
    struct run_failure failure = {.type = ERROR_PIPELINE,
                                  .status = loop->config->pipeline_error_status,
                                  .message = unreadable,
                                  .message_count = sizeof(unreadable) - 1};
    if (failure_read(bytes, count, &failure) && failure.type == ERROR_INPUT)
        failure.status = 400;
    run_error(loop, run, &failure);
}

static void on_log_record(struct loop *loop, struct worker *worker, const struct record *record,
                          const uint8_t *bytes)
{
    const uint8_t *end = bytes + record->bytes;
    struct packed_item list, level, text;
    const uint8_t *at = packed_read(bytes, end, &list);
    if (at && list.kind == PACKED_ARRAY && list.u.count == 2)
        at = packed_read(at, end, &level);
    else
        return;
    if (!at || level.kind != PACKED_NATURAL || level.u.natural >= LEVEL_COUNT ||
        !packed_read(at, end, &text) || text.kind != PACKED_STRING)
        return;
    const struct run *run = run_of(loop, worker, record);
    supervisor_log_output(loop, worker, (enum log_level)level.u.natural, run ? run->id : NULL,
                          "log", (const char *)text.text, text.u.count);
}

/* With a count of delivered bytes that is never older than the worker's. */
static bool exceeds_window(const struct loop *loop, const struct run *run, uint64_t charge)
{
    return run->state == RUN_ACTIVE &&
           !window_allows(run->charged - run->delivered, charge, loop->config->window_bytes);
}

/* Charges a whole value and hands it on. */
static const char *on_whole(struct loop *loop, struct run *run, const struct record *record,
                            const uint8_t *bytes, size_t count)
{
    if (record->kind == RECORD_ERROR) {
        on_error_record(loop, run, bytes, count);
        return NULL;
    }
    uint64_t charge = count + CHUNK_CHARGE_BYTES;
    if (exceeds_window(loop, run, charge))
        return "it sent more than its window allows";
    run->charged += charge;
    run_chunk(loop, run, bytes, count);
    return NULL;
}

/* What is there of a value so far fits what a whole one may be. */
static bool part_exceeds_window(const struct loop *loop, const struct run *run,
                                const struct unfinished *value)
{
    return value->kind == RECORD_CHUNK &&
           !window_allows_part(run->charged - run->delivered, value->count + CHUNK_CHARGE_BYTES,
                               loop->config->window_bytes);
}

/* A fragment of an active run. */
static const char *on_fragment(struct loop *loop, struct worker *worker, struct run *run,
                               const struct record *record, const void *payload)
{
    struct unfinished *value = &worker->unfinished;
    if (value->slot != UNFINISHED_NONE &&
        (value->slot != record->slot || value->kind != record->kind))
        return "it sent another record inside a value";
    int rc = unfinished_add(loop, worker, record, payload);
    if (rc == -EFBIG)
        return "it sent a value above the limit";
    if (rc < 0) {
        run_value_failed(loop, run, rc); /* what follows of the run is not looked at */
        return NULL;
    }
    if (part_exceeds_window(loop, run, value))
        return "it sent more than its window allows";
    if (record->flags & RECORD_MORE) {
        worker->noise_records += record->bytes < CRUMB_BYTES;
        return NULL;
    }
    value->slot = UNFINISHED_WHOLE; /* the bytes stay where they are, whatever becomes of the run */
    const char *wrong = on_whole(loop, run, record, value->bytes, value->count);
    unfinished_end(worker);
    unfinished_trim(loop, worker);
    return wrong;
}

/* Of a run that was answered long ago. What was under way when it was cancelled fits its window, or
 * is one large value; of more there is no use, and no end. */
static const char *on_late_record(const struct loop *loop, struct worker *worker, struct run *run,
                                  const struct record *record)
{
    uint64_t window_bytes = (uint64_t)WINDOW_PAIR_MAX * loop->config->window_bytes;
    run->charged += record->bytes + (record->flags & RECORD_MORE ? 0 : CHUNK_CHARGE_BYTES);
    uint64_t waiting = run->charged - run->delivered;
    if (waiting > VALUE_BYTES_MAX + CHUNK_CHARGE_BYTES + window_bytes)
        return "it sent more than its window allows";
    worker->noise_records +=
        record->bytes < CRUMB_BYTES && (waiting > window_bytes || record->flags & RECORD_MORE);
    return NULL;
}

/* A record of a run. Returns what is wrong with it, or NULL. */
static const char *on_run_record(struct loop *loop, struct worker *worker,
                                 const struct record *record, const void *payload)
{
    struct run *run = run_of(loop, worker, record);
    if (!run)
        return "it sent a record of no run";
    if (record->sequence != run->sequence++)
        return "it sent a record out of sequence";
    if (run->state == RUN_CANCELLING &&
        (record->kind == RECORD_CHUNK || record->flags & RECORD_MORE))
        return on_late_record(loop, worker, run, record);
    bool is_inside = worker->unfinished.slot != UNFINISHED_NONE;
    if (record->kind == RECORD_END) {
        if (is_inside)
            return "it ended a run inside a value";
        run_end(loop, run);
        return NULL;
    }
    if (is_inside || (run->state == RUN_ACTIVE && record->flags & RECORD_MORE))
        return on_fragment(loop, worker, run, record, payload);
    memcpy(loop->record, payload, record->bytes); /* the private copy */
    return on_whole(loop, run, record, loop->record, record->bytes);
}

static const char *on_record(struct loop *loop, struct worker *worker, const struct record *record,
                             const void *payload)
{
    switch (record->kind) {
    case RECORD_CHUNK:
    case RECORD_END:
    case RECORD_ERROR:
        return on_run_record(loop, worker, record, payload);
    case RECORD_LOG:
        worker->noise_records += 1 + record->bytes / NOISE_RECORD_BYTES;
        memcpy(loop->record, payload, record->bytes);
        on_log_record(loop, worker, record, loop->record);
        return NULL;
    default:
        return "it sent a record of an unknown kind";
    }
}

/* A batch grows with the runs, so that each connection gets more than one line at a time; and it
 * takes half of what their windows hold, so that the worker makes lines while others are sent. */
uint32_t worker_drain(struct loop *loop, struct worker *worker)
{
    uint32_t batch = DRAIN_BATCH_PER_RUN * worker->active_count;
    if (batch < DRAIN_BATCH_MIN)
        batch = DRAIN_BATCH_MIN;
    uint64_t run_count = worker->active_count > 0 ? worker->active_count : 1;
    uint64_t charge_max = run_count * (loop->config->window_bytes / 2);
    const char *wrong = NULL;
    uint64_t charge = 0;
    uint32_t count = 0;
    while (count < batch && charge <= charge_max && !wrong && !worker->is_corrupt) {
        struct record record;
        const void *payload;
        int rc = ring_peek(&worker->replies, &record, &payload);
        if (rc == 0)
            break;
        if (rc < 0) {
            wrong = "its reply ring is corrupt";
        } else {
            charge += record.bytes + CHUNK_CHARGE_BYTES;
            wrong = on_record(loop, worker, &record, payload);
        }
        count++;
    }
    if (wrong) {
        worker->is_corrupt = true;
        supervisor_event(loop, worker, WORKER_EV_MISBEHAVED, wrong);
    }
    worker->ring_used_bytes = worker->replies.tail_seen - worker->replies.head;
    if (count == 0)
        return 0;
    worker->record_count += count;
    loop->metrics.record_count += count;
    if (ring_release(&worker->replies))
        worker->news |= DOORBELL_SPACE;
    return count;
}
