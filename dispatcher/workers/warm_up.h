/* SPDX-License-Identifier: MIT */
/*
 * warm_up.h - the run that a process begins with, before it takes those of clients.
 *
 * It is nobody's: it has a slot and no run, so that nothing of it comes to those who own runs. What
 * it yields is thrown away here.
 */
#ifndef DISPATCHER_WARM_UP_H
#define DISPATCHER_WARM_UP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"

struct fleet;
struct record;
struct worker;

enum warm_up_state {
    WARM_UP_NONE = 0,
    WARM_UP_RUNS,
    WARM_UP_DONE, /* it ended; the worker is told so in the same pass (supervisor_judge()) */
    WARM_UP_FAILED,
};

/* Of one process. Zero: it has had none yet. */
struct warm_up {
    enum warm_up_state state;
    bool is_cut;          /* it was told to end, which is no failure of it */
    uint32_t slot_index;  /* while WARM_UP_RUNS */
    uint64_t value_count; /* whole ones */
    uint64_t value_bytes; /* of the one that is not whole */
};

/* Whether the inputs of the pool's warm-up, if it has one, are such as it takes, which is known.
 * Else that is the worker's failure, and told as such. */
bool warm_up_fits(struct fleet *fleet, struct worker *worker);

/* Gives the worker its warm-up. 0; -ENOENT: its pipeline has none; -EAGAIN: it cannot hear, and its
 * end comes soon; other errors are its failure, and told as such. */
int warm_up_begin(struct fleet *fleet, struct worker *worker) MUST_USE;

/* A record of a slot that has no run, as drain.c has it. Returns what is wrong with it, or NULL. */
const char *warm_up_take(struct fleet *fleet, struct worker *worker, const struct record *record,
                         const void *payload);

/* Whether this slot is its, and of this generation. */
bool warm_up_has(const struct worker *worker, uint32_t slot_index, uint32_t generation);

/* It is told to end now. */
void warm_up_cut(struct fleet *fleet, struct worker *worker);

#endif
