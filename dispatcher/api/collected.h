/* SPDX-License-Identifier: MIT */
/*
 * collected.h - what plain runs have of their results before they end, and how much that may be.
 *
 * The texts are the run's. They count against --output-memory together with output that waits for
 * clients, and those of one pipeline within its share, from the chunk that made them grow until the
 * run's client is answered.
 */
#ifndef DISPATCHER_COLLECTED_H
#define DISPATCHER_COLLECTED_H

#include "millrace/check.h"

struct loop;
struct run;

/* Counts what the run's texts hold now. 0; -EDQUOT: its pipeline has more than its share; -ENOMEM:
 * --output-memory is used up. They are counted in either case: the run has to end. */
int collected_count(struct loop *loop, struct run *run) MUST_USE;

/* Nobody needs them any more. Nothing when there are none. */
void collected_free(struct loop *loop, struct run *run);

#endif
