/* SPDX-License-Identifier: MIT */
/* scaling.c - how many workers a pipeline should have. */
#include "dispatcher/runs/scaling.h"

#include "millrace/check.h"

static uint32_t scaling_start_ms(const struct scaling_view *view);
static uint64_t scaling_from_ms(const struct scaling *scaling, const struct scaling_view *view);
static bool scaling_may_grow(const struct scaling *scaling, const struct scaling_view *view);
static bool scaling_is_worth_it(const struct scaling *scaling, const struct scaling_view *view,
                                uint64_t waited_ms);
static uint32_t scaling_more(const struct scaling *scaling, const struct scaling_view *view);
static uint32_t scaling_for(const struct scaling *scaling, uint32_t run_count);
static uint32_t scaling_enough(const struct scaling *scaling, const struct scaling_view *view,
                               uint64_t now_ms);
static uint64_t scaling_grow_ms(const struct scaling *scaling, const struct scaling_view *view,
                                uint64_t now_ms);

static const char *const texts[SCALING_REASON_COUNT] = {
    [SCALING_STAYS] = "nothing changes",
    [SCALING_ASKED] = "a run came, and there was no worker",
    [SCALING_WAITED] = "runs wait as long as a worker takes to start",
    [SCALING_UNNEEDED] = "fewer would have done for the idle time",
};

void scaling_set(struct scaling *scaling, const struct scaling_bounds *bounds, uint32_t wanted,
                 uint64_t now_ms)
{
    mr_assert(bounds->min <= bounds->max && bounds->max > 0 && bounds->max <= WORKER_COUNT_MAX);
    mr_assert(bounds->concurrency > 0 && wanted <= WORKER_COUNT_MAX);
    for (uint32_t i = scaling->wanted + 1; i <= wanted; i++)
        scaling->needed_ms[i] = now_ms;
    scaling->bounds = *bounds;
    scaling->wanted = wanted;
}

uint32_t scaling_clamp(const struct scaling_bounds *bounds, uint32_t wanted)
{
    return wanted < bounds->min ? bounds->min : wanted > bounds->max ? bounds->max : wanted;
}

void scaling_note_ready(struct scaling *scaling, bool is_first, uint64_t now_ms)
{
    scaling->from_ms = now_ms;
    for (uint32_t i = 1; is_first && i <= scaling->wanted; i++)
        scaling->needed_ms[i] = now_ms;
}

void scaling_note_failure(struct scaling *scaling, uint64_t now_ms)
{
    scaling->from_ms = now_ms + SCALING_AGAIN_MS;
}

struct scaling_decision scaling_decide(const struct scaling *scaling,
                                       const struct scaling_view *view, uint64_t now_ms)
{
    struct scaling_decision decision = {.wanted = scaling->wanted};
    if (scaling_may_grow(scaling, view)) {
        uint64_t from_ms = scaling_from_ms(scaling, view);
        uint64_t waited_ms = now_ms > from_ms ? now_ms - from_ms : 0;
        bool is_first = scaling->wanted == 0;
        decision.ms =
            view->queue_count > 0 && now_ms > view->first_ms ? now_ms - view->first_ms : 0;
        if (is_first && now_ms >= scaling->from_ms)
            decision.reason = SCALING_ASKED;
        else if (!is_first && scaling_is_worth_it(scaling, view, waited_ms))
            decision.reason = SCALING_WAITED;
        if (decision.reason != SCALING_STAYS)
            decision.wanted = scaling_more(scaling, view);
        return decision;
    }
    uint32_t enough = scaling_enough(scaling, view, now_ms);
    if (enough < scaling->wanted)
        decision = (struct scaling_decision){.reason = SCALING_UNNEEDED,
                                             .wanted = enough,
                                             .ms = now_ms - scaling->needed_ms[scaling->wanted]};
    return decision;
}

uint64_t scaling_look_ms(const struct scaling *scaling, const struct scaling_view *view,
                         uint64_t now_ms)
{
    uint64_t look_ms = scaling_grow_ms(scaling, view, now_ms);
    if (!scaling_has_spare(scaling) || scaling->bounds.idle_ms == 0 ||
        scaling_for(scaling, view->run_count) >= scaling->wanted)
        return look_ms;
    uint64_t shrink_ms = scaling->needed_ms[scaling->wanted] + scaling->bounds.idle_ms;
    return shrink_ms < look_ms ? shrink_ms : look_ms;
}

const char *scaling_reason_text(enum scaling_reason reason)
{
    return reason < SCALING_REASON_COUNT ? texts[reason] : "?";
}

static uint32_t scaling_start_ms(const struct scaling_view *view)
{
    uint32_t ms = view->start_ms > 0 ? view->start_ms : SCALING_START_MS;
    if (ms < SCALING_START_MS_MIN)
        return SCALING_START_MS_MIN;
    return ms > SCALING_START_MS_MAX ? SCALING_START_MS_MAX : ms;
}

/* Since when the first run waits with all workers there that were wanted. */
static uint64_t scaling_from_ms(const struct scaling *scaling, const struct scaling_view *view)
{
    return view->first_ms > scaling->from_ms ? view->first_ms : scaling->from_ms;
}

static bool scaling_may_grow(const struct scaling *scaling, const struct scaling_view *view)
{
    if (scaling->wanted == 0)
        return view->queue_count > 0 || view->is_asked;
    return view->queue_count > 0 && scaling->wanted < scaling->bounds.max &&
           view->absent_count == 0;
}

/* A run has waited as long as a start takes, which would be over by now; or half as long, and those
 * that wait need longer than that, at the pace of the last ones, to be through without it. */
static bool scaling_is_worth_it(const struct scaling *scaling, const struct scaling_view *view,
                                uint64_t waited_ms)
{
    uint32_t start_ms = scaling_start_ms(view);
    if (waited_ms >= start_ms)
        return true;
    double needed_ms = view->service_ms * view->queue_count / scaling->wanted;
    return waited_ms >= start_ms / 2 && needed_ms > start_ms;
}

/* As many as the runs that there are need, but at most twice as many as there were. */
static uint32_t scaling_more(const struct scaling *scaling, const struct scaling_view *view)
{
    uint32_t more = scaling_for(scaling, view->run_count);
    if (more > 2 * scaling->wanted)
        more = 2 * scaling->wanted;
    if (more <= scaling->wanted)
        more = scaling->wanted + 1;
    return scaling_clamp(&scaling->bounds, more);
}

/* How many are left when those have gone that were not needed for the idle time. */
static uint32_t scaling_enough(const struct scaling *scaling, const struct scaling_view *view,
                               uint64_t now_ms)
{
    const struct scaling_bounds *bounds = &scaling->bounds;
    uint32_t needed = scaling_clamp(bounds, scaling_for(scaling, view->run_count));
    uint32_t enough = scaling->wanted;
    while (bounds->idle_ms > 0 && enough > needed &&
           now_ms >= scaling->needed_ms[enough] + bounds->idle_ms)
        enough--;
    return enough;
}

/* Workers for so many runs at once. */
static uint32_t scaling_for(const struct scaling *scaling, uint32_t run_count)
{
    uint32_t concurrency = scaling->bounds.concurrency;
    return run_count / concurrency + (run_count % concurrency > 0);
}

/* At each quarter of a start from the half on. */
static uint64_t scaling_grow_ms(const struct scaling *scaling, const struct scaling_view *view,
                                uint64_t now_ms)
{
    if (scaling->wanted > 0 && view->absent_count > 0 && view->queue_count > 0 &&
        scaling->wanted < scaling->bounds.max)
        return now_ms + SCALING_AGAIN_MS;
    if (!scaling_may_grow(scaling, view))
        return UINT64_MAX;
    if (scaling->wanted == 0)
        return now_ms > scaling->from_ms ? now_ms : scaling->from_ms;
    uint64_t from_ms = scaling_from_ms(scaling, view);
    uint32_t start_ms = scaling_start_ms(view);
    uint64_t look_ms = from_ms + start_ms / 2;
    while (look_ms <= now_ms && look_ms < from_ms + start_ms)
        look_ms += start_ms / 4;
    return look_ms > now_ms ? look_ms : now_ms + start_ms / 4;
}
