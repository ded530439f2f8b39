/* SPDX-License-Identifier: MIT */
/* worker_kill.c - questions before SIGKILL, and SIGKILL. */
#include "dispatcher/workers/worker_kill.h"

#include <signal.h>
#include <stdio.h>

#include "dispatcher/config/mps.h"
#include "dispatcher/workers/fleet.h"
#include "dispatcher/workers/worker.h"
#include "millrace/protocol.h"

/* What a process that hangs has to say where; on a busy machine that is a few milliseconds. */
#define LAST_WORDS_MS 500u

/* Not reaped yet, so neither the process nor the group can be anyone else's. */
void worker_kill_now(const struct worker *worker)
{
    kill(-worker->pid, SIGKILL);
    kill(worker->pid, SIGKILL);
}

/* Who takes too long to answer is killed without an answer. */
static void kill_after_mps(struct fleet *fleet, struct worker *worker)
{
    if (worker->is_asked_where) {
        kill(worker->pid, WORKER_SIGNAL_WHERE);
        timer_set(&fleet->reactor->timers, &worker->timer, fleet->reactor->now_ms + LAST_WORDS_MS);
        return;
    }
    timer_clear(&fleet->reactor->timers, &worker->timer);
    worker_kill_now(worker);
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
    if (kill_mps_begin(fleet, worker))
        kill_look_later(fleet, worker);
    else
        kill_after_mps(fleet, worker);
}

void worker_kill_on_timer(struct fleet *fleet, struct worker *worker)
{
    enum mps_result result;
    if (!mps_end_is_under_way(&worker->mps_end)) {
        worker_kill_now(worker);
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
