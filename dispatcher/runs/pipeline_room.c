/* SPDX-License-Identifier: MIT */
/*
 * pipeline_room.c - pipelines whose models do not all fit on a device take turns there: those that
 * nobody needs do not wait for room, and others go for those that somebody does.
 *
 * It is looked at while a worker waits, when something has happened to one, when a hold is over,
 * and every second. Who waits, and for what, is known to the workers (device_room.h); that a
 * pipeline is needed, and how it goes, is known here.
 */
#include <stdio.h>

#include "dispatcher/runs/pipeline_health.h"
#include "dispatcher/runs/runs.h"
#include "dispatcher/text/size_text.h"
#include "dispatcher/workers/device_room.h"
#include "dispatcher/workers/pool.h"
#include "dispatcher/workers/supervisor.h"

/* Who could not wait, and asks, has as long as Retry-After says at most. */
#define ASKED_MS 60000u

static void room_note(struct runs *runs);
static void room_let_idle(struct runs *runs);
static void room_make(struct runs *runs);
static void room_arm(struct runs *runs);

void runs_make_room(struct runs *runs)
{
    struct fleet *fleet = runs->fleet;
    if (!fleet->room_has_moved || fleet->is_stopping)
        return;
    fleet->room_has_moved = false;
    room_note(runs);
    room_let_idle(runs);
    supervisor_try_waiting(fleet);
    room_make(runs);
    room_arm(runs);
}

/* ---- what pipelines are to others ------------------------------------------------------------ */

static bool room_is_needed(const struct runs *runs, const struct pipeline *pipeline)
{
    bool was_asked =
        pipeline->asked_ms != 0 && runs->reactor->now_ms < pipeline->asked_ms + ASKED_MS;
    return pipeline->scaling.bounds.min > 0 || pipeline->user_count > 0 || was_asked;
}

/* Of one that another one follows nothing stays. */
static void room_note_one(const struct runs *runs, const struct pipeline *pipeline)
{
    struct pool_room *room = &pipeline->pool->room;
    bool stays = pipeline->phase == PHASE_SERVED || pipeline->phase == PHASE_COMING;
    room->least_count = stays ? pipeline->scaling.bounds.min : 0;
    room->is_busy = pipeline->user_count > 0;
    room->is_needed = pipeline->phase != PHASE_LEAVING && room_is_needed(runs, pipeline);
    room->may_go = pipeline->phase == PHASE_SERVED && pipeline->state == PIPELINE_READY &&
                   !pipeline->is_yielding &&
                   pipeline->pool->worker_count > pipeline->scaling.bounds.min;
}

static void room_note(struct runs *runs)
{
    for (uint32_t i = 0; i < runs->pipeline_count; i++)
        room_note_one(runs, runs->pipelines[i]);
    for (const struct pipeline *coming = runs->coming; coming; coming = coming->next)
        room_note_one(runs, coming);
    for (const struct pipeline *leaving = runs->leaving; leaving; leaving = leaving->next)
        room_note_one(runs, leaving);
}

/* One that nobody needs is loaded when somebody comes; and that it loads at all is shown then. */
static void room_let_idle_one(struct runs *runs, struct pipeline *pipeline)
{
    char reason[CGROUP_REASON_BYTES];
    bool can_go = pipeline->state != PIPELINE_FAILED && pipeline->state != PIPELINE_QUARANTINED &&
                  pipeline->state != PIPELINE_TRIAL && pipeline->state != PIPELINE_IDLE;
    if (pipeline->pool->room.is_needed || !can_go || device_room_count(pipeline->pool) > 0 ||
        pipeline->phase == PHASE_LEAVING || !pipeline_room_waiting(pipeline))
        return;
    log_event(&runs->reactor->log, LEVEL_INFO, "device_room_left",
              LOG_WORD("pipeline", pipeline->config->pointer));
    int rc = pipeline_scale_to(runs, pipeline, 0, reason);
    mr_assert(rc == 0); /* no place is added */
}

/* A reload waits for all workers of a pipeline that is coming, and nobody goes for more than those
 * that it needs: it has as many as there is room for beside the former ones. */
static void room_let_fewer(struct runs *runs, struct pipeline *coming)
{
    char reason[CGROUP_REASON_BYTES];
    const struct worker *worker = pipeline_room_waiting(coming);
    if (!worker || worker->number < coming->scaling.bounds.min || worker->number == 0 ||
        device_room_count(coming->pool) == 0)
        return;
    int rc = pipeline_scale_to(runs, coming, worker->number, reason);
    mr_assert(rc == 0); /* no place is added */
}

static void room_let_idle(struct runs *runs)
{
    for (uint32_t i = 0; i < runs->pipeline_count; i++)
        room_let_idle_one(runs, runs->pipelines[i]);
    for (struct pipeline *coming = runs->coming; coming; coming = coming->next) {
        room_let_idle_one(runs, coming);
        room_let_fewer(runs, coming);
    }
}

/* ---- who goes -------------------------------------------------------------------------------- */

/* Runs that its workers have are finished there; those that wait ask for it again, behind those who
 * wait already. */
static void room_unload(struct runs *runs, struct worker_pool *pool, const struct worker *who)
{
    struct pipeline *pipeline = pool->owner;
    const struct device *device = &who->device;
    uint64_t now_ms = runs->reactor->now_ms, used_ms = pool->room.used_ms;
    char reason[CGROUP_REASON_BYTES];
    pipeline->tally->swap_count++;
    log_event(&runs->reactor->log, LEVEL_INFO, "device_swap",
              LOG_WORD("pipeline", pipeline->config->pointer),
              LOG_WORD("for", who->pool->config->pointer),
              LOG_WORD("kind", device_kind_name((enum device_kind)device->kind)),
              LOG_NATURAL("index", device->index), LOG_NATURAL("runs", pool_active_count(pool)),
              LOG_NATURAL("queued", pipeline->queue_count),
              LOG_NATURAL("unused_ms", used_ms > 0 ? now_ms - used_ms : 0),
              LOG_NATURAL("waited_ms", now_ms - who->room_since_ms));
    int rc = pipeline_scale_to(runs, pipeline, pipeline->scaling.bounds.min, reason);
    mr_assert(rc == 0); /* no place is added */
    pool->room.may_go = false;
}

static uint64_t room_make_for(struct runs *runs, struct worker *worker)
{
    struct worker_pool *pools[ROOM_TENANT_COUNT_MAX];
    if (!worker->has_no_room || !device_room_is_in_line(worker))
        return UINT64_MAX;
    struct room_plan plan = device_room_plan(runs->fleet, worker, &worker->device, pools);
    if (plan.lacks_free && !device_room_is_seen(runs->fleet, &worker->device))
        return UINT64_MAX; /* what others used may be free by now, or others may go in vain */
    for (uint32_t i = 0; plan.state == ROOM_MADE && i < plan.victim_count; i++)
        room_unload(runs, pools[plan.victims[i]], worker);
    if (plan.lacks_free)
        device_room_look_again(runs->fleet, &worker->device);
    return plan.state == ROOM_LATER ? plan.look_ms : UINT64_MAX;
}

static void room_make(struct runs *runs)
{
    struct fleet *fleet = runs->fleet;
    fleet->room_look_ms = UINT64_MAX;
    for (struct worker *worker = device_room_next(fleet, NULL); worker;
         worker = device_room_next(fleet, worker)) {
        uint64_t look_ms = room_make_for(runs, worker);
        if (look_ms < fleet->room_look_ms)
            fleet->room_look_ms = look_ms;
    }
}

/* ---- when ------------------------------------------------------------------------------------ */

static void room_arm(struct runs *runs)
{
    struct fleet *fleet = runs->fleet;
    uint64_t due_ms = runs->reactor->now_ms + DEVICE_ROOM_LOOK_MS;
    if (fleet->room_look_ms < due_ms)
        due_ms = fleet->room_look_ms;
    if (fleet->room_has_moved)
        due_ms = runs->reactor->now_ms + 1; /* by what was done here */
    /* Who lacks a device has to wait for more than time. */
    if (device_room_next(fleet, NULL) || fleet->room_has_moved)
        timer_set(&runs->reactor->timers, &fleet->room_timer, due_ms);
}

/* ---- what is told ---------------------------------------------------------------------------- */

/* Of those who have some of the device, the one that has most; the others are counted. NULL: nobody
 * has. */
static const struct worker_pool *room_holder(const struct fleet *fleet, const struct worker *worker,
                                             uint32_t *other_count)
{
    const struct worker_pool *holder = NULL;
    uint64_t most = 0;
    *other_count = 0;
    for (uint32_t i = 0; i < fleet->pool_count; i++) {
        uint64_t bytes = device_room_held(fleet->pools[i], &worker->device);
        if (bytes == 0)
            continue;
        *other_count += most > 0;
        if (bytes > most) {
            most = bytes;
            holder = fleet->pools[i];
        }
    }
    return holder;
}

const struct worker *pipeline_room_waiting(const struct pipeline *pipeline)
{
    const struct worker *worker = device_room_waiting(pipeline->pool);
    return worker && worker->has_no_room ? worker : NULL;
}

void pipeline_room_words(const struct pipeline *pipeline, char words[LOAD_WORDS_BYTES])
{
    const struct worker *worker = pipeline_room_waiting(pipeline);
    const struct fleet *fleet = pipeline->pool->fleet;
    char size[SIZE_TEXT_BYTES];
    uint32_t other_count;
    words[0] = '\0';
    if (!worker)
        return;
    const struct worker_pool *holder = room_holder(fleet, worker, &other_count);
    if (worker->is_room_taken)
        holder = NULL;
    size_text(size, device_room_need(pipeline->pool, &worker->device));
    snprintf(words, LOAD_WORDS_BYTES, ": it waits for %s of %s device %u, %s%s%s (%llu s)", size,
             device_kind_name((enum device_kind)worker->device.kind), worker->device.index,
             holder ? "which is held by " : "of which others use too much",
             holder ? holder->config->pointer : "", holder && other_count > 0 ? " and others" : "",
             (unsigned long long)(fleet->reactor->now_ms - worker->room_since_ms) / 1000);
}

/* Until the first hold is over, and then what those before it, and it, take to load. */
uint64_t pipeline_room_left_ms(const struct pipeline *pipeline)
{
    const struct fleet *fleet = pipeline->pool->fleet;
    const struct worker *worker = pipeline_room_waiting(pipeline);
    uint64_t now_ms = fleet->reactor->now_ms, end_ms = UINT64_MAX, load_ms = 0;
    if (!worker)
        return pipeline->pool->start_ms;
    for (uint32_t i = 0; i < fleet->pool_count; i++) {
        const struct worker_pool *pool = fleet->pools[i];
        const struct worker *other = device_room_waiting(pool);
        uint64_t hold_end_ms = device_room_hold_end(pool, &worker->device);
        if (device_room_held(pool, &worker->device) > 0 && hold_end_ms < end_ms)
            end_ms = hold_end_ms;
        if (other && (other == worker || device_room_is_before(other, worker)))
            load_ms += pool->start_ms;
    }
    return load_ms + (end_ms != UINT64_MAX && end_ms > now_ms ? end_ms - now_ms : 0);
}
