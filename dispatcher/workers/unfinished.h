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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"
#include "millrace/layout.h"

#define UNFINISHED_NONE UINT32_MAX
#define UNFINISHED_WHOLE (UINT32_MAX - 1) /* its last fragment has come, and it is being used */

/* Zero, but for `slot`, is an empty one. Owned by the worker's place. */
struct unfinished {
    uint32_t slot; /* whose value it is; UNFINISHED_NONE: there is none */
    uint8_t kind;  /* of its records */
    uint8_t *bytes;
    size_t count, room;
};

/* What the unfinished values of one pipeline hold, and may hold. */
struct unfinished_share {
    uint64_t bytes, bytes_max;
};

/* Bytes that the unfinished values of each of `pipeline_count` pipelines may hold, of all that
 * output may: equal parts, but none so small that a value of the largest size could never pass. */
uint64_t unfinished_share_max(uint64_t output_bytes_max, uint32_t pipeline_count);

/* Adds a fragment to the worker's value, or begins one. 0, -EFBIG: no honest worker sends that
 * much; -ENOBUFS: the share is used up; -ENOMEM. */
int unfinished_add(struct unfinished *value, struct unfinished_share *share,
                   const struct record *record, const void *payload) MUST_USE;

/* The value was used, or will never be whole. */
void unfinished_end(struct unfinished *value);

/* Gives memory back that only very large values need, or all of it where no more are expected; or
 * all of it. Nothing while there is a value. */
void unfinished_trim(struct unfinished *value, struct unfinished_share *share, bool is_idle);
void unfinished_free(struct unfinished *value, struct unfinished_share *share);

#endif
