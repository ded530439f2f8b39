/* SPDX-License-Identifier: MIT */
/* renewal.c - pool after pool, and in each of them worker after worker. */
#include "dispatcher/workers/renewal.h"

#include <stdio.h>

#include "dispatcher/workers/device_room.h"
#include "dispatcher/workers/pool.h"
#include "dispatcher/workers/supervisor.h"
#include "dispatcher/workers/template.h"

static bool renewal_mark(struct fleet *fleet, struct worker *worker);
static bool renewal_move(struct fleet *fleet);
static bool renewal_leave(struct fleet *fleet, struct worker_pool *pool);
static struct worker_pool *renewal_next(const struct fleet *fleet);
static bool renewal_is_owed(const struct worker_pool *pool);
static bool renewal_is_awaited(const struct fleet *fleet, const struct worker_pool *pool);
static void renewal_enter(struct fleet *fleet, struct worker_pool *pool);
static void renewal_replace(struct fleet *fleet, struct worker_pool *pool);
static void renewal_undo(struct fleet *fleet, const struct worker_pool *pool);
static void renewal_fail(struct fleet *fleet);
static void renewal_give_up(struct fleet *fleet, const char *reason);
static void renewal_end(struct fleet *fleet);

void renewal_begin(struct fleet *fleet, const struct worker_pool *pool)
{
    struct renewal *renewal = &fleet->renewal;
    uint32_t stale_count = 0;
    for (uint32_t i = 0; i < fleet->worker_count; i++)
        if (fleet->workers[i] && (!pool || fleet->workers[i]->pool == pool))
            stale_count += renewal_mark(fleet, fleet->workers[i]);
    for (uint32_t i = 0; i < fleet->pool_count; i++)
        if (!pool || fleet->pools[i] == pool)
            template_renew(fleet, fleet->pools[i]);
    *renewal = (struct renewal){.is_on = true,
                                .pool = renewal->pool, /* in the middle of its turn */
                                .has_gone = renewal->has_gone,
                                .gone_index = renewal->gone_index,
                                .began_ms = fleet->reactor->now_ms};
    fleet->reactor->has_chores = true;
    log_event(&fleet->reactor->log, LEVEL_INFO, "renewal_begin",
              LOG_NATURAL("workers", stale_count));
}

/* True: it is one of those whose turn will come. */
static bool renewal_mark(struct fleet *fleet, struct worker *worker)
{
    if (worker->is_template)
        return false; /* another one takes its place at once */
    worker->is_stale = worker->state != WORKER_EMPTY && worker->state != WORKER_SPARE;
    if (worker->state == WORKER_EMPTY && worker->timer.position != 0)
        timer_set(&fleet->reactor->timers, &worker->timer, fleet->reactor->now_ms);
    return worker->is_stale && !worker->is_surplus;
}

void renewal_step(struct fleet *fleet)
{
    uint32_t move_count_max = 4 * (fleet->pool_count + 1);
    for (uint32_t i = 0; i < move_count_max && fleet->renewal.is_on; i++)
        if (!renewal_move(fleet))
            return;
}

void renewal_stop(struct fleet *fleet)
{
    struct renewal *renewal = &fleet->renewal;
    if (renewal->is_on)
        renewal_give_up(fleet, "the server stops");
    renewal->is_on = false;
}

/* Its own words say more than how its process ended. */
void renewal_note_failure(struct fleet *fleet, const struct worker *worker, const char *reason)
{
    struct renewal *renewal = &fleet->renewal;
    bool has_gone = renewal->has_gone && worker->index == renewal->gone_index;
    bool is_successor = (worker->predecessor || has_gone) && worker->ready_ms == 0;
    if (renewal->is_on && renewal->pool == worker->pool && is_successor)
        snprintf(renewal->failure, sizeof renewal->failure, "%s",
                 worker->has_said_why ? worker->failure_words : reason);
}

void renewal_note_success(struct fleet *fleet, const struct worker *predecessor)
{
    fleet->renewal.replaced_count += predecessor->end == WORKER_END_RENEWED;
}

/* False: what is to come next comes with an event. */
static bool renewal_move(struct fleet *fleet)
{
    struct renewal *renewal = &fleet->renewal;
    struct worker_pool *pool = renewal->pool;
    if (pool && (pool->is_leaving || (!renewal_is_owed(pool) && !renewal_is_awaited(fleet, pool))))
        return renewal_leave(fleet, pool);
    if (renewal->failure[0] != '\0') {
        renewal_fail(fleet);
        return true;
    }
    if (pool) {
        renewal_replace(fleet, pool);
        return false;
    }
    pool = renewal_next(fleet);
    if (pool)
        renewal_enter(fleet, pool);
    else
        renewal_end(fleet);
    return true;
}

/* Its turn is over, also when it is removed itself: then its places go without us. False: the last
 * one that was replaced is not gone. */
static bool renewal_leave(struct fleet *fleet, struct worker_pool *pool)
{
    if (!pool->is_leaving && !pool_extra_remove(pool))
        return false;
    fleet->renewal.pool = NULL;
    fleet->renewal.has_gone = false;
    fleet->renewal.failure[0] = '\0'; /* of nobody whose turn it was */
    return true;
}

static struct worker_pool *renewal_next(const struct fleet *fleet)
{
    for (uint32_t i = 0; i < fleet->pool_count; i++)
        if (renewal_is_owed(fleet->pools[i]))
            return fleet->pools[i];
    return NULL;
}

/* Whether a process that is to be replaced is left in it. */
static bool renewal_is_owed(const struct worker_pool *pool)
{
    for (uint32_t i = 0; i < pool->place_count; i++)
        if (pool->places[i]->is_stale && !pool->places[i]->is_surplus)
            return true;
    return false;
}

static void renewal_enter(struct fleet *fleet, struct worker_pool *pool)
{
    struct renewal *renewal = &fleet->renewal;
    char reason[CGROUP_REASON_BYTES];
    renewal->pool = pool;
    /* One that is there is of a configuration before, and in use; it stays until this is over. */
    if (!pool->config->options.recycle_overlap && !pool->has_extra &&
        pool_extra_add(pool, reason) < 0)
        snprintf(renewal->failure, sizeof renewal->failure, "no place for a successor: %.200s",
                 reason);
}

/* Whether one had to go first, and what follows in its place is not ready. */
static bool renewal_is_awaited(const struct fleet *fleet, const struct worker_pool *pool)
{
    const struct renewal *renewal = &fleet->renewal;
    const struct worker *worker =
        renewal->has_gone ? fleet->workers[renewal->gone_index] : NULL; /* NULL: it was removed */
    return worker && worker->pool == pool && !worker->is_surplus && !worker_serves(worker);
}

/* Without room for a successor beside it, it goes first; and the next one when it was followed. */
static void renewal_let_go(struct fleet *fleet, struct worker *worker)
{
    struct renewal *renewal = &fleet->renewal;
    renewal->has_gone = true;
    renewal->gone_index = worker->index;
    renewal->replaced_count++;
    supervisor_event(fleet, worker, WORKER_EV_RETIRE, "it is to be renewed");
}

/* Those that start or go are waited for: who follows them is new. */
static void renewal_replace(struct fleet *fleet, struct worker_pool *pool)
{
    if (renewal_is_awaited(fleet, pool))
        return;
    for (uint32_t i = 0; i < pool->place_count && pool_spare(pool); i++) {
        struct worker *worker = pool->places[i];
        if (!worker->is_stale || worker->state != WORKER_READY)
            continue;
        worker->end = WORKER_END_RENEWED;
        if (!device_room_has_beside(fleet, worker)) {
            renewal_let_go(fleet, worker);
            return;
        }
        supervisor_event(fleet, worker, WORKER_EV_HAND_OVER, "it is to be renewed");
    }
}

/* Who waits for a successor that did not start goes on without one. */
static void renewal_undo(struct fleet *fleet, const struct worker_pool *pool)
{
    for (uint32_t i = 0; i < pool->place_count; i++)
        if (pool->places[i]->state == WORKER_OUTGOING)
            supervisor_event(fleet, pool->places[i], WORKER_EV_STAY, NULL);
}

/* Nothing more is replaced. What was replaced stays so: its successors serve. */
static void renewal_fail(struct fleet *fleet)
{
    struct renewal *renewal = &fleet->renewal;
    uint32_t left_count = 0;
    renewal_undo(fleet, renewal->pool);
    for (uint32_t i = 0; i < fleet->worker_count; i++) {
        struct worker *worker = fleet->workers[i];
        if (!worker)
            continue;
        left_count += worker->is_stale && !worker->is_surplus;
        worker->is_stale = false;
    }
    log_event(&fleet->reactor->log, LEVEL_ERROR, "renewal_failed",
              LOG_WORD("pipeline", renewal->pool->config->pointer),
              LOG_NATURAL("replaced", renewal->replaced_count), LOG_NATURAL("left", left_count),
              LOG_TEXT("reason", renewal->failure));
    renewal->left_count = left_count;
    renewal_give_up(fleet, renewal->failure);
    renewal->failure[0] = '\0';
    renewal->has_gone = false;
}

static void renewal_give_up(struct fleet *fleet, const char *reason)
{
    struct renewal *renewal = &fleet->renewal;
    snprintf(renewal->reason, sizeof renewal->reason, "%s", reason);
    renewal->has_failed = true;
    renewal->ended_ms = fleet->reactor->now_ms;
}

static void renewal_end(struct fleet *fleet)
{
    struct renewal *renewal = &fleet->renewal;
    renewal->ended_ms = fleet->reactor->now_ms;
    if (!renewal->has_failed)
        log_event(&fleet->reactor->log, LEVEL_INFO, "renewal_end",
                  LOG_NATURAL("replaced", renewal->replaced_count),
                  LOG_NATURAL("ms", fleet->reactor->now_ms - renewal->began_ms));
    renewal->is_on = false;
}
