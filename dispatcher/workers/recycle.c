/* SPDX-License-Identifier: MIT */
/* recycle.c - the policy of retiring workers. */
#include "dispatcher/workers/recycle.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dispatcher/workers/device_room.h"
#include "dispatcher/workers/fleet.h"
#include "dispatcher/workers/pool.h"

/* /proc is read at most so often for one worker. */
#define MEMORY_LOOK_MS 200u

static bool recycle_is_too_large(const struct fleet *fleet, struct worker *worker);

uint64_t recycle_resident_bytes(pid_t pid)
{
    char path[32], text[64];
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return 0;
    ssize_t count = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (count <= 0)
        return 0;
    text[count] = '\0';
    char *second;
    strtoull(text, &second, 10); /* the first number is the size of the address space */
    return strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

enum device_policy recycle_policy(const struct worker *worker, enum error_type type)
{
    const struct pipeline_options *options = &worker->pool->config->options;
    if (type == ERROR_CUDA)
        return (enum device_policy)options->on_cuda_error;
    if (type == ERROR_CUDA_OOM)
        return (enum device_policy)options->on_cuda_oom;
    return type == ERROR_OOM ? (enum device_policy)options->on_oom : DEVICE_POLICY_KEEP;
}

bool recycle_is_due(struct fleet *fleet, struct worker *worker, enum device_policy policy,
                    struct worker_said *out)
{
    const struct pipeline_options *options = &worker->pool->config->options;
    if (!worker_serves(worker))
        return false;
    if (policy != DEVICE_POLICY_KEEP) {
        worker->end = WORKER_END_RECYCLED_DEVICE;
        *out = (struct worker_said){.event = WORKER_EV_RETIRE,
                                    .reason = "its device is in an unknown state"};
        return true;
    }
    if (worker->state == WORKER_OUTGOING)
        return false; /* it is being replaced */
    enum worker_end end = WORKER_END_RECYCLED_RUNS;
    const char *reason = "it ran as many runs as it may";
    if (options->recycle_run_count == 0 || worker->run_count < options->recycle_run_count) {
        end = WORKER_END_RECYCLED_MEMORY;
        reason = "it grew above its memory limit";
        if (!recycle_is_too_large(fleet, worker))
            return false;
    }
    /* Where its successor may start beside it, it serves until that is ready. There is one place
     * for that: while it is taken, the next run asks again. */
    bool is_overlap = options->recycle_overlap && device_room_has_beside(fleet, worker);
    if (is_overlap && !pool_spare(worker->pool))
        return false;
    worker->end = end;
    *out = (struct worker_said){.event = is_overlap ? WORKER_EV_HAND_OVER : WORKER_EV_RETIRE,
                                .reason = reason};
    return true;
}

static bool recycle_is_too_large(const struct fleet *fleet, struct worker *worker)
{
    uint64_t limit = worker->pool->config->options.recycle_bytes;
    uint64_t now_ms = fleet->reactor->now_ms;
    if (limit == 0 || now_ms < worker->memory_ms + MEMORY_LOOK_MS)
        return false;
    worker->memory_ms = now_ms;
    return recycle_resident_bytes(worker->pid) > limit;
}
