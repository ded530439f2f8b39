/* SPDX-License-Identifier: MIT */
/*
 * channel.h - what the dispatcher and one worker process have in common, and what comes through it.
 *
 *                 dispatcher                       worker (protocol.h has its descriptors)
 *   segment       mapped           <- memfd ->     maps it, and checks it
 *   rings in it   requests         ========>       reads
 *                 replies          <========       writes
 *   wake-ups      bell             -- pipe ->      sleeps on it
 *                 own_bell         <- eventfd -    writes it
 *   messages      socket           <-------->      its end of the socketpair
 *
 * A channel is opened for one process and closed after it: no other process finds anything of it.
 * Whatever comes out of it is the worker's, and is believed only after it was checked here.
 */
#ifndef DISPATCHER_CHANNEL_H
#define DISPATCHER_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/reactor/log.h"
#include "millrace/check.h"
#include "millrace/limits.h"
#include "millrace/protocol.h"
#include "shm/calls.h"
#include "shm/descriptors.h"
#include "shm/doorbell.h"
#include "shm/ring.h"
#include "shm/segment.h"

/* What workers count of their calls for many runs at once. */
struct call_counts {
    struct calls steps;   /* of engines; items are values */
    struct calls batches; /* of batched pipes; items are runs */
};

/* Our side. Owns the segment and all descriptors, those of the bells too; they are -1 where there
 * is no channel. */
struct channel {
    struct segment segment;
    struct ring_tx requests;
    struct ring_rx replies;
    struct doorbell bell;     /* to wake the worker: we write into its pipe */
    struct doorbell own_bell; /* to say that we sleep: we poll its eventfd */
    int socket;
    bool takes_descriptors;  /* it cannot refuse those that the worker sends */
    struct call_counts seen; /* of its calls, that were added up */
};

/* What only the worker needs, to be closed by whoever has passed it on; -1 where there is none. The
 * segment and our bell it has in common with us. */
struct channel_ends {
    int bell;
    int socket;
};

/* A message, its header checked. The body is where it was read to. */
struct channel_message {
    enum message_kind kind;    /* HELLO, READY, FAILED, FILE, PROGRESS, FORKED */
    uint32_t slot, generation; /* of FILE; as they were sent */
    const uint8_t *body;
    size_t body_bytes;
};

/* A line of a LOG record; the text is where it was read from. */
struct channel_log {
    enum log_level level;
    const char *text;
    size_t text_bytes;
};

/* Of the body of a message that is sent. */
#define CHANNEL_PART_COUNT_MAX 32u

/* There is none yet. */
void channel_init(struct channel *channel);

/* Makes a segment of these sizes, and the descriptors, for a worker that does not run yet. 0, or
 * -EINVAL (sizes out of bounds), -errno: then there is nothing, at either side. */
int channel_open(struct channel *channel, struct channel_ends *ends,
                 const struct segment_options *options) MUST_USE;

/* Says how much work a step of the worker's engine may take up from now on (layout.h); where there
 * is no worker, nothing. */
void channel_set_step_budget(struct channel *channel, uint32_t units);

/* Of so many slots, those that the worker wants to have runs in at once. */
uint32_t channel_capacity(const struct channel *channel, uint32_t slot_count);

/* Adds what the worker has counted since this was done last; where there is no worker, nothing. */
void channel_collect_calls(struct channel *channel, struct call_counts *total);

/* Closes and unmaps what there is. What the worker has sent and nobody took is lost. */
void channel_close(struct channel *channel);
void channel_ends_close(struct channel_ends *ends);

/* Takes the next message into `buffer`, of MESSAGE_BYTES_MAX bytes. 1; 0: none is there, or the
 * other end is closed; -EBADMSG: it is not one that a worker of this build sends, and `*wrong`, a
 * constant, says why. Where the worker sent descriptors, they and the message stay. */
int channel_take(const struct channel *channel, uint8_t *buffer, struct channel_message *out,
                 const char **wrong) MUST_USE;

/* Sends a message, of which the kind and whose it is are said, with a body and descriptors; NULL:
 * without. Never waits. 0 or -errno; -E2BIG, it is longer than a message may be. */
int channel_send(const struct channel *channel, const struct message *what,
                 const struct packet *body) MUST_USE;

/* Whether descriptors that the worker sent are next, and stay: nothing behind them can be taken. */
bool channel_is_stuck(const struct channel *channel);

/* Reads the payload of a LOG record, from a private copy. False: it is something else. */
bool channel_log_read(const uint8_t *data, size_t bytes, struct channel_log *out);

#endif
