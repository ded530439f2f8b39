/* SPDX-License-Identifier: MIT */
/* room.c - the rule by which models take turns on a device. */
#include "dispatcher/workers/room.h"

#include "millrace/check.h"

/* Never below 0: what is free changes by others, too. */
static uint64_t room_less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* What is lacking by what was promised. Those that are about to go count as there. */
static uint64_t room_lack(const struct room_view *view, uint64_t reserved_bytes)
{
    return room_less(reserved_bytes + view->ahead_bytes + view->need_bytes, view->total_bytes);
}

/* What is lacking by what is really free. */
static uint64_t room_lack_free(const struct room_view *view)
{
    if (view->free_bytes == ROOM_FREE_UNKNOWN || view->need_free_bytes == 0)
        return 0;
    return room_less(view->untaken_bytes + view->ahead_bytes + view->need_free_bytes,
                     view->free_bytes);
}

static bool room_goes_before(const struct room_tenant *a, const struct room_tenant *b)
{
    if (a->is_busy != b->is_busy)
        return b->is_busy;
    return a->used_ms < b->used_ms;
}

static bool room_is_chosen(const struct room_plan *plan, uint32_t index)
{
    for (uint32_t i = 0; i < plan->victim_count; i++)
        if (plan->victims[i] == index)
            return true;
    return false;
}

/* The next one to go; NULL: nobody else may. */
static const struct room_tenant *room_next(const struct room_view *view,
                                           const struct room_plan *plan, uint64_t now_ms,
                                           uint32_t *index)
{
    const struct room_tenant *next = NULL;
    for (uint32_t i = 0; i < view->count; i++) {
        const struct room_tenant *tenant = &view->tenants[i];
        if (tenant->bytes == 0 || now_ms < tenant->hold_end_ms || room_is_chosen(plan, i) ||
            (next && !room_goes_before(tenant, next)))
            continue;
        next = tenant;
        *index = i;
    }
    return next;
}

/* Where a large one has to go, the smaller ones that were to go before may not need to. */
static void room_spare(const struct room_view *view, struct room_plan *plan, uint64_t surplus)
{
    for (uint32_t i = plan->victim_count; i-- > 0;) {
        uint64_t bytes = view->tenants[plan->victims[i]].bytes;
        if (bytes > surplus)
            continue;
        surplus -= bytes;
        plan->victim_count--;
        for (uint32_t k = i; k < plan->victim_count; k++)
            plan->victims[k] = plan->victims[k + 1];
    }
}

/* True: those that may go now are enough. */
static bool room_choose(const struct room_view *view, struct room_plan *plan, uint64_t lack,
                        uint64_t now_ms)
{
    uint64_t bytes = 0;
    uint32_t index;
    while (bytes < lack) {
        const struct room_tenant *next = room_next(view, plan, now_ms, &index);
        if (!next)
            return false;
        bytes += next->bytes;
        plan->victims[plan->victim_count++] = index;
        plan->rank = next->used_ms;
    }
    room_spare(view, plan, bytes - lack);
    return true;
}

/* When the first hold is over; UINT64_MAX: none is left. */
static uint64_t room_hold_end(const struct room_view *view, uint64_t now_ms)
{
    uint64_t end_ms = UINT64_MAX;
    for (uint32_t i = 0; i < view->count; i++)
        if (view->tenants[i].bytes > 0 && view->tenants[i].hold_end_ms > now_ms &&
            view->tenants[i].hold_end_ms < end_ms)
            end_ms = view->tenants[i].hold_end_ms;
    return end_ms;
}

struct room_plan room_plan(const struct room_view *view, uint64_t now_ms)
{
    struct room_plan plan = {.state = ROOM_NEVER};
    mr_assert(view->count <= ROOM_TENANT_COUNT_MAX);
    mr_assert(view->lasting_bytes + view->leaving_bytes <= view->reserved_bytes);
    if (view->total_bytes == 0 || view->lasting_bytes + view->need_bytes > view->total_bytes)
        return plan;
    uint64_t lack = room_lack(view, view->reserved_bytes), lack_free = room_lack_free(view);
    uint64_t lack_then = room_lack(view, view->reserved_bytes - view->leaving_bytes);
    plan.lacks_free = lack_free > 0;
    /* What loads now, or goes, changes what is free: it is looked at again then. */
    bool is_moving = view->untaken_bytes > 0 || view->leaving_bytes > 0 || view->is_settling;
    bool is_taken = !is_moving && lack_free > view->reserved_bytes - view->lasting_bytes;
    if (lack_then < lack_free && !is_moving)
        lack_then = lack_free;
    if (lack == 0 && lack_free == 0 && !view->is_settling)
        plan.state = ROOM_THERE;
    else if (lack_then == 0)
        plan.state = ROOM_COMES;
    else if (room_choose(view, &plan, lack_then, now_ms))
        plan.state = ROOM_MADE;
    else {
        plan.victim_count = 0;
        plan.look_ms = plan.rank = room_hold_end(view, now_ms);
        plan.state = is_taken ? ROOM_TAKEN : plan.look_ms == UINT64_MAX ? ROOM_FULL : ROOM_LATER;
    }
    return plan;
}

bool room_plan_is_better(const struct room_plan *plan, const struct room_plan *other)
{
    return plan->state != other->state ? plan->state < other->state : plan->rank < other->rank;
}
