/* SPDX-License-Identifier: MIT */
/*
 * noise.h - what a worker makes the loop do that no run is the better for, and when that is enough.
 *
 * Doorbells without a record, packets, log records, records of runs that are over, crumbs of a
 * value; and what is printed. Each costs about as many microseconds as it counts here. A worker
 * that has used its share of a tenth of a second is paused until it is over: nothing of it is heard
 * or drained, its ring and its pipes fill, and it waits. Nothing is lost.
 */
#ifndef DISPATCHER_NOISE_H
#define DISPATCHER_NOISE_H

#include <stdbool.h>
#include <stdint.h>

#include "millrace/limits.h"

#define NOISE_WINDOW_MS 100u
/* Of a window, in microseconds: a twentieth of a core; and as much again for what is printed. */
#define NOISE_MAX 5000u

#define NOISE_BELL 5u
#define NOISE_PACKET 5u
#define NOISE_PACKETS 30u /* as many as are read for one event */
#define NOISE_RECORD 1u
#define NOISE_RECORD_BYTES 8192u /* of one that is copied, so many are one more */
/* Fragments of an honest worker are as large as can be, in the smallest ring twice this. */
#define NOISE_CRUMB_BYTES (RING_BYTES_MIN / 8)
#define NOISE_OUTPUT 5u
#define NOISE_OUTPUT_LINES 40u /* so many lines are one more */

/* One kind of noise of a worker. */
struct noise {
    uint64_t window; /* the last one in which there was some */
    uint32_t used;   /* of it */
};

/* True: there is enough for this window. */
bool noise_add(struct noise *noise, uint64_t now_ms, uint32_t cost);

#endif
