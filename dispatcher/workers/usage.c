/* SPDX-License-Identifier: MIT */
/* usage.c - memory from /proc, processor time from the clock of a process. */
#include "dispatcher/workers/usage.h"

#include <stddef.h>
#include <time.h>

#include "dispatcher/workers/fleet.h"
#include "dispatcher/workers/recycle.h"

#define NS_PER_S UINT64_C(1000000000)

static bool usage_is_due(const struct fleet *fleet, const struct worker *worker);
static void usage_read(struct worker_usage *usage, const struct worker *worker, uint64_t now_ms);

void usage_look(struct fleet *fleet)
{
    uint32_t looks = 0;
    for (uint32_t i = 0; i < fleet->worker_count && looks < USAGE_LOOKS_MAX; i++) {
        fleet->usage_next = (fleet->usage_next + 1) % fleet->worker_count;
        struct worker *worker = fleet->workers[fleet->usage_next];
        if (!worker || !usage_is_due(fleet, worker))
            continue;
        usage_read(&worker->usage, worker, fleet->reactor->now_ms);
        looks++;
    }
}

const struct worker_usage *usage_of(const struct worker *worker)
{
    const struct worker_usage *usage = &worker->usage;
    if (!worker_has_process(worker) || usage->generation != worker->generation)
        return NULL;
    return usage->is_known ? usage : NULL;
}

static bool usage_is_due(const struct fleet *fleet, const struct worker *worker)
{
    const struct worker_usage *usage = &worker->usage;
    return worker_has_process(worker) &&
           (usage->generation != worker->generation || usage->looked_ms == 0 ||
            fleet->reactor->now_ms >= usage->looked_ms + USAGE_LOOK_MS);
}

/* A process that has just ended has neither. */
static void usage_read(struct worker_usage *usage, const struct worker *worker, uint64_t now_ms)
{
    struct timespec used;
    clockid_t clock;
    *usage = (struct worker_usage){.generation = worker->generation, .looked_ms = now_ms};
    if (clock_getcpuclockid(worker->pid, &clock) != 0 || clock_gettime(clock, &used) == -1)
        return;
    usage->cpu_ns = (uint64_t)used.tv_sec * NS_PER_S + (uint64_t)used.tv_nsec;
    usage->resident_bytes = recycle_resident_bytes(worker->pid);
    usage->is_known = usage->resident_bytes > 0;
}
