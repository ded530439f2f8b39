/* SPDX-License-Identifier: MIT */
/*
 * lockstep.h - the outputs of one run advance in lock-step: one line a time.
 *
 *   streams [1,2,3]  plain "s"  stream ["a"]     ->     [1,s,a] [2,s,none] [3,s,none]   end
 *
 * Each line takes one item of every live stream; a plain output is repeated; an exhausted stream
 * gives none; the line on which nothing came from any stream is not sent. A stream that has nothing
 * yet leaves the line half-built, to be gone on with.
 */
#ifndef WORKER_LOCKSTEP_H
#define WORKER_LOCKSTEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"
#include "millrace/pipeline.h"
#include "worker/engine/value.h"

enum lockstep_result {
    LOCKSTEP_END = 0, /* exhausted; nothing was written that is to be sent */
    LOCKSTEP_ITEM,    /* a complete line was written */
    LOCKSTEP_LATER,   /* half-built; the value says until when */
    LOCKSTEP_FAILED   /* the value's error says why */
};

struct lockstep_output {
    struct mr_iterator iterator;
    bool is_stream;
    bool is_open;          /* close() is owed */
    const char *name;      /* of the pipe, put before its failures; NULL: not; borrowed */
    const uint8_t *packed; /* a plain output, as msgpack; memory of the run */
    size_t packed_bytes;
};

struct lockstep {
    uint32_t output_count;
    uint32_t position;               /* the output that is next on the half-built line */
    uint32_t live_count;             /* streams that are not exhausted */
    bool is_half_built;              /* outputs before `position` are written */
    bool has_item;                   /* a stream gave an item on this line */
    bool is_over;                    /* a run without streams has its one line */
    struct lockstep_output *outputs; /* output_count of them; owned by whoever made the run */
};

/* Starts with `output_count` outputs that the caller has filled in. */
void lockstep_start(struct lockstep *lockstep, struct lockstep_output *outputs,
                    uint32_t output_count);

/* Writes the rest of one line into `value`, which holds what was written of it so far. */
enum lockstep_result lockstep_step(struct lockstep *lockstep, struct mr_value *value) MUST_USE;

/* Closes the iterators that are still open. Each is closed once, whatever happens. */
void lockstep_close(struct lockstep *lockstep);

#endif
