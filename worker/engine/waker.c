/* SPDX-License-Identifier: MIT */
/*
 * waker.c - a list that any thread pushes on, and one takes whole.
 *
 * W1: is_queued. Who wakes exchanges it to true, who takes exchanges it to false. Each sees what
 * the others wrote before: a wake that finds it true leaves its cargo to the taker that is to come.
 * W2: first. Carries `next` and what the waker was created with from who pushes to who takes.
 * W3: hold_count. The last one to release sees what the others did with it.
 */
#include "worker/engine/waker.h"

#include <errno.h>
#include <stdlib.h>

struct mr_waker {
    _Atomic uint32_t hold_count; /* of those who hold it, and one while it is queued */
    _Atomic bool is_queued;
    uint16_t slot;
    uint32_t generation;
    struct waker_queue *queue;     /* borrowed, for good */
    struct attachment *attachment; /* likewise */
    struct mr_waker *next;         /* in the queue, or in the list that was taken */
};

int waker_create(struct mr_waker **out, struct waker_queue *queue, struct attachment *attachment,
                 uint16_t slot, uint32_t generation)
{
    int rc = attachment->wake == -1 ? attachment_add_wake(attachment) : 0;
    if (rc != 0)
        return rc;
    struct mr_waker *waker = calloc(1, sizeof *waker);
    if (!waker)
        return -ENOMEM;
    atomic_init(&waker->hold_count, 1);
    waker->slot = slot;
    waker->generation = generation;
    waker->queue = queue;
    waker->attachment = attachment;
    *out = waker;
    return 0;
}

struct mr_waker *waker_hold(struct mr_waker *waker)
{
    /* relaxed: who holds it already keeps it alive. */
    atomic_fetch_add_explicit(&waker->hold_count, 1, memory_order_relaxed);
    return waker;
}

void waker_release(struct mr_waker *waker)
{
    if (!waker)
        return;
    /* W3: what we did with it is done before the last one frees it. */
    uint32_t before = atomic_fetch_sub_explicit(&waker->hold_count, 1, memory_order_acq_rel);
    mr_assert(before > 0);
    if (before == 1)
        free(waker);
}

void waker_wake(struct mr_waker *waker)
{
    /* W1: publishes what the caller did before; pairs with the exchange in waker_next. */
    if (atomic_exchange_explicit(&waker->is_queued, true, memory_order_acq_rel))
        return;
    int error = errno;
    struct attachment *attachment = waker->attachment;
    struct waker_queue *queue = waker->queue;
    waker_hold(waker);
    /* relaxed: only the successful exchange below publishes. */
    struct mr_waker *first = atomic_load_explicit(&queue->first, memory_order_relaxed);
    do {
        waker->next = first;
        /* W2: publishes `next`; pairs with the exchange in waker_queue_take. */
    } while (!atomic_compare_exchange_weak_explicit(&queue->first, &first, waker,
                                                    memory_order_release, memory_order_relaxed));
    /* From here on the waker may be gone. The engine looks at the queue, then sleeps: either it has
     * seen this one, or this wakes it. */
    attachment_wake(attachment);
    errno = error;
}

struct mr_waker *waker_queue_take(struct waker_queue *queue)
{
    /* W2: what was pushed is seen whole. */
    struct mr_waker *waker = atomic_exchange_explicit(&queue->first, NULL, memory_order_acquire);
    struct mr_waker *list = NULL;
    while (waker) {
        struct mr_waker *next = waker->next;
        waker->next = list;
        list = waker;
        waker = next;
    }
    return list;
}

bool waker_next(struct mr_waker **list, uint16_t *slot, uint32_t *generation)
{
    struct mr_waker *waker = *list;
    if (!waker)
        return false;
    *list = waker->next; /* which is another's once it can be queued again */
    *slot = waker->slot;
    *generation = waker->generation;
    /* W1: sees what each who woke it did before. */
    atomic_exchange_explicit(&waker->is_queued, false, memory_order_acq_rel);
    waker_release(waker);
    return true;
}
