/* SPDX-License-Identifier: MIT */
/*
 * timer.h - deadlines of the loop: a binary heap of timers that live in their owners.
 *
 * Time is CLOCK_MONOTONIC milliseconds and always an argument. A timer that fires is disarmed
 * first; its owner may arm it again.
 */
#ifndef DISPATCHER_TIMER_H
#define DISPATCHER_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#include "millrace/check.h"

/* What a timer is for: a number here, a call in the server's table (server/handlers.c). */
enum timer_kind {
    TIMER_CONN = 0,
    TIMER_RUN,
    TIMER_WORKER,
    TIMER_PIPELINE,
    TIMER_SCALING,
    TIMER_LISTENER,
    TIMER_STOP,
    TIMER_OUTPUT,
    TIMER_OUTPUT_END,
    TIMER_SPAWNER,
    TIMER_OFFER,
    TIMER_READER,
    TIMER_FETCHER,
    TIMER_DEVICES,
    TIMER_CALLBACK,
    TIMER_NOISE,
    TIMER_FILES,
    TIMER_PARTS,
    TIMER_ROOM,
    TIMER_KIND_COUNT
};

struct timer {
    uint64_t due_ms;
    uint32_t position; /* in the heap, from 1; 0 = not armed */
    enum timer_kind kind;
    void *owner;
};

/* Zero is empty. Owned by the reactor; `heap` has room for every timer there can be. */
struct timers {
    struct timer **heap; /* heap[1..count] */
    uint32_t count;
    uint32_t count_max;
};

/* Room for so many more timers, by whoever is about to own them; and when they are gone, none of
 * them armed. 0 or -ENOMEM. */
int timers_reserve(struct timers *timers, uint32_t count) MUST_USE;
void timers_unreserve(struct timers *timers, uint32_t count);
void timers_finish(struct timers *timers);

/* Arms or moves a timer. */
void timer_set(struct timers *timers, struct timer *timer, uint64_t due_ms);
void timer_clear(struct timers *timers, struct timer *timer);

/* Takes the next timer due at `now_ms` out of the heap; NULL when none is. */
struct timer *timers_take(struct timers *timers, uint64_t now_ms);

/* When the next one is due, UINT64_MAX when none is armed. */
uint64_t timers_next_ms(const struct timers *timers);

#endif
