/* SPDX-License-Identifier: MIT */
/* worker_end.c - the ends of processes, named. */
#include "dispatcher/workers/worker_end.h"

#include <stdbool.h>

static const char *const names[WORKER_END_COUNT] = {
    [WORKER_END_CRASHED] = "crashed",
    [WORKER_END_EXITED] = "exited",
    [WORKER_END_FAILED] = "failed",
    [WORKER_END_OOM] = "oom",
    [WORKER_END_START_TIMEOUT] = "start_timeout",
    [WORKER_END_STOP_TIMEOUT] = "stop_timeout",
    [WORKER_END_HUNG] = "hung",
    [WORKER_END_CORRUPT] = "corrupt",
    [WORKER_END_RECYCLED_RUNS] = "recycled_runs",
    [WORKER_END_RECYCLED_MEMORY] = "recycled_memory",
    [WORKER_END_RECYCLED_DEVICE] = "recycled_device",
    [WORKER_END_RENEWED] = "renewed",
    [WORKER_END_DEVICE_LOST] = "device_lost",
    [WORKER_END_NOT_STARTED] = "not_started",
    [WORKER_END_STOPPED] = "stopped",
};

const char *worker_end_name(enum worker_end end)
{
    return end < WORKER_END_COUNT ? names[end] : "?";
}

enum worker_end worker_end_of_kill(enum worker_state state, enum worker_event event)
{
    if (event == WORKER_EV_HUNG)
        return WORKER_END_HUNG;
    if (event == WORKER_EV_STOP)
        return WORKER_END_STOPPED;
    if (event == WORKER_EV_DEVICE_LOST)
        return WORKER_END_DEVICE_LOST;
    if (event == WORKER_EV_COLD)
        return WORKER_END_FAILED;
    if (event != WORKER_EV_TIMEOUT)
        return WORKER_END_CORRUPT;
    bool is_start = state == WORKER_STARTING || state == WORKER_LOADED || state == WORKER_WARMING;
    return is_start ? WORKER_END_START_TIMEOUT : WORKER_END_STOP_TIMEOUT;
}
