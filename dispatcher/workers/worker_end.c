/* SPDX-License-Identifier: MIT */
/* worker_end.c - the ends of processes, named and described. */
#include "dispatcher/workers/worker_end.h"

#include <stdio.h>
#include <string.h>

#include "dispatcher/server/loop.h"

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
    if (event != WORKER_EV_TIMEOUT)
        return WORKER_END_CORRUPT;
    bool is_start = state == WORKER_STARTING || state == WORKER_LOADED;
    return is_start ? WORKER_END_START_TIMEOUT : WORKER_END_STOP_TIMEOUT;
}

/* "killed by signal 11 (SIGSEGV) at address 0x0 in words.so+0x1139 words_next+0x9" */
static void signal_describe(const struct crash_report *crash, int number, bool dumped, char *text,
                            size_t text_bytes)
{
    char address[32] = "", sender[32] = "";
    const char *end = memchr(crash->text, '\n', crash->text_count);
    int frame_count = end ? (int)(end - crash->text) : 0;
    if (crash->is_fault)
        snprintf(address, sizeof(address), " at address 0x%llx",
                 (unsigned long long)crash->address);
    if (crash->sender != 0)
        snprintf(sender, sizeof(sender), ", sent by process %u", crash->sender);
    snprintf(text, text_bytes, "the worker process was killed by signal %d (SIG%s)%s%s%s%s%.*s",
             number, sigabbrev_np(number), dumped ? ", core dumped" : "", sender, address,
             frame_count > 0 ? " in " : "", frame_count, crash->text);
}

static void crash_log(struct loop *loop, const struct worker *worker)
{
    const struct crash_report *crash = &worker->crash;
    log_text(&loop->reactor.log, LEVEL_ERROR, "worker_crash", crash->text, crash->text_count,
             "pipeline=%s worker=%u pid=%d signal=%d address=0x%llx sender=%u",
             loop->pipelines[worker->pipeline_index].config->pointer, worker->number,
             (int)worker->pid, crash->number, (unsigned long long)crash->address, crash->sender);
}

/* What became of a process that nobody killed. */
static enum worker_end end_of(const struct worker *worker, const siginfo_t *info)
{
    if (worker->was_oom)
        return WORKER_END_OOM;
    if (info->si_code != CLD_EXITED)
        return WORKER_END_CRASHED;
    if (info->si_status == 0 && worker->state == WORKER_RETIRING)
        return worker->end;
    if (info->si_status == 0 && worker->state == WORKER_STOPPING)
        return WORKER_END_STOPPED;
    return worker->has_said_why ? WORKER_END_FAILED : WORKER_END_EXITED;
}

void worker_end_describe(struct loop *loop, struct worker *worker, const siginfo_t *info,
                         char *text, size_t text_bytes)
{
    bool is_signal = info->si_code != CLD_EXITED;
    bool is_kill = is_signal && info->si_status == SIGKILL;
    /* Looked at whenever a process ends: what was counted is of this one, not of the next. */
    bool is_over_limit = worker->group && cgroup_has_killed(worker->group) && is_kill;
    if (worker->state == WORKER_DYING && !is_over_limit) {
        snprintf(text, text_bytes, "the worker process was killed: %s", worker->kill_reason);
        return;
    }
    /* Those that count for all have those of one worker in them. */
    worker->was_oom = (is_kill && oom_watch_look(&loop->oom)) || is_over_limit;
    worker->end = end_of(worker, info);
    if (!is_signal) {
        snprintf(text, text_bytes, "the worker process exited with code %d", info->si_status);
        return;
    }
    if (is_over_limit) {
        snprintf(text, text_bytes,
                 "the worker process was killed by signal 9 (SIGKILL): it needed more than its "
                 "limit of %llu MiB of memory",
                 (unsigned long long)worker->group->bytes_max >> 20);
        return;
    }
    if (worker->was_oom) {
        snprintf(text, text_bytes,
                 "the worker process was killed by signal 9 (SIGKILL): the kernel's OOM killer");
        return;
    }
    crash_read(&worker->crash, &worker->segment.header->crash, info->si_status);
    signal_describe(&worker->crash, info->si_status, info->si_code == CLD_DUMPED, text, text_bytes);
    if (worker->crash.number != 0)
        crash_log(loop, worker);
}
