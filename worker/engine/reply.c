/* SPDX-License-Identifier: MIT */
/*
 * reply.c - claims, commits, and what to do when a value does not fit.
 */
#include "worker/engine/reply.h"

#include <errno.h>
#include <string.h>

#include "build/version.h"
#include "shm/clock.h"
#include "worker/engine/leave.h"

/* What a chunk starts with; larger ones grow their claim. */
#define REPLY_CLAIM_BYTES 512u
/* Room for the heads of an error's or a log line's objects: an array of three at most. */
#define REPLY_HEADS_BYTES (4 * VALUE_HEAD_BYTES_MAX)

static int reply_grow(struct mr_value *value, size_t bytes);

void reply_init(struct reply *reply, struct attachment *attachment, struct error *error)
{
    *reply = (struct reply){
        .attachment = attachment,
        .payload_max = ring_payload_max(attachment->reply.capacity),
        .value = {.error = error, .grow = reply_grow, .owner = reply},
    };
    reply->claim_bytes =
        REPLY_CLAIM_BYTES < reply->payload_max ? REPLY_CLAIM_BYTES : reply->payload_max;
}

void reply_finish(struct reply *reply)
{
    buffer_finish(&reply->scratch);
}

/* ---- the ring ------------------------------------------------------------------------------ */

/* Claims `bytes`, sleeping while the ring is full. */
static void *reply_claim(struct reply *reply, uint32_t bytes)
{
    struct attachment *attachment = reply->attachment;
    for (;;) {
        void *payload;
        int rc = ring_claim(&attachment->reply, bytes, &payload);
        if (rc == 0)
            return payload;
        if (rc != -EAGAIN)
            leave(WORKER_EXIT_PROTOCOL, "the reply ring is corrupt: claim of %u bytes: %s", bytes,
                  strerror(-rc));
        reply->wait_count++;
        doorbell_arm(&attachment->bell, DOORBELL_SPACE);
        rc = ring_claim(&attachment->reply, bytes, &payload);
        if (rc == -EAGAIN && attachment_sleep(attachment, CLOCK_NEVER) != 0)
            leave(WORKER_EXIT_ORPHAN, "the dispatcher vanished");
        doorbell_disarm(&attachment->bell);
        if (rc == 0)
            return payload;
    }
}

static void reply_publish(struct reply *reply, const struct record *meta)
{
    ring_commit(&reply->attachment->reply, meta);
    doorbell_ring(&reply->attachment->dispatcher_bell, DOORBELL_WORK);
}

static struct record reply_meta(const struct reply_job *job, enum record_kind kind, size_t bytes)
{
    return (struct record){
        .bytes = (uint32_t)bytes,
        .slot = job->slot,
        .kind = (uint8_t)kind,
        .generation = job->generation,
        .sequence = job->sequence,
    };
}

/* Sends bytes that lie elsewhere, in as many records as it takes. */
static void reply_send(struct reply *reply, struct reply_job *job, enum record_kind kind,
                       const uint8_t *data, size_t bytes)
{
    do {
        size_t part = bytes < reply->payload_max ? bytes : reply->payload_max;
        void *payload = reply_claim(reply, (uint32_t)part);
        memcpy(payload, data, part);
        struct record meta = reply_meta(job, kind, part);
        if (part < bytes)
            meta.flags = RECORD_MORE;
        job->sequence++;
        reply_publish(reply, &meta);
        data += part;
        bytes -= part;
    } while (bytes > 0);
}

/* ---- chunks -------------------------------------------------------------------------------- */

struct mr_value *reply_open(struct reply *reply)
{
    mr_assert(!reply->is_open);
    uint8_t *payload = reply_claim(reply, reply->claim_bytes);
    value_start(&reply->value, payload, reply->claim_bytes);
    reply->is_open = true;
    reply->is_claimed = true;
    return &reply->value;
}

size_t reply_open_bytes(const struct reply *reply)
{
    mr_assert(reply->is_open);
    return (size_t)(reply->value.at - reply->value.begin);
}

/* Moves what is written so far out of the ring, with room for `bytes` more. The claim is given back
 * only when that went well. */
static int reply_spill(struct reply *reply, size_t bytes)
{
    struct mr_value *value = &reply->value;
    size_t used = reply_open_bytes(reply);
    int rc = buffer_reserve(&reply->scratch, used + bytes);
    if (rc != 0)
        return rc;
    if (reply->is_claimed) {
        memcpy(reply->scratch.data, value->begin, used);
        ring_abort(&reply->attachment->reply);
        reply->is_claimed = false;
    }
    value->begin = reply->scratch.data;
    value->at = value->begin + used;
    value->end = value->begin + reply->scratch.capacity;
    return 0;
}

/* The grow of a chunk's value: a larger claim, else scratch. */
static int reply_grow(struct mr_value *value, size_t bytes)
{
    struct reply *reply = value->owner;
    size_t used = reply_open_bytes(reply);
    size_t wanted = used + bytes;
    if (wanted > VALUE_BYTES_MAX)
        return -E2BIG;
    if (!reply->is_claimed || wanted > reply->payload_max)
        return reply_spill(reply, bytes);

    size_t generous = 2 * wanted < reply->payload_max ? 2 * wanted : reply->payload_max;
    void *payload;
    if (ring_extend(&reply->attachment->reply, (uint32_t)used, (uint32_t)generous, &payload) != 0)
        return reply_spill(reply, bytes); /* user code is not made to wait for room */
    value->begin = payload;
    value->at = value->begin + used;
    value->end = value->begin + generous;
    return 0;
}

void reply_commit_chunk(struct reply *reply, struct reply_job *job)
{
    size_t bytes = reply_open_bytes(reply);
    reply->is_open = false;
    if (!reply->is_claimed) {
        reply_send(reply, job, RECORD_CHUNK, reply->scratch.data, bytes);
        return;
    }
    reply->is_claimed = false;
    struct record meta = reply_meta(job, RECORD_CHUNK, bytes);
    job->sequence++;
    reply_publish(reply, &meta);
}

void reply_abort(struct reply *reply)
{
    mr_assert(reply->is_open);
    if (reply->is_claimed)
        ring_abort(&reply->attachment->reply);
    reply->is_open = false;
    reply->is_claimed = false;
}

int reply_stash(struct reply *reply, struct buffer *stash)
{
    size_t bytes = reply_open_bytes(reply);
    if (!reply->is_claimed) {
        /* A large value changes hands without a copy. */
        struct buffer scratch = reply->scratch;
        reply->scratch = *stash;
        *stash = scratch;
        reply->is_open = false;
        stash->used = bytes;
        return 0;
    }
    int rc = buffer_reserve(stash, bytes);
    if (rc == 0) {
        memcpy(stash->data, reply->value.begin, bytes);
        stash->used = bytes;
    }
    reply_abort(reply);
    return rc;
}

int reply_unstash(struct reply *reply, struct buffer *stash)
{
    struct mr_value *value = reply_open(reply);
    size_t bytes = stash->used;
    if (bytes > reply->payload_max) {
        /* Too large for the ring: the stash becomes the scratch. */
        ring_abort(&reply->attachment->reply);
        reply->is_claimed = false;
        struct buffer scratch = reply->scratch;
        reply->scratch = *stash;
        *stash = scratch;
        value_start(value, reply->scratch.data, reply->scratch.capacity);
        value->at = value->begin + bytes;
    } else {
        int rc = value_raw(value, stash->data, bytes);
        if (rc != 0) {
            reply_abort(reply);
            return rc;
        }
    }
    stash->used = 0;
    return 0;
}

/* ---- ends, errors, log lines --------------------------------------------------------------- */

void reply_end(struct reply *reply, struct reply_job *job, uint64_t plain_outputs)
{
    mr_assert(!reply->is_open);
    struct end_plain plain = {.outputs = plain_outputs};
    uint8_t payload[sizeof plain];
    memcpy(payload, &plain, sizeof plain);
    reply_send(reply, job, RECORD_END, payload, plain_outputs != 0 ? sizeof plain : 0);
}

void reply_error(struct reply *reply, struct reply_job *job, const struct error *error)
{
    mr_assert(!reply->is_open);
    uint8_t packed[REPLY_HEADS_BYTES + ERROR_MESSAGE_BYTES_MAX];
    struct buffer *scratch = &reply->scratch;
    size_t wanted = REPLY_HEADS_BYTES + error->bytes + error->traceback_bytes;
    bool has_traceback = error->traceback && buffer_reserve(scratch, wanted) == 0;
    struct mr_value value;
    if (has_traceback)
        value_start_in_memory(&value, scratch->data, scratch->capacity);
    else
        value_start_in_memory(&value, packed, sizeof packed);
    value_error(&value, error, has_traceback);
    mr_assert(value.status == 0);
    reply_send(reply, job, RECORD_ERROR, value.begin, (size_t)(value.at - value.begin));
}

/* Publishes one log line in a claim that has room for it. */
static void reply_commit_log(struct reply *reply, const struct reply_job *job, uint8_t *payload,
                             enum mr_log_level level, const char *text, size_t bytes)
{
    const struct reply_job none = {.slot = 0};
    struct mr_value value;
    value_start_in_memory(&value, payload, bytes + REPLY_HEADS_BYTES);
    value_array(&value, 2);
    value_natural(&value, level);
    value_string(&value, text, bytes);
    mr_assert(value.status == 0);
    struct record meta =
        reply_meta(job ? job : &none, RECORD_LOG, (size_t)(value.at - value.begin));
    meta.sequence = 0; /* log lines have no place in the sequence */
    reply_publish(reply, &meta);
}

/* Bytes of text that one record takes. */
static size_t reply_log_room(const struct reply *reply)
{
    size_t room = reply->payload_max - REPLY_HEADS_BYTES;
    return room < LOG_TEXT_BYTES_MAX ? room : LOG_TEXT_BYTES_MAX;
}

void reply_log(struct reply *reply, enum mr_log_level level, const char *text, size_t bytes)
{
    /* The ring has one claim at a time. Without memory to move the chunk to, the line is lost. */
    if (reply->is_claimed && reply_spill(reply, REPLY_CLAIM_BYTES) != 0)
        return;
    do {
        size_t part = error_cut(text, bytes, reply_log_room(reply));
        uint8_t *payload = reply_claim(reply, (uint32_t)(part + REPLY_HEADS_BYTES));
        reply_commit_log(reply, reply->current, payload, level, text, part);
        text += part;
        bytes -= part;
    } while (bytes > 0);
}

void reply_compare_builds(struct reply *reply)
{
    static const char text[] = "this worker is of another build than the server; " //
        ATTACHMENT_UPGRADED;
    if (reply->attachment->segment.header->build_id != BUILD_ID)
        reply_log(reply, MR_LOG_WARNING, text, sizeof text - 1);
}

bool reply_try_log(struct reply *reply, const struct reply_job *job, enum mr_log_level level,
                   const char *text, size_t bytes)
{
    if (reply->is_claimed && reply_spill(reply, REPLY_CLAIM_BYTES) != 0)
        return false;
    size_t part = error_cut(text, bytes, reply_log_room(reply));
    void *payload;
    if (ring_claim(&reply->attachment->reply, (uint32_t)(part + REPLY_HEADS_BYTES), &payload) != 0)
        return false;
    reply_commit_log(reply, job, payload, level, text, part);
    return true;
}

void reply_trim(struct reply *reply)
{
    mr_assert(!reply->is_open);
    buffer_trim(&reply->scratch, BUFFER_KEEP_BYTES);
}
