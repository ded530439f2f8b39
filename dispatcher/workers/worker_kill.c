/* SPDX-License-Identifier: MIT */
/* worker_kill.c - questions before SIGKILL, and SIGKILL. */
#include "dispatcher/workers/worker_kill.h"

#include <signal.h>
#include <stdio.h>

#include "dispatcher/config/mps.h"
#include "dispatcher/workers/fleet.h"
#include "dispatcher/workers/placement.h"
#include "dispatcher/workers/worker.h"
#include "millrace/protocol.h"

/* What a process that hangs has to say where; on a busy machine that is a few milliseconds. */
#define LAST_WORDS_MS 500u
/* One that cannot even die, as long as its driver hangs, is looked at so often. */
#define STUCK_MS 1000u

/* Not reaped yet, so neither the process nor the group can be anyone else's. */
void worker_kill_now(const struct worker *worker)
{
    kill(-worker->pid, SIGKILL);
    kill(worker->pid, SIGKILL);
}

static void kill_finally(struct fleet *fleet, struct worker *worker)
{
    worker->is_killed = true;
    worker_kill_now(worker);
    timer_set(&fleet->reactor->timers, &worker->timer, fleet->reactor->now_ms + STUCK_MS);
}

/* It keeps its place, and has no device in it that is of any use: whoever waits for its successor
 * is to know. */
static void kill_stuck_look(struct fleet *fleet, struct worker *worker)
{
    static const char reason[] =
        "no device for the worker: its device is lost, and the process before cannot end";
    timer_set(&fleet->reactor->timers, &worker->timer, fleet->reactor->now_ms + STUCK_MS);
    if (worker->lacks_device || !placement_is_lost(fleet, worker))
        return;
    worker->lacks_device = true;
    log_event(&fleet->reactor->log, LEVEL_ERROR, "worker_stuck",
              LOG_WORD("pipeline", worker->pool->config->pointer), worker_log_field(worker),
              LOG_INTEGER("pid", worker->pid));
    fleet->ops->lacks(fleet->owner, worker->pool,
                      &(struct worker_failure){.type = ERROR_STARTUP,
                                               .message = reason,
                                               .message_bytes = sizeof reason - 1});
}

/* Who takes too long to answer is killed without an answer. */
static void kill_after_mps(struct fleet *fleet, struct worker *worker)
{
    if (worker->is_asked_where) {
        kill(worker->pid, WORKER_SIGNAL_WHERE);
        timer_set(&fleet->reactor->timers, &worker->timer, fleet->reactor->now_ms + LAST_WORDS_MS);
        return;
    }
    kill_finally(fleet, worker);
}

/* True: MPS is being asked. */
static bool kill_mps_begin(const struct fleet *fleet, struct worker *worker)
{
    char folder[PATH_MAX];
    return fleet->config->allow_mps && worker->has_device && worker->device.kind == DEVICE_CUDA &&
           mps_is_on(worker->pool->config, folder) &&
           mps_end_begin(&worker->mps_end, worker->pid, folder, fleet->reactor->now_ms) == 0;
}

static void kill_look_later(struct fleet *fleet, struct worker *worker)
{
    timer_set(&fleet->reactor->timers, &worker->timer, fleet->reactor->now_ms + MPS_END_LOOK_MS);
}

void worker_kill(struct fleet *fleet, struct worker *worker, const char *reason,
                 bool is_asked_where)
{
    fleet->killed_count++;
    snprintf(worker->kill_reason, sizeof(worker->kill_reason), "%s", reason);
    log_event(&fleet->reactor->log, worker->is_repeating ? LEVEL_DEBUG : LEVEL_WARNING,
              "worker_kill", LOG_WORD("pipeline", worker->pool->config->pointer),
              worker_log_field(worker), LOG_INTEGER("pid", worker->pid),
              LOG_TEXT("reason", reason));
    worker->is_asked_where = is_asked_where;
    worker->is_killed = false;
    if (kill_mps_begin(fleet, worker))
        kill_look_later(fleet, worker);
    else
        kill_after_mps(fleet, worker);
}

void worker_kill_on_timer(struct fleet *fleet, struct worker *worker)
{
    enum mps_result result;
    if (worker->is_killed) {
        kill_stuck_look(fleet, worker);
        return;
    }
    if (!mps_end_is_under_way(&worker->mps_end)) {
        kill_finally(fleet, worker);
        return;
    }
    if (!mps_end_look(&worker->mps_end, fleet->reactor->now_ms, &result)) {
        kill_look_later(fleet, worker);
        return;
    }
    log_event(&fleet->reactor->log, result == MPS_ENDED ? LEVEL_INFO : LEVEL_WARNING,
              "mps_terminate", LOG_WORD("pipeline", worker->pool->config->pointer),
              worker_log_field(worker), LOG_INTEGER("pid", worker->pid),
              LOG_WORD("result", mps_result_name(result)));
    kill_after_mps(fleet, worker);
}
