/* SPDX-License-Identifier: MIT */
/*
 * tickets.h - numbers drawn by those who wait, and how many of them are before one.
 *
 * A bit for each number that may be out: leaving from the middle of a queue clears one, and a
 * position is a count of bits, 64 at a time, however long the queue is.
 */
#ifndef DISPATCHER_TICKETS_H
#define DISPATCHER_TICKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "millrace/check.h"

struct tickets {
    uint64_t *words; /* owned; bit N is number N modulo all bits */
    uint64_t bit_count;
    uint64_t next; /* number */
};

/* For `count_max` numbers out at once. 0 or -ENOMEM. */
int tickets_init(struct tickets *tickets, uint32_t count_max) MUST_USE;
void tickets_finish(struct tickets *tickets);

/* With numbers from `oldest` on still out, no more can be drawn: those who wait must draw again, in
 * their order, after tickets_reset(). Happens once in as many draws as there are places at most. */
bool tickets_are_used_up(const struct tickets *tickets, uint64_t oldest);
void tickets_reset(struct tickets *tickets);

uint64_t tickets_draw(struct tickets *tickets);
void tickets_return(struct tickets *tickets, uint64_t number);

/* How many numbers below `number` are out, of which none is below `oldest`. */
uint32_t tickets_before(const struct tickets *tickets, uint64_t oldest, uint64_t number);

#endif
