/* SPDX-License-Identifier: MIT */
/*
 * drain.h - records of a worker's reply ring become what fleet_ops tells.
 */
#ifndef DISPATCHER_DRAIN_H
#define DISPATCHER_DRAIN_H

#include <stdint.h>

struct fleet;
struct worker;

/* Takes records of all workers that are heard, of each a bounded batch. Returns how many. */
uint32_t drain_all(struct fleet *fleet);

/* What is left of a process that has ended, no more than fits its ring. */
void drain_rest(struct fleet *fleet, struct worker *worker);

#endif
