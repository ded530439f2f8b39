/* SPDX-License-Identifier: MIT */
/*
 * reply.h - writes the reply ring: chunks packed in place, ends, errors and log lines.
 *
 * A chunk is packed straight into a claimed record. Where it outgrows what the ring has free now,
 * or the largest record, it spills into a scratch buffer and leaves as one copied record or as
 * fragments. A log line written while a chunk is open (user code prints inside next()) spills it
 * too, since the ring has one claim at a time.
 *
 *   reply_open ... value calls ... reply_commit_chunk     the chunk leaves, the dispatcher is rung
 *                              ... reply_stash            kept for later; nothing leaves
 *                              ... reply_abort            forgotten
 *
 * Waiting for room in the ring ends the worker when the dispatcher has vanished; it drains the ring
 * whatever its clients do, so nothing else can make the wait long.
 */
#ifndef WORKER_REPLY_H
#define WORKER_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"
#include "millrace/protocol.h"
#include "worker/engine/attachment.h"
#include "worker/engine/buffer.h"
#include "worker/engine/error.h"
#include "worker/engine/value.h"

/* Whose records these are. */
struct reply_job {
    uint16_t slot;
    uint32_t generation;
    uint32_t sequence; /* of the next record */
};

struct reply {
    struct attachment *attachment;   /* borrowed */
    const struct reply_job *current; /* the run that is stepped; NULL outside any run; borrowed */
    uint32_t payload_max;
    uint32_t claim_bytes; /* what a chunk starts with */
    bool is_open;         /* a chunk is being written */
    bool is_claimed;      /* ... in the ring; else in scratch */
    struct mr_value value;
    struct buffer scratch;
    uint64_t wait_count; /* how often it was waited for room, which leaves the doorbell disarmed */
};

void reply_init(struct reply *reply, struct attachment *attachment, struct error *error);
void reply_finish(struct reply *reply);

/* Starts a chunk; waits while the ring is full. */
struct mr_value *reply_open(struct reply *reply);

/* Bytes of the open chunk so far. */
size_t reply_open_bytes(const struct reply *reply);

/* Publishes the open chunk, as one record or as fragments, and rings. */
void reply_commit_chunk(struct reply *reply, struct reply_job *job);

/* Moves the open chunk into `stash` instead. 0, or -ENOMEM (the chunk is gone). */
int reply_stash(struct reply *reply, struct buffer *stash) MUST_USE;

/* Opens a chunk that goes on where the stash stopped; the stash is empty then. */
int reply_unstash(struct reply *reply, struct buffer *stash) MUST_USE;

void reply_abort(struct reply *reply);

/* END and ERROR, which are the last records of a run. No chunk may be open. `plain_outputs` is that
 * of struct end_plain. */
void reply_end(struct reply *reply, struct reply_job *job, uint64_t plain_outputs);
void reply_error(struct reply *reply, struct reply_job *job, const struct error *error);

/* Says in the log when the dispatcher is of another build. Versions tell what cannot work together,
 * and here they agree; that the rest differs is for whoever runs the server to mend. */
void reply_compare_builds(struct reply *reply);

/* One line of the log, for the current run. Longer lines become several. */
void reply_log(struct reply *reply, enum mr_log_level level, const char *text, size_t bytes);

/* The same for code that must not wait, and for a run that is said (NULL: none): false when there
 * is no room for a whole line now. */
bool reply_try_log(struct reply *reply, const struct reply_job *job, enum mr_log_level level,
                   const char *text, size_t bytes) MUST_USE;

/* Gives back memory that only large values needed. Call before sleeping. */
void reply_trim(struct reply *reply);

#endif
