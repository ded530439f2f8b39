/* SPDX-License-Identifier: MIT */
/* worker_exit.c - what is known of a process that has ended, in words. */
#include "dispatcher/workers/worker_exit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/workers/fleet.h"
#include "millrace/protocol.h"

static void exit_describe_signal(const struct worker *worker, int number, bool dumped, char *text,
                                 size_t text_bytes);
static void exit_log_crash(struct fleet *fleet, const struct worker *worker);
static void exit_log_where(struct fleet *fleet, struct worker *worker);
static enum worker_end exit_end_of(const struct worker *worker, const siginfo_t *info);

void worker_exit_describe(struct fleet *fleet, struct worker *worker, const siginfo_t *info,
                          char *text, size_t text_bytes)
{
    bool is_signal = info->si_code != CLD_EXITED;
    bool is_kill = is_signal && info->si_status == SIGKILL;
    /* Looked at whenever a process ends: what was counted is of this one, not of the next. */
    bool is_over_limit = worker->group && cgroup_has_killed(worker->group) && is_kill;
    if (worker->state == WORKER_DYING && !is_over_limit) {
        snprintf(text, text_bytes, "the worker process was killed: %s", worker->kill_reason);
        if (worker->is_asked_where)
            exit_log_where(fleet, worker);
        return;
    }
    /* Those that count for all have those of one worker in them. */
    worker->was_oom = (is_kill && oom_watch_look(&fleet->oom)) || is_over_limit;
    worker->end = exit_end_of(worker, info);
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
    crash_read(&worker->crash, &worker->channel.segment.header->crash, info->si_status);
    exit_describe_signal(worker, info->si_status, info->si_code == CLD_DUMPED, text, text_bytes);
    bool is_told = worker->ready_ms == 0 && repeats_has(&worker->pool->start_failures, text);
    if (worker->crash.number != 0 && !is_told)
        exit_log_crash(fleet, worker);
}

void worker_exit_log(struct fleet *fleet, struct worker *worker, enum log_level level,
                     const char *reason)
{
    uint64_t count = 0;
    if (worker->ready_ms == 0 && !worker->has_said_why && level == LEVEL_WARNING &&
        !worker->is_template)
        count = repeats_note(&worker->pool->start_failures, reason, strlen(reason), NULL, 0);
    if (worker->is_repeating || !repeats_is_said(count) || worker->is_template)
        level = LEVEL_DEBUG;
    log_event(&fleet->reactor->log, level, "worker_exit",
              LOG_WORD("pipeline", worker->pool->config->pointer), worker_log_field(worker),
              LOG_NATURAL("runs", worker->active_count),
              count > 0 ? LOG_NATURAL("same_as_before", count) : LOG_NOTHING,
              LOG_TEXT("reason", reason));
}

/* A line of a crash report, without its end. */
struct exit_line {
    const char *text;
    int bytes; /* 0: there is none */
};

/* The line that begins here; one without an end is none. */
static struct exit_line exit_line_at(const struct crash_report *crash, size_t at)
{
    const char *text = crash->text + at;
    const char *end = at < crash->text_count ? memchr(text, '\n', crash->text_count - at) : NULL;
    return (struct exit_line){text, end ? (int)(end - text) : 0};
}

static bool exit_line_begins(struct exit_line line, const char *word, size_t bytes)
{
    return (size_t)line.bytes > bytes && memcmp(line.text, word, bytes) == 0;
}

/* The innermost frame of the pipeline's own object, from `first` on, which says more to its author
 * than the library in which it ended; there may be none. */
static struct exit_line exit_own_frame(const struct worker *worker, struct exit_line first)
{
    const char *source = worker->pool->config->source;
    const char *slash = strrchr(source, '/');
    const char *name = slash ? slash + 1 : source;
    size_t bytes = strlen(name);
    struct exit_line line = first;
    while (line.bytes > 0) {
        if (exit_line_begins(line, name, bytes) && line.text[bytes] == '+')
            break;
        line =
            exit_line_at(&worker->crash, (size_t)(line.text - worker->crash.text + line.bytes + 1));
    }
    return line;
}

/* "killed by signal 11 (SIGSEGV) at address 0x0 in libc.so.6+0x9d0 from words.so+0x1139 next+0x9",
 * "killed by signal 6 (SIGABRT) in words.so+0x1139 next+0x9: uncaught std::bad_alloc" */
static void exit_describe_signal(const struct worker *worker, int number, bool dumped, char *text,
                                 size_t text_bytes)
{
    const struct crash_report *crash = &worker->crash;
    char address[32] = "", sender[32] = "";
    struct exit_line why = exit_line_at(crash, 0), first = why;
    if (exit_line_begins(why, CRASH_UNCAUGHT, sizeof CRASH_UNCAUGHT - 1))
        first = exit_line_at(crash, (size_t)why.bytes + 1);
    else
        why.bytes = 0;
    struct exit_line own = exit_own_frame(worker, first);
    if (own.bytes > 0 && number == SIGABRT)
        first = own; /* how libraries abort is the same each time */
    if (own.text == first.text)
        own.bytes = 0;
    if (crash->is_fault)
        snprintf(address, sizeof(address), " at address 0x%llx",
                 (unsigned long long)crash->address);
    if (crash->sender != 0)
        snprintf(sender, sizeof(sender), ", sent by process %u", crash->sender);
    snprintf(text, text_bytes,
             "the worker process was killed by signal %d (SIG%s)%s%s%s%s%.*s%s%.*s%s%.*s", number,
             sigabbrev_np(number), dumped ? ", core dumped" : "", sender, address,
             first.bytes > 0 ? " in " : "", first.bytes, first.text, own.bytes > 0 ? " from " : "",
             own.bytes, own.text, why.bytes > 0 ? ": " : "", why.bytes, why.text);
}

static void exit_log_crash(struct fleet *fleet, const struct worker *worker)
{
    const struct crash_report *crash = &worker->crash;
    size_t text_count = fleet->config->tracebacks != TRACEBACKS_OFF ? crash->text_count : 0;
    log_event(&fleet->reactor->log, LEVEL_ERROR, "worker_crash",
              LOG_WORD("pipeline", worker->pool->config->pointer), worker_log_field(worker),
              LOG_INTEGER("pid", worker->pid), LOG_INTEGER("signal", crash->number),
              LOG_HEX("address", crash->address), LOG_NATURAL("sender", crash->sender),
              LOG_BYTES("text", crash->text, text_count));
}

/* The run that was told to end and did not, where there is one. */
static const char *exit_hung_run_id(const struct worker *worker)
{
    for (uint32_t i = 0; i < worker->concurrency; i++)
        if (worker->slots[i].run && worker->slots[i].is_cancelled)
            return worker->slots[i].run_id;
    return NULL;
}

static void exit_log_where(struct fleet *fleet, struct worker *worker)
{
    struct crash_report *crash = &worker->crash;
    crash_read(crash, &worker->channel.segment.header->crash, WORKER_SIGNAL_WHERE);
    if (crash->text_count == 0 || fleet->config->tracebacks == TRACEBACKS_OFF)
        return;
    log_event(&fleet->reactor->log, LEVEL_ERROR, "worker_hung",
              LOG_WORD("pipeline", worker->pool->config->pointer), worker_log_field(worker),
              LOG_INTEGER("pid", worker->pid), LOG_WORD("run", exit_hung_run_id(worker)),
              LOG_BLOCK("traceback", crash->text, crash->text_count));
}

/* What became of a process that nobody killed. */
static enum worker_end exit_end_of(const struct worker *worker, const siginfo_t *info)
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
