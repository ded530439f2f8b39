/* SPDX-License-Identifier: MIT */
/*
 * run.h - one run on this worker: its place, its memory, its window.
 *
 *   NONE ---START---> READY <---due, window, cancelled---> LATER | WINDOW
 *     ^                 |
 *     +-- END, ERROR ---+
 *
 * READY runs are stepped in turn. LATER and WINDOW runs are not: the first wait for a time, the
 * second for their client to take what was sent. A run that its host drives is DRIVEN in place of
 * READY and LATER.
 */
#ifndef WORKER_RUN_H
#define WORKER_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"
#include "millrace/pipeline.h"
#include "shm/slot.h"
#include "worker/engine/arena.h"
#include "worker/engine/buffer.h"
#include "worker/engine/line.h"
#include "worker/engine/reply.h"

enum run_state {
    RUN_NONE = 0, /* the slot is free, for this process */
    RUN_READY,
    RUN_LATER,
    RUN_WINDOW,
    RUN_DRIVEN,
    RUN_STATE_COUNT
};

/* Owned by the engine, one for each slot; its memory is obtained when the run starts. */
struct run {
    struct reply_run reply;
    enum run_state state;
    struct slot_shared *slot; /* borrowed, in the segment */
    uint32_t active_index;    /* among the engine's active runs */
    bool is_driven;           /* by its host */
    bool is_cancel_told;      /* ... which knows that it is cancelled */
    uint64_t line_count;      /* ... and has sent so many lines */
    bool is_line_waiting; /* the stash holds a complete line; else the start of one, or nothing */
    struct buffer stash;
    uint64_t charged;        /* flow control (protocol.h) */
    uint64_t delivered_seen; /* the dispatcher's count, as last loaded */
    size_t last_bytes;       /* of the chunk before */
    struct line line;
    struct arena arena;
    const char *id;                 /* memory of the arena */
    const struct mr_object *inputs; /* likewise */
    size_t input_count;
};

/* Takes the slot's place for `generation`. */
void run_init(struct run *run, struct slot_shared *slot, uint16_t index, uint32_t generation);

/* Gives back all memory of the run; the iterators are closed already. */
void run_finish(struct run *run);

/* Reads the START payload in `bytes` (writable, with room for one more, memory of the arena) into
 * id and inputs. 0, or -EBADMSG, -ELOOP, -ENOMEM as object_unpack. */
int run_read_request(struct run *run, uint8_t *bytes, size_t count) MUST_USE;

/* May a chunk of `bytes` be sent now? Looks at the dispatcher's word only when what was seen last
 * does not do. */
bool run_window_allows(struct run *run, uint32_t window_bytes, size_t bytes);

/* May the line that waits be sent now, or a new one be begun? One may when it could be sent if it
 * were empty, or as long as the one before; if it then cannot, it is kept. */
bool run_may_step(struct run *run, uint32_t window_bytes);

/* Counts a chunk that is sent. */
void run_charge(struct run *run, size_t bytes);

#endif
