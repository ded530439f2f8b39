/* SPDX-License-Identifier: MIT */
/*
 * slot.h - the words of one run's place on a worker. States and arrows are listed in layout.h.
 */
#ifndef SHM_SLOT_H
#define SHM_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "millrace/check.h"
#include "millrace/layout.h"

/* Moves the slot of `generation` from one state to another by CAS (R3). False when the word was
 * anything else: the other side was faster, or wrote garbage. */
bool slot_move(struct slot_shared *slot, uint32_t generation, enum slot_state from,
               enum slot_state to) MUST_USE;

/* Dispatcher: FREE -> OFFERED under a new generation; clears cancel and delivered. It overwrites
 * whatever the word holds, since the dispatcher's own records say that the slot is free. */
void slot_offer(struct slot_shared *slot, uint32_t generation);

/* Dispatcher: ENDED -> FREE, likewise unconditional. */
void slot_free(struct slot_shared *slot, uint32_t generation);

/* Dispatcher: asks the run of `generation` to stop (R4), and counts that in the segment's
 * `cancel_count` (R6). Worker: the reason, 0 when not asked; and how often any run of the segment
 * was asked: while the count stands still no slot needs to be looked at. */
void slot_cancel(struct slot_shared *slot, _Atomic uint64_t *cancel_count, uint32_t generation,
                 uint32_t reason);
uint32_t slot_cancel_reason(struct slot_shared *slot, uint32_t generation);
uint64_t slot_cancel_count(const _Atomic uint64_t *cancel_count);

/* Dispatcher: the charge delivered so far (R5). Worker: reads it; the value only grows in a run. */
void slot_deliver(struct slot_shared *slot, uint64_t charge);
uint64_t slot_delivered(struct slot_shared *slot);

/* Worker: stamps the last step. Dispatcher: reads it; 0 = none yet. */
void slot_progress(struct slot_shared *slot, uint64_t now_ns);
uint64_t slot_last_progress(struct slot_shared *slot);

#endif
