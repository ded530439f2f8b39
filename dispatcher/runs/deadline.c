/* SPDX-License-Identifier: MIT */
/* deadline.c - which limit a run reaches next. */
#include "dispatcher/runs/deadline.h"

#include <stdio.h>

#include "millrace/check.h"

struct earliest {
    enum deadline_kind kind;
    uint64_t due_ms;
};

static void deadline_consider(struct earliest *earliest, enum deadline_kind kind, uint64_t from_ms,
                              uint32_t limit_ms);
static uint64_t deadline_later(uint64_t a, uint64_t b);

enum deadline_kind deadline_next(const struct deadline_view *view,
                                 const struct deadline_limits *limits, uint64_t *due_ms)
{
    struct earliest earliest = {DEADLINE_NONE, UINT64_MAX};
    if (view->state == RUN_CANCELLING) {
        earliest = (struct earliest){DEADLINE_GRACE, view->cancelled_ms + limits->grace_ms};
    } else if (view->state == RUN_QUEUED) {
        deadline_consider(&earliest, DEADLINE_QUEUE, view->queued_ms, limits->queue_ms);
    } else if (view->state == RUN_ACTIVE) {
        uint64_t sign_ms =
            deadline_later(deadline_later(view->started_ms, view->last_chunk_ms), view->alive_ms);
        if (view->last_chunk_ms == 0)
            deadline_consider(&earliest, DEADLINE_FIRST_CHUNK, view->started_ms,
                              limits->first_chunk_ms);
        if (!view->waits_for_client)
            deadline_consider(&earliest, DEADLINE_PROGRESS, sign_ms, limits->progress_ms);
    }
    if (run_is_live(view->state)) {
        deadline_consider(&earliest, DEADLINE_TOTAL, view->created_ms, limits->total_ms);
        deadline_consider(&earliest, DEADLINE_KEEPALIVE, view->last_line_ms, limits->keepalive_ms);
    }
    *due_ms = earliest.due_ms;
    return earliest.kind;
}

void deadline_message(enum deadline_kind kind, const struct deadline_limits *limits, char *text,
                      size_t text_bytes)
{
    switch (kind) {
    case DEADLINE_QUEUE:
        snprintf(text, text_bytes,
                 "the run waited %.3g s for a worker, its limit; it never started",
                 limits->queue_ms / 1000.0);
        return;
    case DEADLINE_FIRST_CHUNK:
        snprintf(text, text_bytes, "no chunk came within %.3g s, the limit for the first one",
                 limits->first_chunk_ms / 1000.0);
        return;
    case DEADLINE_PROGRESS:
        snprintf(text, text_bytes, "the run made no progress for %.3g s, its limit",
                 limits->progress_ms / 1000.0);
        return;
    case DEADLINE_TOTAL:
        snprintf(text, text_bytes, "the run took longer than %.3g s, its limit",
                 limits->total_ms / 1000.0);
        return;
    case DEADLINE_NONE:
    case DEADLINE_KEEPALIVE:
    case DEADLINE_GRACE:
    case DEADLINE_KIND_COUNT:
        mr_unreachable("a limit clients are told of");
    }
}

static void deadline_consider(struct earliest *earliest, enum deadline_kind kind, uint64_t from_ms,
                              uint32_t limit_ms)
{
    if (limit_ms == 0 || from_ms + limit_ms >= earliest->due_ms)
        return;
    earliest->kind = kind;
    earliest->due_ms = from_ms + limit_ms;
}

static uint64_t deadline_later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}
