/* SPDX-License-Identifier: MIT */
/*
 * worker_events.h - what workers tell, as events of runs and pipelines.
 */
#ifndef DISPATCHER_WORKER_EVENTS_H
#define DISPATCHER_WORKER_EVENTS_H

#include "dispatcher/workers/fleet.h"

/* The fleet's owner is a struct runs, a pool's is its struct pipeline. */
extern const struct fleet_ops runs_fleet_ops;

#endif
