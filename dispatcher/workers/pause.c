/* SPDX-License-Identifier: MIT */
/* pause.c - pausing, and going on. */
#include "dispatcher/workers/pause.h"

#include "dispatcher/workers/fleet.h"
#include "dispatcher/workers/output.h"
#include "dispatcher/workers/worker_start.h"

static void pause_log(struct fleet *fleet, struct worker *worker);

void pause_count(struct fleet *fleet, struct worker *worker, uint32_t cost)
{
    if (!noise_add(&worker->noise, fleet->reactor->now_ms, cost) || worker->is_paused ||
        !worker_has_process(worker))
        return;
    worker->is_paused = true;
    fleet->pause_count++;
    worker_unwatch(fleet, worker);
    fleet_noise_timer_set(fleet);
    pause_log(fleet, worker);
}

/* One bell for records that are good for a run is as it should be. */
void pause_count_bells(struct fleet *fleet, struct worker *worker, uint32_t record_count)
{
    uint32_t records = worker->noise_records, bells = worker->bells_heard;
    worker->noise_records = worker->bells_heard = 0;
    if (bells > 0 && record_count > records)
        bells--;
    if (bells + records > 0)
        pause_count(fleet, worker, bells * NOISE_BELL + records * NOISE_RECORD);
}

void pause_on_timer(struct fleet *fleet)
{
    for (uint32_t i = 0; i < fleet->worker_count; i++) {
        struct worker *worker = fleet->workers[i];
        if (!worker)
            continue;
        output_go_on(fleet, worker);
        if (!worker->is_paused)
            continue;
        worker->is_paused = false;
        worker_rewatch(fleet, worker);
    }
}

/* Once for each process. */
static void pause_log(struct fleet *fleet, struct worker *worker)
{
    if (worker->is_noisy)
        return;
    worker->is_noisy = true;
    log_event(&fleet->reactor->log, LEVEL_WARNING, "worker_noisy",
              LOG_WORD("pipeline", worker->pool->config->pointer), worker_log_field(worker),
              LOG_INTEGER("pid", worker->pid));
}
