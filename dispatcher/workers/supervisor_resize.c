/* SPDX-License-Identifier: MIT */
/* supervisor_resize.c - all workers together: those that are wanted are started, others go. */
#include <errno.h>
#include <string.h>

#include "dispatcher/workers/device_room.h"
#include "dispatcher/workers/output.h"
#include "dispatcher/workers/placement.h"
#include "dispatcher/workers/pool.h"
#include "dispatcher/workers/spawning.h"
#include "dispatcher/workers/supervisor.h"
#include "dispatcher/workers/template.h"
#include "dispatcher/workers/template_ask.h"
#include "dispatcher/workers/worker_kill.h"

/* Before the spawner is asked once more whether it can be asked. */
#define SPAWNER_WAIT_MS 10u
/* Likewise whether others have loaded, which wakes it; but there may be other limits by then. */
#define LOAD_WAIT_MS 1000u

static bool resize_may_load(const struct fleet *fleet, const struct worker *worker);
static void resize_lack_note(struct fleet *fleet, struct worker *worker, const char *reason);
static void resize_let_go(struct fleet *fleet, struct worker *worker);
static bool resize_is_left(const struct worker *worker);

void supervisor_start(struct fleet *fleet)
{
    spawning_hear(fleet);
    for (uint32_t i = 0; i < fleet->pool_count; i++)
        supervisor_resize(fleet, fleet->pools[i]);
}

static void resize_wait_for_loads(struct fleet *fleet, struct worker *worker)
{
    worker->waits_for_loads = true;
    timer_set(&fleet->reactor->timers, &worker->timer, fleet->reactor->now_ms + LOAD_WAIT_MS);
}

void supervisor_loads_go_on(struct fleet *fleet)
{
    for (uint32_t i = 0; i < fleet->worker_count; i++) {
        struct worker *worker = fleet->workers[i];
        if (worker && worker->waits_for_loads && worker->timer.position != 0)
            timer_set(&fleet->reactor->timers, &worker->timer, fleet->reactor->now_ms);
    }
}

static void resize_begin(struct fleet *fleet, struct worker *worker)
{
    device_room_take(worker);
    supervisor_event(fleet, worker, WORKER_EV_START, NULL);
}

void supervisor_start_or_wait(struct fleet *fleet, struct worker *worker)
{
    char reason[PLACEMENT_REASON_BYTES];
    if (worker->is_template && !template_may_start(fleet, worker))
        return;
    enum template_advice advice = template_advise(worker);
    if (advice == TEMPLATE_WAIT)
        return; /* template_wake() */
    if ((advice == TEMPLATE_NONE && !spawning_may_start(fleet)) ||
        !output_has_room(fleet, worker)) {
        timer_set(&fleet->reactor->timers, &worker->timer,
                  fleet->reactor->now_ms + SPAWNER_WAIT_MS);
        return;
    }
    worker->waits_for_loads = false;
    if (!resize_may_load(fleet, NULL)) {
        resize_wait_for_loads(fleet, worker);
        return;
    }
    int rc = placement_choose(fleet, worker, reason);
    worker->lacks_device = rc == -ENODEV;
    if (rc == -ENOSPC) {
        supervisor_event(fleet, worker->predecessor, WORKER_EV_STAY, NULL);
        return;
    }
    if (rc == 0 && !resize_may_load(fleet, worker))
        resize_wait_for_loads(fleet, worker);
    else if (rc == 0)
        resize_begin(fleet, worker);
    else if (worker->lacks_device)
        resize_lack_note(fleet, worker, reason);
}

void supervisor_resize(struct fleet *fleet, struct worker_pool *pool)
{
    if (!fleet->is_stopping)
        template_start(fleet, pool);
    for (uint32_t i = 0; i < pool->place_count; i++) {
        struct worker *worker = pool->places[i];
        if (worker->is_surplus)
            resize_let_go(fleet, worker);
        else if (resize_is_left(worker) && !fleet->is_stopping)
            supervisor_start_or_wait(fleet, worker);
        fleet->is_shrinking |= worker->is_surplus;
    }
    fleet->is_shrinking |= pool->template.worker && pool->template.worker->is_surplus;
    fleet->has_moved = fleet->room_has_moved = true;
    fleet->reactor->has_chores |= fleet->is_shrinking;
    fleet->ops->changed(fleet->owner, pool);
}

void supervisor_trim(struct fleet *fleet)
{
    bool is_shrinking = false;
    fleet->has_moved = false;
    for (uint32_t i = 0; i < fleet->pool_count; i++) {
        struct worker_pool *pool = fleet->pools[i];
        for (uint32_t k = 0; k < pool->place_count; k++)
            if (pool->places[k]->is_surplus)
                resize_let_go(fleet, pool->places[k]);
        struct worker *template = pool->template.worker;
        if (template && template->is_surplus && worker_has_process(template))
            resize_let_go(fleet, template);
        is_shrinking |= pool_trim(pool);
    }
    fleet->is_shrinking = is_shrinking;
}

/* Whether fewer load than may at once: of all, and on the device of a worker, if it is not NULL. */
static bool resize_may_load(const struct fleet *fleet, const struct worker *worker)
{
    const struct config *config = fleet->config;
    uint32_t count = 0, device_count = 0;
    bool is_on_device = worker && worker->has_device && config->device_load_count_max > 0;
    if (config->load_count_max == 0 && !is_on_device)
        return true;
    for (uint32_t i = 0; i < fleet->worker_count; i++) {
        const struct worker *other = fleet->workers[i];
        if (!other || !worker_loads(other->state))
            continue;
        count++;
        device_count +=
            is_on_device && other->has_device && device_is_same(&worker->device, &other->device);
    }
    return (config->load_count_max == 0 || count < config->load_count_max) &&
           (!is_on_device || device_count < config->device_load_count_max);
}

/* It has no device. It is started when that is there (on_devices_changed()); until then whoever
 * calls the pipeline is told why, if no other worker serves it. */
static void resize_lack_note(struct fleet *fleet, struct worker *worker, const char *reason)
{
    const struct worker_failure failure = {
        .type = ERROR_STARTUP, .message = reason, .message_bytes = strlen(reason)};
    start_failure_say(fleet, worker, reason);
    fleet->ops->lacks(fleet->owner, worker->pool, &failure);
}

void supervisor_judge(struct fleet *fleet)
{
    fleet->has_suspects = false;
    for (uint32_t i = 0; i < fleet->worker_count; i++) {
        struct worker *worker = fleet->workers[i];
        if (!worker)
            continue;
        const char *reason = worker->wrong;
        worker->wrong = NULL;
        if (reason)
            supervisor_event(fleet, worker, WORKER_EV_MISBEHAVED, reason);
        if (worker->state == WORKER_WARMING && worker->warm_up.state >= WARM_UP_DONE)
            supervisor_event(fleet, worker,
                             worker->warm_up.state == WARM_UP_DONE ? WORKER_EV_WARM
                                                                   : WORKER_EV_COLD,
                             "its warm-up failed");
    }
}

void supervisor_stop_idle(struct fleet *fleet)
{
    for (uint32_t i = 0; i < fleet->worker_count; i++)
        if (fleet->workers[i] && fleet->workers[i]->active_count == 0)
            supervisor_event(fleet, fleet->workers[i], WORKER_EV_STOP, "the server is stopping");
}

void supervisor_kill_all(struct fleet *fleet)
{
    for (uint32_t i = 0; i < fleet->worker_count; i++) {
        struct worker *worker = fleet->workers[i];
        if (!worker || worker->pid <= 0)
            continue;
        if (worker->state != WORKER_DYING)
            supervisor_event(fleet, worker, WORKER_EV_MISBEHAVED, "the server is stopping");
        else
            worker_kill_now(worker);
    }
}

uint32_t supervisor_live_count(const struct fleet *fleet)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < fleet->worker_count; i++)
        count += fleet->workers[i] && !pool_place_is_vacant(fleet->workers[i]);
    return count;
}

/* One that was ready for long enough works, also when nothing ran on it. Later that cannot be seen
 * any more, and when it is wanted again while it goes nobody is to take it for one that dies. */
static void resize_note_proof(const struct fleet *fleet, struct worker *worker)
{
    if (pool_proof_ms(worker) <= fleet->reactor->now_ms)
        worker->death_streak = 0;
}

/* A place that is not wanted: who has runs finishes them, whoever has none goes at once. */
static void resize_let_go(struct fleet *fleet, struct worker *worker)
{
    switch (worker->state) {
    case WORKER_EMPTY:
    case WORKER_SPARE:
        timer_clear(&fleet->reactor->timers, &worker->timer);
        device_room_forget(worker);
        break;
    case WORKER_READY:
        worker->end = WORKER_END_STOPPED; /* one that is OUTGOING has a reason already */
        resize_note_proof(fleet, worker);
        /* fall through */
    case WORKER_STARTING:
    case WORKER_LOADED:
    case WORKER_WARMING:
    case WORKER_OUTGOING:
        supervisor_event(fleet, worker,
                         worker->active_count > 0 ? WORKER_EV_RETIRE : WORKER_EV_STOP,
                         "the pipeline has fewer workers");
        break;
    case WORKER_SPAWNING: /* there is nobody to tell before the answer, which comes soon */
    case WORKER_RETIRING:
    case WORKER_STOPPING:
    case WORKER_DYING:
    case WORKER_STATE_COUNT:
        break;
    }
}

/* Nobody starts it: it is new, was surplus until now, or waits for a device. One that is being
 * reclaimed has its process still. */
static bool resize_is_left(const struct worker *worker)
{
    if (worker_has_process(worker))
        return false;
    bool is_called = worker->state == WORKER_SPARE && worker->predecessor;
    return (is_called || worker->state == WORKER_EMPTY) && worker->timer.position == 0;
}
