/* SPDX-License-Identifier: MIT */
/* output.c - what user code prints becomes log lines, within a rate bound. */
#include "dispatcher/workers/output.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "dispatcher/workers/fleet.h"
#include "shm/descriptors.h"

/* Lines a second of one worker; more are counted, not logged. */
#define OUTPUT_LINES_PER_S 200u

/* What a process printed last is read for so long at most. */
#define OUTPUT_GRACE_MS 200u

static void output_log_suppressed_of(struct fleet *fleet, struct worker *worker);
static void output_read(struct fleet *fleet, struct output *output, uint32_t which);
static void output_reads_go_on(struct fleet *fleet, struct output *output);
static void output_give_up(struct fleet *fleet, struct output *output);
static const char *output_only_run_id(const struct worker *worker, const struct output *output);
static void output_line_end(struct fleet *fleet, struct output *output, uint32_t which);
static uint32_t output_lines_take(struct fleet *fleet, struct output *output, uint32_t which,
                                  size_t count);

void output_log_suppressed(struct fleet *fleet)
{
    for (uint32_t i = 0; i < fleet->worker_count; i++)
        if (fleet->workers[i])
            output_log_suppressed_of(fleet, fleet->workers[i]);
}

void output_log(struct fleet *fleet, struct worker *worker, enum log_level level,
                const char *run_id, const char *stream, const char *text, size_t count)
{
    uint64_t second = fleet->reactor->now_ms / 1000;
    if (second != worker->log_second) {
        output_log_suppressed_of(fleet, worker);
        worker->log_second = second;
        worker->log_count = 0;
    }
    if (worker->log_count++ >= OUTPUT_LINES_PER_S) {
        /* Also a worker that is silent from now on has its count in the log. */
        if (worker->log_suppressed++ == 0)
            timer_set(&fleet->reactor->timers, &fleet->output_timer, fleet->reactor->now_ms + 1000);
        return;
    }
    log_event(&fleet->reactor->log, level, "output",
              LOG_WORD("pipeline", worker->pool->config->pointer), worker_log_field(worker),
              LOG_WORD("run", run_id), LOG_WORD("stream", stream), LOG_BYTES("text", text, count));
}

static void output_log_suppressed_of(struct fleet *fleet, struct worker *worker)
{
    if (worker->log_suppressed > 0)
        log_event(&fleet->reactor->log, LEVEL_WARNING, "output_suppressed",
                  LOG_WORD("pipeline", worker->pool->config->pointer), worker_log_field(worker),
                  LOG_NATURAL("lines", worker->log_suppressed));
    worker->log_suppressed = 0;
}

/* ---- pipes --------------------------------------------------------------------------------- */

struct output *output_of(struct worker *worker)
{
    return &worker->outputs[worker->generation & 1];
}

void output_begin(struct fleet *fleet, struct worker *worker)
{
    struct output *output = output_of(worker);
    mr_assert(output->busy_count == 0);
    output->generation = worker->generation;
    output->busy_count = 2;
    for (uint32_t i = 0; i < 2; i++) {
        output->pipes[i].line_count = 0;
        output->pipes[i].owed_bytes = 0;
        output->pipes[i].read_waits = false;
        output_read(fleet, output, i);
    }
}

void output_go_on(struct fleet *fleet, struct worker *worker)
{
    output_reads_go_on(fleet, output_of(worker));
}

void output_end(struct fleet *fleet, struct worker *worker)
{
    struct output *output = output_of(worker);
    output_reads_go_on(fleet, output);
    if (output->busy_count > 0)
        timer_set(&fleet->reactor->timers, &output->timer,
                  fleet->reactor->now_ms + OUTPUT_GRACE_MS);
}

void output_on_timer(struct fleet *fleet, struct output *output)
{
    output_give_up(fleet, output);
}

bool output_has_room(struct fleet *fleet, struct worker *worker)
{
    struct output *output = &worker->outputs[(worker->generation + 1) & 1];
    if (output->busy_count > 0)
        output_give_up(fleet, output);
    return output->busy_count == 0;
}

bool output_is_read(const struct worker *worker)
{
    return worker->outputs[0].busy_count + worker->outputs[1].busy_count > 0;
}

void output_close(struct output *output)
{
    for (uint32_t i = 0; i < 2; i++)
        descriptor_close(&output->pipes[i].fd);
}

/* The pipe's number and the output's travel in the lowest bits of the index. */
static struct uring_ref output_ref(const struct output *output, uint32_t which)
{
    uint32_t index = output->worker->index * 4 + (output->generation & 1) * 2 + which;
    return (struct uring_ref){URING_OUTPUT_PIPE, index, output->generation};
}

static void output_read(struct fleet *fleet, struct output *output, uint32_t which)
{
    struct output_pipe *pipe = &output->pipes[which];
    uring_read(fleet->reactor->uring, pipe->fd, pipe->bytes, sizeof(pipe->bytes),
               output_ref(output, which));
    pipe->read_queued = true;
    pipe->read_waits = false;
}

/* As soon as the process that prints may print more. One that has ended prints no more. */
static void output_read_paced(struct fleet *fleet, struct worker *worker, struct output *output,
                              uint32_t which, uint32_t cost)
{
    if (output->generation != worker->generation || !worker_has_process(worker) ||
        !noise_add(&worker->printing, fleet->reactor->now_ms, cost)) {
        output_read(fleet, output, which);
        return;
    }
    output->pipes[which].read_waits = true;
    fleet_noise_timer_set(fleet);
}

static void output_reads_go_on(struct fleet *fleet, struct output *output)
{
    for (uint32_t i = 0; i < 2; i++)
        if (output->pipes[i].read_waits)
            output_read(fleet, output, i);
}

/* The reads come back, and then the pipes are closed. */
static void output_give_up(struct fleet *fleet, struct output *output)
{
    timer_clear(&fleet->reactor->timers, &output->timer);
    for (uint32_t i = 0; i < 2; i++)
        if (output->pipes[i].read_queued)
            uring_cancel(fleet->reactor->uring, output_ref(output, i));
}

/* ---- lines --------------------------------------------------------------------------------- */

/* What is there already is counted. Where that is more than one read brings, and the next run ends
 * before it is read, what both wrote is of the first. */
void output_run_ends(struct fleet *fleet, struct worker *worker)
{
    struct output *output = output_of(worker);
    struct pollfd ready[2];
    const char *id = output_only_run_id(worker, output);
    if (!id)
        return;
    for (uint32_t i = 0; i < 2; i++)
        ready[i] = (struct pollfd){.fd = output->pipes[i].fd, .events = POLLIN};
    int ready_count = poll(ready, 2, 0);
    for (uint32_t i = 0; i < 2; i++) {
        struct output_pipe *pipe = &output->pipes[i];
        int count = 0;
        if (ready_count > 0 && ready[i].revents & POLLIN && ioctl(pipe->fd, FIONREAD, &count) == -1)
            count = 0;
        if (count == 0)
            output_line_end(fleet, output, i);
        else if (pipe->owed_bytes == 0)
            memcpy(pipe->owed_run_id, id, RUN_ID_BYTES);
        pipe->owed_bytes = (uint32_t)count;
    }
}

void output_on_read(struct fleet *fleet, const struct uring_event *event)
{
    uint32_t which = event->ref.index & 1;
    struct worker *worker = fleet->workers[event->ref.index / 4];
    struct output *output = &worker->outputs[event->ref.index >> 1 & 1];
    struct output_pipe *pipe = &output->pipes[which];
    mr_assert(output->generation == event->ref.generation);
    pipe->read_queued = false;
    if (event->result > 0) {
        uint32_t line_count = output_lines_take(fleet, output, which, (size_t)event->result);
        output_read_paced(fleet, worker, output, which,
                          NOISE_OUTPUT + line_count / NOISE_OUTPUT_LINES);
        return;
    }
    /* Closed by all who held it, or given up. */
    output_line_end(fleet, output, which);
    close(pipe->fd);
    pipe->fd = -1;
    if (--output->busy_count > 0)
        return;
    timer_clear(&fleet->reactor->timers, &output->timer);
    fleet->has_moved = true;
}

/* The one run of a worker that has one: what its process writes to descriptor 1 or 2 is this
 * run's. */
static const char *output_only_run_id(const struct worker *worker, const struct output *output)
{
    if (worker->concurrency != 1 || worker->active_count != 1 ||
        output->generation != worker->generation)
        return NULL;
    return worker->slots[0].run_id;
}

static void output_line_end(struct fleet *fleet, struct output *output, uint32_t which)
{
    struct worker *worker = output->worker;
    struct output_pipe *pipe = &output->pipes[which];
    if (pipe->line_count > 0)
        output_log(fleet, worker, LEVEL_INFO,
                   pipe->owed_bytes > 0 ? pipe->owed_run_id : output_only_run_id(worker, output),
                   which == 0 ? "stdout" : "stderr", pipe->line, pipe->line_count);
    pipe->line_count = 0;
}

/* Returns how many lines there were. */
static uint32_t output_lines_take(struct fleet *fleet, struct output *output, uint32_t which,
                                  size_t count)
{
    uint32_t line_count = 0;
    struct output_pipe *pipe = &output->pipes[which];
    for (size_t i = 0; i < count; i++) {
        bool is_end = pipe->bytes[i] == '\n';
        if (!is_end)
            pipe->line[pipe->line_count++] = pipe->bytes[i];
        if (is_end || pipe->line_count == sizeof(pipe->line) || pipe->owed_bytes == 1)
            line_count++, output_line_end(fleet, output, which);
        if (pipe->owed_bytes > 0)
            pipe->owed_bytes--;
    }
    return line_count;
}
