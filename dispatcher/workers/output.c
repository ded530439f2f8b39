/* SPDX-License-Identifier: MIT */
/* output.c - what user code prints becomes log lines, within a rate bound. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/loop/loop.h"
#include "dispatcher/workers/supervisor.h"

/* Lines a second of one worker; more are counted, not logged. */
#define OUTPUT_LINES_PER_S 200u

static void suppressed_say(struct loop *loop, struct worker *worker)
{
    if (worker->log_suppressed > 0)
        log_line(&loop->log, LEVEL_WARNING, "output_suppressed", "pipeline=%s worker=%u lines=%llu",
                 loop->pipelines[worker->pipeline_index].config->pointer, worker->number,
                 (unsigned long long)worker->log_suppressed);
    worker->log_suppressed = 0;
}

void supervisor_say_suppressed(struct loop *loop)
{
    for (uint32_t i = 0; i < loop->worker_count; i++)
        suppressed_say(loop, &loop->workers[i]);
}

void supervisor_log_output(struct loop *loop, struct worker *worker, enum log_level level,
                           const char *run_id, const char *stream, const char *text, size_t count)
{
    uint64_t second = loop->now_ms / 1000;
    if (second != worker->log_second) {
        suppressed_say(loop, worker);
        worker->log_second = second;
        worker->log_count = 0;
    }
    if (worker->log_count++ >= OUTPUT_LINES_PER_S) {
        /* Also a worker that is silent from now on has its count in the log. */
        if (worker->log_suppressed++ == 0)
            timer_set(&loop->timers, &loop->output_timer, loop->now_ms + 1000);
        return;
    }
    log_text(&loop->log, level, "output", text, count, "pipeline=%s worker=%u%s%s stream=%s",
             loop->pipelines[worker->pipeline_index].config->pointer, worker->number,
             run_id ? " run=" : "", run_id ? run_id : "", stream);
}

/* The one run of a worker that has one: what it writes to descriptor 1 or 2 is this run's. */
static const char *only_run_id(const struct loop *loop, const struct worker *worker)
{
    if (loop->config->concurrency != 1 || worker->active_count != 1)
        return NULL;
    return loop->runs[worker->slots[0].run_index].id;
}

static void line_end(struct loop *loop, struct worker *worker, uint32_t which)
{
    struct output_pipe *output = &worker->pipes[which];
    if (output->line_count == 0)
        return;
    supervisor_log_output(loop, worker, LEVEL_INFO, only_run_id(loop, worker),
                          which == 0 ? "stdout" : "stderr", output->line, output->line_count);
    output->line_count = 0;
}

static void lines_take(struct loop *loop, struct worker *worker, uint32_t which, size_t count)
{
    struct output_pipe *output = &worker->pipes[which];
    for (size_t i = 0; i < count; i++) {
        if (output->bytes[i] == '\n') {
            line_end(loop, worker, which);
            continue;
        }
        output->line[output->line_count++] = output->bytes[i];
        if (output->line_count == sizeof(output->line))
            line_end(loop, worker, which);
    }
}

void supervisor_on_output(struct loop *loop, const struct uring_event *event)
{
    uint32_t which = event->ref.index & 1;
    struct worker *worker = &loop->workers[event->ref.index / 2];
    struct output_pipe *output = &worker->pipes[which];
    mr_assert(worker->generation == event->ref.generation);
    output->read_queued = false;
    if (event->result > 0) {
        lines_take(loop, worker, which, (size_t)event->result);
        uring_read(loop->uring, output->fd, output->bytes, sizeof(output->bytes), event->ref);
        output->read_queued = true;
        return;
    }
    /* Closed by all who held it, or cancelled before the next process starts. */
    line_end(loop, worker, which);
    close(output->fd);
    output->fd = -1;
    worker->pipe_busy_count--;
}
