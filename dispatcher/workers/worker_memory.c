/* SPDX-License-Identifier: MIT */
/* worker_memory.c - the control groups of workers whose pipeline has a limit. */
#include "dispatcher/workers/worker_memory.h"

#include <stdio.h>
#include <unistd.h>

#include "dispatcher/server/loop.h"

int worker_memory_prepare(struct loop *loop, char reason[CGROUP_REASON_BYTES])
{
    const struct config *config = loop->config;
    uint32_t limited = 0;
    for (uint32_t i = 0; i < config->pipeline_count; i++)
        limited += config->pipelines[i].confinement.memory_bytes_max > 0;
    if (limited == 0)
        return 0;
    int rc = cgroup_find(loop->group_folder, reason);
    return rc < 0 ? rc : cgroup_prepare(loop->group_folder, reason);
}

int worker_memory_init(struct loop *loop, char reason[CGROUP_REASON_BYTES])
{
    for (uint32_t i = 0; i < loop->worker_count; i++) {
        struct worker *worker = &loop->workers[i];
        const struct pipeline_config *pipeline = loop->pipelines[worker->pipeline_index].config;
        uint64_t bytes_max = pipeline->confinement.memory_bytes_max;
        char name[64];
        snprintf(name, sizeof(name), "millrace-%d-%u-%u", (int)getpid(), worker->pipeline_index,
                 worker->number);
        int rc = bytes_max == 0
                     ? 0
                     : cgroup_create(&worker->group, loop->group_folder, name, bytes_max, reason);
        if (rc < 0)
            return rc;
    }
    return 0;
}
