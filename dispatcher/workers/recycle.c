/* SPDX-License-Identifier: MIT */
/* recycle.c - the policy of retiring workers. */
#include "dispatcher/workers/recycle.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dispatcher/server/loop.h"

/* /proc is read at most so often for one worker. */
#define MEMORY_LOOK_MS 200u

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

static bool is_too_large(struct loop *loop, struct worker *worker)
{
    uint64_t limit = loop->config->recycle_bytes;
    if (limit == 0 || loop->reactor.now_ms < worker->memory_ms + MEMORY_LOOK_MS)
        return false;
    worker->memory_ms = loop->reactor.now_ms;
    return recycle_resident_bytes(worker->pid) > limit;
}

static void retire(struct loop *loop, struct worker *worker, enum worker_end end,
                   const char *reason)
{
    worker->end = end;
    supervisor_event(loop, worker, WORKER_EV_RETIRE, reason);
}

/* Where its successor may start beside it, it serves until that is ready. There is one place for
 * that: while it is taken, the next run asks again. */
static void hand_over(struct loop *loop, struct worker *worker, enum worker_end end,
                      const char *reason)
{
    if (!loop->config->recycle_overlap) {
        retire(loop, worker, end, reason);
    } else if (worker->state == WORKER_READY && supervisor_spare(loop, worker)) {
        worker->end = end;
        supervisor_event(loop, worker, WORKER_EV_HAND_OVER, reason);
    }
}

void recycle_after_run(struct loop *loop, struct worker *worker, const struct run_failure *failure)
{
    uint32_t run_count_max = loop->config->recycle_run_count;
    worker->run_count++;
    if (!worker_serves(worker))
        return;
    if (failure && (failure->type == ERROR_CUDA || failure->type == ERROR_CUDA_OOM))
        retire(loop, worker, WORKER_END_RECYCLED_DEVICE, "its device is in an unknown state");
    else if (run_count_max > 0 && worker->run_count >= run_count_max)
        hand_over(loop, worker, WORKER_END_RECYCLED_RUNS, "it ran as many runs as it may");
    else if (is_too_large(loop, worker))
        hand_over(loop, worker, WORKER_END_RECYCLED_MEMORY, "it grew above its memory limit");
}
