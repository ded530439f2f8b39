/* SPDX-License-Identifier: MIT */
/*
 * unfinished.h - the one value of a worker of which not all fragments have come.
 *
 * A worker sends the fragments of a value one after the other, so it has one such value at a time,
 * and one buffer for it. What all workers of a pipeline hold in them is bounded by the pipeline's
 * own share of --output-memory: what one pipeline sends takes nothing from another.
 */
#ifndef DISPATCHER_UNFINISHED_H
#define DISPATCHER_UNFINISHED_H

#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"
#include "millrace/layout.h"

struct loop;
struct worker;

#define UNFINISHED_NONE UINT32_MAX
#define UNFINISHED_WHOLE (UINT32_MAX - 1) /* its last fragment has come, and it is being used */

/* Zero, but for `slot`, is an empty one. Owned by the worker's place. */
struct unfinished {
    uint32_t slot; /* whose value it is; UNFINISHED_NONE: there is none */
    uint8_t kind;  /* of its records */
    uint8_t *bytes;
    size_t count, room;
};

/* Bytes that the unfinished values of one pipeline may hold. */
uint64_t unfinished_share(const struct loop *loop);

/* Adds a fragment to the worker's value, or begins one. 0, -EFBIG: no honest worker sends that
 * much; -ENOBUFS: the pipeline's share is used up; -ENOMEM. */
int unfinished_add(struct loop *loop, struct worker *worker, const struct record *record,
                   const void *payload) MUST_USE;

/* The value was used, or will never be whole. */
void unfinished_end(struct worker *worker);

/* Gives memory back that only very large values need; or all of it. Nothing while there is a value.
 */
void unfinished_trim(struct loop *loop, struct worker *worker);
void unfinished_free(struct loop *loop, struct worker *worker);

#endif
