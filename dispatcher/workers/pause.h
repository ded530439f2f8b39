/* SPDX-License-Identifier: MIT */
/*
 * pause.h - workers that make too much noise (noise.h) are not heard for the rest of its window.
 */
#ifndef DISPATCHER_PAUSE_H
#define DISPATCHER_PAUSE_H

#include <stdint.h>

struct fleet;
struct worker;

/* Counts noise of the worker, and pauses it when that is enough. */
void pause_count(struct fleet *fleet, struct worker *worker, uint32_t cost);

/* Counts what of its bells and records was good for nothing, after `record_count` were drained. */
void pause_count_bells(struct fleet *fleet, struct worker *worker, uint32_t record_count);

/* Those that are paused are heard again. */
void pause_on_timer(struct fleet *fleet);

#endif
