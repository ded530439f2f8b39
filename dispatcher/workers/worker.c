/* SPDX-License-Identifier: MIT */
/*
 * worker.c - runs are offered to a worker, cancelled, and their slots given back.
 *
 * Everything read from the segment is loaded once into private memory, checked there, and used from
 * there. What is wrong costs the worker its life and its runs, and nobody else anything.
 */
#include "dispatcher/workers/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dispatcher/workers/fleet.h"
#include "millrace/protocol.h"
#include "shm/clock.h"
#include "shm/descriptors.h"
#include "shm/slot.h"

#define OFFER_RETRY_MS 50u
/* Both clocks are one, the worker's looked at a little later than ours. */
#define STAMP_SLACK_MS 10000u

static bool worker_offer_is_blob(const struct worker *worker, const struct worker_offer *offer);
static int worker_blob_give(const struct worker *worker, const struct worker_offer *offer,
                            uint32_t slot, uint32_t generation);
static int worker_files_send(const struct worker *worker, const struct worker_offer *offer,
                             uint32_t slot, uint32_t generation);
static uint8_t worker_offer_flags(const struct worker_offer *offer, bool is_blob);
static int worker_offer_put_off(struct worker *worker);
static void worker_forget_value(struct worker *worker, uint32_t slot_index);

uint32_t worker_free_count(const struct worker *worker)
{
    bool is_open = worker_serves(worker) && !worker->is_full && !worker->is_corrupt;
    uint32_t taken = worker->concurrency - worker->free_count;
    return is_open && taken < worker->capacity ? worker->capacity - taken : 0;
}

void worker_look_for_room(struct worker *worker, uint64_t now_ms)
{
    if (!worker->is_full)
        return;
    if (worker->full_until_ms != 0)
        worker->is_full = now_ms < worker->full_until_ms;
    else if (ring_head(&worker->channel.requests) != worker->full_head)
        worker->is_full = false;
}

void worker_distrust(struct worker *worker, const char *reason)
{
    worker->is_corrupt = true;
    if (worker->wrong)
        return;
    worker->wrong = reason;
    worker->pool->fleet->has_suspects = worker->pool->fleet->reactor->has_chores = true;
}

/* ---- offering a run ------------------------------------------------------------------------ */

bool worker_has_room_for(struct worker *worker, const struct worker_offer *offer)
{
    size_t needed = worker_offer_is_blob(worker, offer) ? 1 : offer->payload_bytes;
    return ring_claimable(&worker->channel.requests) >= needed;
}

int worker_offer(struct worker *worker, const struct worker_offer *offer, uint32_t *slot_index)
{
    mr_assert(worker->free_count > 0);
    bool is_blob = worker_offer_is_blob(worker, offer);
    uint32_t bytes = is_blob ? 0 : (uint32_t)offer->payload_bytes;
    uint32_t index = worker->free_slots[worker->free_count - 1];
    uint32_t generation = worker->slots[index].generation + 1;
    if (generation == 0)
        generation = 1;
    void *room;
    worker->full_head =
        ring_head(&worker->channel.requests); /* before the look at what room there is */
    int rc = ring_claim(&worker->channel.requests, bytes, &room);
    worker->is_full = rc == -EAGAIN;
    if (rc == -EPROTO) {
        worker_distrust(worker, "its request ring is corrupt");
        return -EAGAIN;
    }
    if (rc < 0)
        return rc;
    if (is_blob)
        rc = worker_blob_give(worker, offer, index, generation);
    else
        memcpy(room, offer->payload, bytes);
    if (rc == 0 && offer->files)
        rc = worker_files_send(worker, offer, index, generation);
    if (rc < 0) {
        ring_abort(&worker->channel.requests);
        /* What of it was sent beside the ring already is of a run that never comes. */
        worker->slots[index].generation = generation;
        if (rc == -ETOOMANYREFS)
            return worker_offer_put_off(worker);
        /* A worker that has just died: the pidfd says the rest. */
        worker->is_full = rc == -EAGAIN || rc == -EPIPE || rc == -ECONNRESET;
        return worker->is_full ? -EAGAIN : rc;
    }
    struct slot_shared *shared = &worker->channel.segment.slots[index];
    worker->slots[index] = (struct worker_slot){.generation = generation,
                                                .run = offer->run,
                                                .run_id = offer->run_id,
                                                .former_stamp_ns = slot_last_progress(shared)};
    slot_offer(shared, generation);
    ring_commit(&worker->channel.requests,
                &(struct record){.bytes = bytes,
                                 .slot = (uint16_t)index,
                                 .kind = RECORD_START,
                                 .flags = worker_offer_flags(offer, is_blob),
                                 .generation = generation});
    worker->full_until_ms = 0;
    worker->pending_rings |= DOORBELL_WORK;
    worker->free_count--;
    worker->active_count += offer->run != NULL;
    *slot_index = index;
    return 0;
}

/* Fills a sealed memfd with the payload. Returns the descriptor or -errno. */
static int worker_blob_create(const uint8_t *payload, size_t bytes)
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

static int worker_blob_send(const struct worker *worker, int fd, uint64_t bytes, uint32_t slot,
                            uint32_t generation)
{
    struct iovec body = {&bytes, sizeof bytes};
    const struct message what = {.kind = MESSAGE_BLOB, .slot = slot, .generation = generation};
    return channel_send(&worker->channel, &what, &(struct packet){&body, 1, &fd, 1});
}

static int worker_blob_give(const struct worker *worker, const struct worker_offer *offer,
                            uint32_t slot, uint32_t generation)
{
    if (offer->payload_fd >= 0)
        return worker_blob_send(worker, offer->payload_fd, offer->payload_bytes, slot, generation);
    int fd = worker_blob_create(offer->payload, offer->payload_bytes);
    if (fd < 0)
        return fd;
    int rc = worker_blob_send(worker, fd, offer->payload_bytes, slot, generation);
    close(fd);
    return rc;
}

/* Where the files are. */
static int worker_files_send(const struct worker *worker, const struct worker_offer *offer,
                             uint32_t slot, uint32_t generation)
{
    const struct message what = {.kind = MESSAGE_FILES, .slot = slot, .generation = generation};
    /* sendmsg only reads; its type cannot say so. */
    union {
        const void *read_only;
        void *as_iovec_wants;
    } pointer = {.read_only = offer->files};
    struct iovec body = {pointer.as_iovec_wants, offer->files_bytes};
    return channel_send(&worker->channel, &what, &(struct packet){.parts = &body, .part_count = 1});
}

static uint8_t worker_offer_flags(const struct worker_offer *offer, bool is_blob)
{
    return (uint8_t)((is_blob ? RECORD_BLOB : 0) | (offer->files ? RECORD_FILES : 0));
}

/* Too many descriptors of this user are on their way through sockets, whoever sends them: the run
 * waits, and that is tried again. */
static int worker_offer_put_off(struct worker *worker)
{
    struct fleet *fleet = worker->pool->fleet;
    struct reactor *reactor = fleet->reactor;
    if (worker->full_until_ms == 0)
        log_event(&reactor->log, LEVEL_WARNING, "offer_put_off",
                  LOG_WORD("pipeline", worker->pool->config->pointer), worker_log_field(worker),
                  LOG_TEXT("reason", strerror(ETOOMANYREFS)));
    worker->is_full = true;
    worker->full_until_ms = reactor->now_ms + OFFER_RETRY_MS;
    timer_set(&reactor->timers, &fleet->offer_timer, worker->full_until_ms);
    return -EAGAIN;
}

/* The request goes beside the ring, which gets only a header. */
static bool worker_offer_is_blob(const struct worker *worker, const struct worker_offer *offer)
{
    return offer->payload_fd >= 0 ||
           offer->payload_bytes > ring_payload_max(worker->channel.requests.capacity);
}

/* ---- a run that has a slot ----------------------------------------------------------------- */

void worker_tell_cancel(struct worker *worker, uint32_t slot_index, uint32_t reason)
{
    struct slot_shared *shared = &worker->channel.segment.slots[slot_index];
    struct worker_slot *slot = &worker->slots[slot_index];
    slot->is_cancelled = true;
    /* A run that was not looked at yet never starts; else the worker sees the word at its next
     * step. */
    bool revoked = slot_move(shared, slot->generation, SLOT_OFFERED, SLOT_REVOKED);
    (void)revoked;
    slot_cancel(shared, &worker->channel.segment.header->cancel_count, slot->generation, reason);
    worker_forget_value(worker, slot_index);
    worker->pending_rings |= DOORBELL_WORK;
}

void worker_free_slot(struct worker *worker, uint32_t slot_index)
{
    struct worker_slot *slot = &worker->slots[slot_index];
    mr_assert(slot->run);
    slot->run = NULL;
    slot->run_id = NULL;
    worker_give_slot(worker, slot_index);
    if (--worker->active_count == 0)
        worker_grace_begin(worker);
}

void worker_give_slot(struct worker *worker, uint32_t slot_index)
{
    mr_assert(!worker->slots[slot_index].run);
    worker_forget_value(worker, slot_index);
    slot_free(&worker->channel.segment.slots[slot_index], worker->slots[slot_index].generation);
    worker->free_slots[worker->free_count++] = slot_index;
}

void worker_grace_begin(struct worker *worker)
{
    const struct fleet *fleet = worker->pool->fleet;
    if (worker->state == WORKER_RETIRING)
        timer_set(&fleet->reactor->timers, &worker->timer,
                  fleet->reactor->now_ms + worker->pool->config->options.cancel_grace_ms);
}

void worker_deliver(struct worker *worker, uint32_t slot_index, uint64_t charge)
{
    struct worker_slot *slot = &worker->slots[slot_index];
    slot->delivered += charge;
    if (slot->is_cancelled)
        return;
    slot_deliver(&worker->channel.segment.slots[slot_index], slot->delivered);
    worker->pending_rings |= DOORBELL_WINDOW;
}

/* The worker's stamp of its last step, or of the moment until which the run has nothing to do. It
 * is the worker's word: all it can gain by lying is not to be thought hung for as long as a run may
 * have nothing to do. No honest worker says more. */
uint64_t worker_last_progress_ms(struct worker *worker, uint32_t slot_index, uint64_t now_ms)
{
    uint64_t stamp_ns = slot_last_progress(&worker->channel.segment.slots[slot_index]);
    uint64_t stamp_ms = stamp_ns / CLOCK_NS_PER_MS;
    if (stamp_ns == worker->slots[slot_index].former_stamp_ns || worker->is_corrupt)
        return 0;
    if (stamp_ms <= now_ms + RUN_LATER_MS_MAX + STAMP_SLACK_MS)
        return stamp_ms;
    worker_distrust(worker, "its stamp of a run's progress is out of the future");
    return 0;
}

void worker_check(const struct worker *worker)
{
    uint32_t taken = 0, concurrency = worker->concurrency;
    mr_assert(worker->free_count + worker->active_count <= concurrency);
    for (uint32_t i = 0; i < concurrency; i++) {
        const struct worker_slot *slot = &worker->slots[i];
        taken += slot->run != NULL;
        mr_assert(!slot->run == !slot->run_id);
        mr_assert(!slot->run || slot->generation != 0);
    }
    mr_assert(taken == worker->active_count);
    mr_assert(worker->capacity <= concurrency);
    mr_assert(!worker->wrong || worker->is_corrupt);
    mr_assert(!worker->successor || worker->successor->predecessor == worker);
    mr_assert(!worker->predecessor || worker->predecessor->successor == worker);
    mr_assert(worker->pool->fleet->workers[worker->index] == worker);
}

/* Nobody waits for the rest of the run's value any more. */
static void worker_forget_value(struct worker *worker, uint32_t slot_index)
{
    if (worker->unfinished.slot == slot_index)
        unfinished_end(&worker->unfinished);
    unfinished_free(&worker->unfinished, &worker->pool->unfinished);
}
