/* SPDX-License-Identifier: MIT */
/*
 * doorbell.c - the one place where a store must be seen before a later load of another word.
 *
 *      waker                              sleeper
 *      publish  (R1, R2, R4, R5)          asleep = interests
 *      ---- fence S1 ----                 ---- fence S2 ----
 *      look at asleep                     look at what is published
 *
 * Sequentially consistent fences are totally ordered: whichever comes second, the look behind it
 * sees the store before the other. Release and acquire promise nothing of the kind, and a processor
 * with a store buffer (x86 too) loses wake-ups with them; tests/explore/explore_doorbell.c shows
 * how.
 */
#include "shm/doorbell.h"

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

bool doorbell_ring(struct doorbell *bell, uint32_t news)
{
    /* S1: what was published is seen before we look; pairs with S2 in doorbell_arm. */
    atomic_thread_fence(memory_order_seq_cst);
    /* relaxed: ordered by S1; carries no data. */
    if ((atomic_load_explicit(&bell->shared->asleep, memory_order_relaxed) & news) == 0)
        return false;

    /* One write a sleep. relaxed: the write is behind it, and whom that wakes sees this before
     * arming again; a sleeper that goes on by itself gets one write too many. */
    atomic_store_explicit(&bell->shared->asleep, 0, memory_order_relaxed);
    const uint64_t one = 1;
    ssize_t written = write(bell->fd, &one, sizeof one);
    /* What is full (EAGAIN) wakes as well as one write more; who has gone (EPIPE) needs no
     * waking. */
    mr_assert(written == (ssize_t)sizeof one || errno == EAGAIN || errno == EPIPE);
    return true;
}

void doorbell_arm(struct doorbell *bell, uint32_t interests)
{
    /* relaxed: ordered by S2; carries no data. */
    atomic_store_explicit(&bell->shared->asleep, interests, memory_order_relaxed);
    /* S2: the waker sees us asleep before we look again; pairs with S1 in doorbell_ring. */
    atomic_thread_fence(memory_order_seq_cst);
}

void doorbell_disarm(struct doorbell *bell)
{
    /* relaxed: a waker that misses this writes once for nothing. */
    atomic_store_explicit(&bell->shared->asleep, 0, memory_order_relaxed);
}
