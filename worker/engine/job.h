/* SPDX-License-Identifier: MIT */
/*
 * job.h - a run as the worker that executes it has it: its place, its memory, its window.
 *
 *   NONE ---START---> READY <---due, woken, window, cancelled---> LATER | WINDOW
 *     ^                 |
 *     +-- END, ERROR ---+
 *
 * READY runs are stepped in turn. LATER and WINDOW runs are not: the first wait for a time, a
 * descriptor or to be woken, the second for their client to take what was sent, or for the files of
 * their next line to be kept. A run that its host
 * drives is DRIVEN in place of READY and LATER.
 */
#ifndef WORKER_JOB_H
#define WORKER_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"
#include "millrace/pipeline.h"
#include "shm/slot.h"
#include "worker/engine/arena.h"
#include "worker/engine/buffer.h"
#include "worker/engine/lockstep.h"
#include "worker/engine/out_files.h"
#include "worker/engine/reply.h"

enum job_state {
    JOB_NONE = 0, /* the slot is free, for this process */
    JOB_READY,
    JOB_LATER,
    JOB_WINDOW,
    JOB_DRIVEN,
    JOB_STATE_COUNT
};

/* Owned by the engine, one for each slot; its memory is obtained when the run starts. */
struct job {
    struct reply_job reply;
    enum job_state state;
    struct slot_shared *slot; /* borrowed, in the segment */
    uint32_t active_index;    /* among the engine's active runs */
    uint32_t window_index;    /* likewise of those in JOB_WINDOW */
    bool is_driven;           /* by its host */
    bool is_cancel_told;      /* ... which knows that it is cancelled */
    uint64_t line_count;      /* ... and has sent so many lines */
    bool is_line_waiting; /* the stash holds a complete line; else the start of one, or nothing */
    struct buffer stash;
    uint64_t charged;        /* flow control (protocol.h) */
    uint64_t delivered_seen; /* the dispatcher's count, as last loaded */
    size_t last_bytes;       /* of the chunk before */
    int watched_fd;          /* what a LATER run waits for besides its time; -1: nothing */
    struct mr_waker *waker;  /* held; NULL until a pipe asks for one */
    struct lockstep lockstep;
    uint64_t plain_outputs; /* that were declared as streams: a bit each */
    struct out_files files; /* that its values have */
    struct arena arena;
    size_t alloc_bytes;             /* of it, what pipes took with mr_alloc() */
    const char *id;                 /* memory of the arena */
    const struct mr_object *inputs; /* likewise */
    size_t input_count;
};

/* Takes the slot's place for `generation`. */
void job_init(struct job *job, struct slot_shared *slot, uint16_t index, uint32_t generation);

/* Memory of the run for its pipes. NULL: there is none, or they have taken RUN_ALLOC_BYTES_MAX. */
void *job_alloc(struct job *job, size_t bytes) MUST_USE;

/* Gives back all memory of the run; the iterators are closed already. */
void job_finish(struct job *job);

/* May a chunk of `bytes` be sent now? Looks at the dispatcher's word only when what was seen last
 * does not do. */
bool job_window_allows(struct job *job, uint32_t window_bytes, size_t bytes);

/* May the line that waits be sent now, or a new one be begun? One may when it could be sent if it
 * were empty, or as long as the one before; if it then cannot, it is kept. */
bool job_may_step(struct job *job, uint32_t window_bytes);

/* Counts a chunk that is sent. */
void job_charge(struct job *job, size_t bytes);

#endif
