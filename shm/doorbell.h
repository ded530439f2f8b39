/* SPDX-License-Identifier: MIT */
/*
 * doorbell.h - wake the peer, but only when it sleeps.
 *
 * The waker publishes something (a ring's tail or head, a cancel word, a delivered count), then
 * calls doorbell_ring(). The sleeper's loop, always in this order:
 *
 *     drain everything
 *     doorbell_arm(bell)            says "I am about to sleep"
 *     look at everything again      what was published before the waker looked is seen here
 *       something there: doorbell_disarm(bell), go on
 *     sleep on the eventfd
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

/* One process's view of a doorbell. The eventfd is EFD_NONBLOCK and borrowed. */
struct doorbell {
    struct doorbell_shared *shared;
    int eventfd;
};

/* Waker: call after publishing, once per batch. Returns true when the sleeper slept and the eventfd
 * was written (one system call). */
bool doorbell_ring(struct doorbell *bell, uint32_t news);

/* Sleeper. */
void doorbell_arm(struct doorbell *bell, uint32_t interests);
void doorbell_disarm(struct doorbell *bell);

#endif
