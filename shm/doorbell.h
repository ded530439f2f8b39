/* SPDX-License-Identifier: MIT */
/*
 * doorbell.h - wake the peer, but only when it sleeps, and for something that it waits for.
 *
 * The waker publishes something (a ring's tail or head, a cancel word, a delivered count), then
 * calls doorbell_ring(). The sleeper's loop, always in this order:
 *
 *     drain everything
 *     doorbell_arm(bell, interests) says "I am about to sleep, until one of these"
 *     look at everything again      what was published before the waker looked is seen here
 *       something there: doorbell_disarm(bell), go on
 *     sleep on the descriptor
 *     doorbell_disarm(bell)
 *
 * Edge S1<->S2: publish-then-look on one side, arm-then-look on the other, both with a sequentially
 * consistent fence between. At least one side sees the other; with acquire/release both can miss.
 * The fence orders, it carries no data: that is on the published words themselves (R1, R2, R4, R5).
 */
#ifndef SHM_DOORBELL_H
#define SHM_DOORBELL_H

#include <stdatomic.h>
#include <stdbool.h>

#include "millrace/check.h"
#include "millrace/layout.h"

/* One process's view of a doorbell. The descriptor is non-blocking and borrowed: an eventfd on the
 * way to the dispatcher, an end of a pipe on the way to a worker (docs/internals/memory.md). */
struct doorbell {
    struct doorbell_shared *shared;
    int fd;
};

/* Waker: call after publishing, once per batch, with the DOORBELL_ bits of what was published.
 * Returns true when the sleeper slept for one of them and the descriptor was written (one system
 * call). */
bool doorbell_ring(struct doorbell *bell, uint32_t news);

/* Sleeper. `interests` are the DOORBELL_ bits of what it waits for, all of which it looks at again
 * before it sleeps. */
void doorbell_arm(struct doorbell *bell, uint32_t interests);
void doorbell_disarm(struct doorbell *bell);

#endif
