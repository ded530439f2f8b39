/* SPDX-License-Identifier: MIT */
/* fleet.c - lookups among all workers. */
#include "dispatcher/workers/fleet.h"

struct worker *fleet_worker(const struct fleet *fleet, struct uring_ref ref)
{
    mr_assert(ref.index < fleet->worker_count);
    struct worker *worker = fleet->workers[ref.index];
    return worker && worker->generation == ref.generation ? worker : NULL;
}

bool fleet_has_process(const void *context, pid_t pid)
{
    const struct fleet *fleet = context;
    for (uint32_t i = 0; i < fleet->worker_count; i++)
        if (fleet->workers[i] && fleet->workers[i]->pid == pid)
            return true;
    return false;
}

void fleet_noise_timer_set(struct fleet *fleet)
{
    uint64_t window = fleet->reactor->now_ms / NOISE_WINDOW_MS;
    timer_set(&fleet->reactor->timers, &fleet->noise_timer, (window + 1) * NOISE_WINDOW_MS);
}

void fleet_collect_calls(const struct fleet *fleet)
{
    for (uint32_t i = 0; i < fleet->worker_count; i++) {
        struct worker *worker = fleet->workers[i];
        if (worker && worker->pool->calls)
            channel_collect_calls(&worker->channel, worker->pool->calls);
    }
}

uint64_t fleet_unfinished_bytes(const struct fleet *fleet)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < fleet->pool_count; i++)
        bytes += fleet->pools[i]->unfinished.bytes;
    return bytes;
}
