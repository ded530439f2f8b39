/* SPDX-License-Identifier: MIT */
/*
 * workers.h - the room as a whole, for whoever owns and drives it: from the first process that
 * starts others to the last worker gone, and its part in each pass.
 */
#ifndef DISPATCHER_WORKERS_H
#define DISPATCHER_WORKERS_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/workers/cgroup.h"
#include "dispatcher/workers/fleet.h"
#include "millrace/check.h"

/* What it works with and whom it tells; all borrowed for as long as the fleet lives. */
struct fleet_options {
    const struct config *config;
    struct reactor *reactor;
    struct devices *devices;
    const struct fleet_ops *ops;
    void *owner;
};

/* A fleet without workers. 0 or -ENOMEM; workers_finish() in either case. */
int workers_init(struct fleet *fleet, const struct fleet_options *options) MUST_USE;

/* Gives everything back; nothing may be with the kernel any more. */
void workers_finish(struct fleet *fleet);

/* ---- in a pass ----------------------------------------------------------------------------- */

/* A worker rang. */
void workers_on_bell(struct fleet *fleet, const struct uring_event *event);

/* Wakes workers for whom something was published and who sleep. */
void workers_ring(struct fleet *fleet);

/* Before the loop sleeps, and after: workers ring for `interests` (DOORBELL_ bits) meanwhile. */
void workers_arm(struct fleet *fleet, uint32_t interests);
void workers_disarm(struct fleet *fleet);

/* The sleeper's second look: whether a worker published something before it saw us asleep. */
bool workers_have_records(const struct fleet *fleet);

#endif
