/* SPDX-License-Identifier: MIT */
/* timer.c - a binary heap; parent of i is i/2. */
#include "dispatcher/reactor/timer.h"

#include <errno.h>
#include <stdlib.h>

static void timer_sift_up(struct timers *timers, uint32_t position, struct timer *timer);
static void timer_sift_down(struct timers *timers, uint32_t position, struct timer *timer);

int timers_reserve(struct timers *timers, uint32_t count)
{
    size_t count_max = (size_t)timers->count_max + count;
    struct timer **heap = realloc(timers->heap, (count_max + 1) * sizeof *heap);
    if (!heap)
        return -ENOMEM;
    timers->heap = heap;
    timers->count_max = (uint32_t)count_max;
    return 0;
}

void timers_unreserve(struct timers *timers, uint32_t count)
{
    mr_assert(timers->count_max >= timers->count + count);
    timers->count_max -= count;
}

void timers_finish(struct timers *timers)
{
    free(timers->heap);
    *timers = (struct timers){0};
}

void timer_set(struct timers *timers, struct timer *timer, uint64_t due_ms)
{
    if (timer->position == 0) {
        mr_assert(timers->count < timers->count_max);
        timers->count++;
        timer->due_ms = due_ms;
        timer_sift_up(timers, timers->count, timer);
        return;
    }
    mr_assert(timers->heap[timer->position] == timer);
    bool earlier = due_ms < timer->due_ms;
    timer->due_ms = due_ms;
    if (earlier)
        timer_sift_up(timers, timer->position, timer);
    else
        timer_sift_down(timers, timer->position, timer);
}

void timer_clear(struct timers *timers, struct timer *timer)
{
    uint32_t position = timer->position;
    if (position == 0)
        return;
    mr_assert(timers->heap[position] == timer);
    struct timer *last = timers->heap[timers->count--];
    timer->position = 0;
    if (last == timer)
        return;
    if (position > 1 && timers->heap[position / 2]->due_ms > last->due_ms)
        timer_sift_up(timers, position, last);
    else
        timer_sift_down(timers, position, last);
}

struct timer *timers_take(struct timers *timers, uint64_t now_ms)
{
    if (timers->count == 0 || timers->heap[1]->due_ms > now_ms)
        return NULL;
    struct timer *timer = timers->heap[1];
    timer_clear(timers, timer);
    return timer;
}

uint64_t timers_next_ms(const struct timers *timers)
{
    return timers->count > 0 ? timers->heap[1]->due_ms : UINT64_MAX;
}

static void timer_place(struct timers *timers, uint32_t position, struct timer *timer)
{
    timers->heap[position] = timer;
    timer->position = position;
}

static void timer_sift_up(struct timers *timers, uint32_t position, struct timer *timer)
{
    while (position > 1 && timers->heap[position / 2]->due_ms > timer->due_ms) {
        timer_place(timers, position, timers->heap[position / 2]);
        position /= 2;
    }
    timer_place(timers, position, timer);
}

static void timer_sift_down(struct timers *timers, uint32_t position, struct timer *timer)
{
    for (;;) {
        uint32_t child = position * 2;
        if (child > timers->count)
            break;
        if (child < timers->count && timers->heap[child + 1]->due_ms < timers->heap[child]->due_ms)
            child++;
        if (timers->heap[child]->due_ms >= timer->due_ms)
            break;
        timer_place(timers, position, timers->heap[child]);
        position = child;
    }
    timer_place(timers, position, timer);
}
