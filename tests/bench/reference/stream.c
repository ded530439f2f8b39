/* SPDX-License-Identifier: MIT */
/* stream.c - what one answer has to be, and what is due when. */
#include "tests/bench/reference/stream.h"

#include <stdlib.h>
#include <string.h>

#include "millrace/check.h"

const char *stream_text(size_t bytes)
{
    static char *text;
    static size_t room;
    if (bytes > room) {
        text = realloc(text, bytes);
        mr_assert(text);
        memset(text, 'x', bytes);
        room = bytes;
    }
    return text;
}

void due_add(struct due_queue *queue, struct due due)
{
    if (queue->count == queue->room) {
        queue->room = queue->room > 0 ? queue->room * 2 : 1024;
        queue->heap = realloc(queue->heap, queue->room * sizeof(queue->heap[0]));
        mr_assert(queue->heap);
    }
    size_t at = queue->count++;
    for (; at > 0 && due.time_ns < queue->heap[(at - 1) / 2].time_ns; at = (at - 1) / 2)
        queue->heap[at] = queue->heap[(at - 1) / 2];
    queue->heap[at] = due;
}

bool due_take(struct due_queue *queue, uint64_t now_ns, struct due *out)
{
    if (queue->count == 0 || queue->heap[0].time_ns > now_ns)
        return false;
    *out = queue->heap[0];
    struct due last = queue->heap[--queue->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < queue->count && queue->heap[child + 1].time_ns < queue->heap[child].time_ns)
            child++;
        if (child >= queue->count || queue->heap[child].time_ns >= last.time_ns)
            break;
        queue->heap[at] = queue->heap[child];
        at = child;
    }
    queue->heap[at] = last;
    return true;
}

int64_t due_wait_ns(const struct due_queue *queue, uint64_t now_ns)
{
    if (queue->count == 0)
        return -1;
    uint64_t time_ns = queue->heap[0].time_ns;
    return time_ns > now_ns ? (int64_t)(time_ns - now_ns) : 0;
}
