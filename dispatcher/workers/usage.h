/* SPDX-License-Identifier: MIT */
/*
 * usage.h - what the processes of workers hold and have used, for GET /metrics.
 *
 * Looked at when somebody asks, a bounded number at a time and each at most once a second: the loop
 * has no more to do for who asks often, or has very many workers.
 */
#ifndef DISPATCHER_USAGE_H
#define DISPATCHER_USAGE_H

struct fleet;
struct worker;
struct worker_usage;

#define USAGE_LOOKS_MAX 64u
#define USAGE_LOOK_MS 1000u

/* Looks at workers in turn; of more than USAGE_LOOKS_MAX the rest keeps what was seen before. */
void usage_look(struct fleet *fleet);

/* Of the process that is in this place now; NULL: nothing is known of it. */
const struct worker_usage *usage_of(const struct worker *worker);

#endif
