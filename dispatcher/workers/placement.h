/* SPDX-License-Identifier: MIT */
/*
 * placement.h - which device each worker is bound to.
 *
 * A worker keeps its device from process to process while that is there. Else it gets the one that
 * the fewest workers have: of its own pipeline, of which no more than --workers-per-device can have
 * one, then of all. Who takes over from another one takes its device, too. Where memory is kept for
 * workers, the room for that goes before (device_room.h).
 */
#ifndef DISPATCHER_PLACEMENT_H
#define DISPATCHER_PLACEMENT_H

#include <stddef.h>
#include <stdint.h>

#include "dispatcher/config/config.h"
#include "dispatcher/devices/devices.h"
#include "millrace/check.h"

struct fleet;
struct worker;
struct worker_pool;

#define PLACEMENT_REASON_BYTES 320u

/* It is to be known which devices the pipeline can have. */
void placement_want(struct fleet *fleet, const struct pipeline_config *config);

/* Chooses for a worker that is about to start, and sets worker->has_device and worker->device. 0;
 * -EAGAIN: it is not known yet which there are, the device is not to be used yet, or there is no
 * room for it there (device_room.h); -ENODEV: there is none for it, and one line in `reason` says
 * why. Either way it may be chosen again when more is known. -ENOSPC: its device does not hold it
 * beside its predecessor, who waits for it. */
int placement_choose(struct fleet *fleet, struct worker *worker,
                     char reason[PLACEMENT_REASON_BYTES]) MUST_USE;

/* Workers that the devices of a pipeline have room for, as far as it is known; 0: it is not, or
 * they are bound to none. */
uint32_t placement_room(const struct fleet *fleet, const struct pipeline_config *config);

/* Whether nothing can be done on the device of a worker. */
bool placement_is_lost(const struct fleet *fleet, const struct worker *worker);

/* The process of a worker is gone: what it had of the device's memory is waited for. */
void placement_note_end(struct fleet *fleet, const struct worker *worker);

/* A run failed on it, and that is the policy: its device is probed, or taken from all. */
void placement_note_failure(struct fleet *fleet, const struct worker *worker,
                            enum device_policy policy);

/* Whether devices of the source may be among those that were chosen. */
bool placement_is_of(const struct device_choice *choice, enum device_source source);

#endif
