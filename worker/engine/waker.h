/* SPDX-License-Identifier: MIT */
/*
 * waker.h - another thread says that a run which had nothing has something now.
 *
 *   any thread                                the engine's thread
 *   publish what there is                     take the queue
 *   is_queued = true                          is_queued = false
 *   was it false: into the queue, eventfd     the run that waits is stepped: next() looks
 *
 * So next() is called after the last wake, whenever that came: before the run waited, while it was
 * about to, twice, or when it had long ended and another one has its slot, which is nobody's.
 *
 * A waker is counted, and outlives its run as long as somebody holds it. The queue and the eventfd
 * live as long as the process.
 */
#ifndef WORKER_WAKER_H
#define WORKER_WAKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "millrace/check.h"
#include "worker/engine/attachment.h"

struct mr_waker; /* of pipeline.h */

/* Those that were woken and not yet taken, the last one first. Zero is empty. */
struct waker_queue {
    struct mr_waker *_Atomic first;
};

/* A waker of the run in `slot`, held once. The first one makes the attachment's eventfd. 0, or
 * -errno. */
int waker_create(struct mr_waker **out, struct waker_queue *queue, struct attachment *attachment,
                 uint16_t slot, uint32_t generation) MUST_USE;

/* From any thread, as long as it is held. */
struct mr_waker *waker_hold(struct mr_waker *waker);
void waker_release(struct mr_waker *waker); /* NULL: nothing */

/* From any thread that holds it, or a signal handler. */
void waker_wake(struct mr_waker *waker);

/* ---- the engine's thread ------------------------------------------------------------------- */

/* Not so: the eventfd is, or soon will be, written for what is in it. */
static inline bool waker_queue_is_empty(struct waker_queue *queue)
{
    /* relaxed: who takes it synchronises. */
    return !atomic_load_explicit(&queue->first, memory_order_relaxed);
}

/* All that were woken, in that order; the queue is empty then. */
struct mr_waker *waker_queue_take(struct waker_queue *queue) MUST_USE;

/* Takes one off that list: whose it is. What was published before it was woken is seen from here
 * on, and who wakes it from here on queues it again. False: the list is empty. */
bool waker_next(struct mr_waker **list, uint16_t *slot, uint32_t *generation) MUST_USE;

#endif
