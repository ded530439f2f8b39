/* SPDX-License-Identifier: MIT */
/* supervisor.c - the actions of worker_fsm: processes are started, heard, ended and reclaimed. */
#include "dispatcher/workers/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dispatcher/loop/loop.h"
#include "dispatcher/workers/messages.h"
#include "dispatcher/workers/worker_spawn.h"
#include "millrace/protocol.h"

#define PIPES_GRACE_MS 200u
/* A process that ends closes its socket first; one that only closes its socket is of no use. */
#define HANG_UP_GRACE_MS 500u

static struct pipeline *pipeline_of(struct loop *loop, const struct worker *worker)
{
    return &loop->pipelines[worker->pipeline_index];
}

static struct uring_ref ref_of(const struct worker *worker, enum uring_op op)
{
    return (struct uring_ref){op, worker->index, worker->generation};
}

/* ---- starting ------------------------------------------------------------------------------ */

/* The ends of the channels that the child gets; closed here once it runs. */
struct child_ends {
    int bell, socket, stdout_fd, stderr_fd;
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void child_ends_close(struct child_ends *ends)
{
    close_fd(&ends->bell);
    close_fd(&ends->socket);
    close_fd(&ends->stdout_fd);
    close_fd(&ends->stderr_fd);
}

static int pipe_open(int *read_end, int *write_end, int flags)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | flags) == -1)
        return -errno;
    *read_end = ends[0];
    *write_end = ends[1];
    return 0;
}

static int channels_open(struct worker *worker, struct child_ends *ends)
{
    int pair[2];
    /* We write to the worker's bell, so our end has flags of its own: it never blocks, whatever the
     * worker does to its end. The flags of an eventfd would be the worker's to change. */
    int rc = pipe_open(&ends->bell, &worker->bell_fd, O_NONBLOCK);
    if (rc < 0)
        return rc;
    worker->own_bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (worker->own_bell_fd == -1)
        return -errno;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1)
        return -errno;
    worker->socket = pair[0];
    ends->socket = pair[1];
    rc = pipe_open(&worker->pipes[0].fd, &ends->stdout_fd, 0);
    if (rc == 0)
        rc = pipe_open(&worker->pipes[1].fd, &ends->stderr_fd, 0);
    return rc;
}

static void channels_close(struct worker *worker)
{
    worker->news = 0; /* the bell goes with the segment, and so does its ring */
    worker->is_full = false;
    close_fd(&worker->bell_fd);
    close_fd(&worker->own_bell_fd);
    close_fd(&worker->socket);
    close_fd(&worker->pidfd);
    segment_detach(&worker->segment);
    worker->segment.fd = -1;
}

static void pipe_read(struct loop *loop, struct worker *worker, uint32_t which)
{
    struct output_pipe *output = &worker->pipes[which];
    /* The pipe's number travels in the lowest bit of the index. */
    struct uring_ref ref = {URING_OUTPUT_PIPE, worker->index * 2 + which, worker->generation};
    uring_read(loop->uring, output->fd, output->bytes, sizeof(output->bytes), ref);
    output->read_queued = true;
}

static void slots_reset(struct loop *loop, struct worker *worker)
{
    uint32_t count = loop->config->concurrency;
    worker->free_count = count;
    worker->active_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        worker->slots[i].run_index = UINT32_MAX;
        worker->free_slots[i] = count - 1 - i;
    }
}

static int process_start(struct loop *loop, struct worker *worker, struct child_ends *ends)
{
    const struct config *config = loop->config;
    const struct pipeline_config *source = pipeline_of(loop, worker)->config;
    struct worker_child child;
    int rc =
        segment_create(&worker->segment,
                       &(struct segment_options){.slot_count = config->concurrency,
                                                 .request_ring_bytes = config->request_ring_bytes,
                                                 .reply_ring_bytes = config->reply_ring_bytes,
                                                 .window_bytes = config->window_bytes});
    if (rc < 0) {
        worker->segment.fd = -1;
        return rc;
    }
    /* These read where our ends of the rings are: before there is a worker that could write there.
     */
    ring_tx_init(&worker->requests, worker->segment.request_ring, config->request_ring_bytes);
    ring_rx_init(&worker->replies, worker->segment.reply_ring, config->reply_ring_bytes);
    rc = channels_open(worker, ends);
    if (rc < 0)
        return rc;
    bool is_python = pipeline_config_is_python(source);
    rc = worker_spawn(&child,
                      &(struct worker_spawn_options){
                          .worker_path = is_python ? config->python_path : config->worker_path,
                          .python_folder = is_python ? config->python_folder : NULL,
                          .python_threads = is_python && config->python_threads,
                          .source = source->source,
                          .name = source->name,
                          .pointer = source->pointer,
                          .index = worker->number,
                          .segment_fd = worker->segment.fd,
                          .worker_bell_fd = ends->bell,
                          .dispatcher_bell_fd = worker->own_bell_fd,
                          .socket_fd = ends->socket,
                          .stdout_fd = ends->stdout_fd,
                          .stderr_fd = ends->stderr_fd});
    if (rc < 0)
        return rc;
    worker->pid = child.pid;
    worker->pidfd = child.pidfd;
    return 0;
}

static void watch(struct loop *loop, struct worker *worker)
{
    struct segment *segment = &worker->segment;
    worker->bell = (struct doorbell){&segment->header->worker_bell, worker->bell_fd};
    worker->own_bell = (struct doorbell){&segment->header->dispatcher_bell, worker->own_bell_fd};
    worker->is_corrupt = worker->is_full = false;
    worker->was_oom = worker->has_said_why = false;
    worker->news = 0;
    worker->crash = (struct crash_report){0};
    worker->run_count = 0;
    slots_reset(loop, worker);
    uring_poll(loop->uring, worker->pidfd, ref_of(worker, URING_PIDFD));
    uring_poll(loop->uring, worker->socket, ref_of(worker, URING_SOCKET));
    uring_poll(loop->uring, worker->own_bell_fd, ref_of(worker, URING_BELL));
    for (uint32_t i = 0; i < 2; i++) {
        worker->pipes[i].line_count = 0;
        pipe_read(loop, worker, i);
    }
    worker->pipe_busy_count = 2;
}

static void act_spawn(struct loop *loop, struct worker *worker)
{
    struct child_ends ends = {-1, -1, -1, -1};
    worker->generation++;
    loop->metrics.worker_start_count++;
    worker->started_ms = loop->now_ms;
    int rc = process_start(loop, worker, &ends);
    child_ends_close(&ends);
    if (rc == 0) {
        log_line(&loop->log, LEVEL_DEBUG, "worker_start", "pipeline=%s worker=%u pid=%d",
                 pipeline_of(loop, worker)->config->pointer, worker->number, (int)worker->pid);
        watch(loop, worker);
        timer_set(&loop->timers, &worker->timer, loop->now_ms + loop->config->start_timeout_ms);
        return;
    }
    channels_close(worker);
    close_fd(&worker->pipes[0].fd);
    close_fd(&worker->pipes[1].fd);
    char reason[160];
    snprintf(reason, sizeof(reason), "the worker process cannot be started: %s", strerror(-rc));
    supervisor_event(loop, worker, WORKER_EV_START_FAILED, reason);
}

static void back_off(struct loop *loop, struct worker *worker)
{
    uint32_t shift = worker->failure_streak < 16 ? worker->failure_streak : 16;
    uint64_t wait_ms = (uint64_t)WORKER_BACKOFF_MS_MIN << shift;
    if (wait_ms > WORKER_BACKOFF_MS_MAX)
        wait_ms = WORKER_BACKOFF_MS_MAX;
    worker->failure_streak++;
    timer_set(&loop->timers, &worker->timer, loop->now_ms + wait_ms);
}

/* Nobody who waits may wait for a worker that will not come. */
static void answer_waiting(struct loop *loop, struct pipeline *pipeline)
{
    struct run_failure failure;
    if (pipeline->queue_count == 0 || pipeline_ready_count(loop, pipeline) > 0)
        return;
    if (pipeline_refuses(loop, pipeline, &failure) && failure.status != 429)
        pipeline_fail_queue(loop, pipeline, &failure);
}

/* ---- ends ---------------------------------------------------------------------------------- */

/* All runs that were on the worker, also those whose client was answered before. */
static void runs_end(struct loop *loop, struct worker *worker, const char *reason)
{
    struct run_failure failure = {.type = worker->was_oom ? ERROR_OOM : ERROR_PIPELINE,
                                  .status = loop->config->pipeline_error_status,
                                  .message = reason,
                                  .message_count = strlen(reason)};
    /* Clients see the frames of a Python exception; those of a crash are no more secret. */
    bool is_shown = loop->config->crash_traceback ||
                    pipeline_config_is_python(pipeline_of(loop, worker)->config);
    if (is_shown && worker->crash.text_count > 0) {
        failure.traceback = worker->crash.text;
        failure.traceback_count = worker->crash.text_count;
    }
    for (uint32_t i = 0; i < loop->config->concurrency; i++)
        if (worker->slots[i].run_index != UINT32_MAX)
            run_worker_lost(loop, &loop->runs[worker->slots[i].run_index], &failure);
}

/* The process is gone: what it committed is still delivered, then everything is given back. */
static void reclaim(struct loop *loop, struct worker *worker, enum log_level level,
                    const char *reason)
{
    /* No more than fits the ring: a process that outlived the worker may go on writing. */
    uint32_t left = loop->config->reply_ring_bytes / (uint32_t)sizeof(struct record);
    for (uint32_t count; left > 0 && (count = worker_drain(loop, worker)) > 0;)
        left -= count < left ? count : left;
    log_line(&loop->log, level, "worker_exit", "pipeline=%s worker=%u runs=%u reason=\"%s\"",
             pipeline_of(loop, worker)->config->pointer, worker->number, worker->active_count,
             reason);
    runs_end(loop, worker, reason);
    mr_assert(worker->active_count == 0);
    uring_cancel(loop->uring, ref_of(worker, URING_SOCKET));
    uring_cancel(loop->uring, ref_of(worker, URING_PIDFD));
    uring_cancel(loop->uring, ref_of(worker, URING_BELL));
    channels_close(worker);
    worker->pid = 0;
    worker->kill_reason[0] = '\0';
}

/* It died: another one after a pause, and nobody waits for what may not come. */
static void act_reclaim(struct loop *loop, struct worker *worker, const char *reason)
{
    struct pipeline *pipeline = pipeline_of(loop, worker);
    reclaim(loop, worker, LEVEL_WARNING, reason);
    if (loop->state >= LOOP_STOPPING) {
        timer_set(&loop->timers, &worker->timer, loop->now_ms + PIPES_GRACE_MS);
        return;
    }
    worker->restart_count++;
    pipeline->restart_counts[worker->end]++;
    if (pipeline->failure[0] == '\0')
        pipeline_note_failure(pipeline, pipeline->was_ready ? ERROR_PIPELINE : ERROR_STARTUP,
                              reason, strlen(reason));
    back_off(loop, worker);
    answer_waiting(loop, pipeline);
}

/* It went as it was asked to. */
static void act_replace(struct loop *loop, struct worker *worker, const char *reason)
{
    reclaim(loop, worker, LEVEL_INFO, reason);
    pipeline_of(loop, worker)->restart_counts[worker->end]++;
    timer_set(&loop->timers, &worker->timer, loop->now_ms);
}

static void act_reclaim_last(struct loop *loop, struct worker *worker, const char *reason)
{
    reclaim(loop, worker, LEVEL_INFO, reason);
    timer_set(&loop->timers, &worker->timer, loop->now_ms + PIPES_GRACE_MS);
}

static void act_kill(struct loop *loop, struct worker *worker, const char *reason)
{
    loop->metrics.worker_killed_count++;
    snprintf(worker->kill_reason, sizeof(worker->kill_reason), "%s", reason);
    log_line(&loop->log, LEVEL_WARNING, "worker_kill", "pipeline=%s worker=%u pid=%d reason=\"%s\"",
             pipeline_of(loop, worker)->config->pointer, worker->number, (int)worker->pid, reason);
    timer_clear(&loop->timers, &worker->timer);
    /* Not reaped yet, so neither the process nor the group can be anyone else's. */
    kill(-worker->pid, SIGKILL);
    kill(worker->pid, SIGKILL);
}

/* Without room for the record, which a ring with one place for each slot always has, the grace
 * timer or the next run's end finds it. */
static void stop_record_put(struct worker *worker)
{
    void *room;
    if (ring_claim(&worker->requests, 0, &room) < 0)
        return;
    ring_commit(&worker->requests, &(struct record){.kind = RECORD_STOP});
    worker->news |= DOORBELL_WORK;
}

static void act_ask_stop(struct loop *loop, struct worker *worker)
{
    timer_set(&loop->timers, &worker->timer, loop->now_ms + loop->config->cancel_grace_ms);
    stop_record_put(worker);
}

static void act_retire(struct loop *loop, struct worker *worker, const char *reason)
{
    log_line(&loop->log, LEVEL_INFO, "worker_retire", "pipeline=%s worker=%u pid=%d reason=\"%s\"",
             pipeline_of(loop, worker)->config->pointer, worker->number, (int)worker->pid, reason);
    stop_record_put(worker);
    if (worker->active_count == 0)
        supervisor_last_run_ended(loop, worker);
}

void supervisor_last_run_ended(struct loop *loop, struct worker *worker)
{
    if (worker->state == WORKER_RETIRING)
        timer_set(&loop->timers, &worker->timer, loop->now_ms + loop->config->cancel_grace_ms);
}

static void act_serve(struct loop *loop, struct worker *worker)
{
    struct pipeline *pipeline = pipeline_of(loop, worker);
    timer_clear(&loop->timers, &worker->timer);
    pipeline->was_ready = true;
    pipeline->cannot_load = false;
    pipeline->failure[0] = '\0';
    log_line(&loop->log, LEVEL_INFO, "worker_ready", "pipeline=%s worker=%u pid=%d ms=%llu",
             pipeline->config->pointer, worker->number, (int)worker->pid,
             (unsigned long long)(loop->now_ms - worker->started_ms));
}

void supervisor_event(struct loop *loop, struct worker *worker, enum worker_event event,
                      const char *reason)
{
    enum worker_state state = worker->state;
    struct worker_step step = worker_fsm_step(state, event);
    worker->state = step.next;
    switch (step.action) {
    case WORKER_ACT_SPAWN:
        act_spawn(loop, worker);
        break;
    case WORKER_ACT_RETRY:
        log_line(&loop->log, LEVEL_ERROR, "worker_start_failed",
                 "pipeline=%s worker=%u reason=\"%s\"", pipeline_of(loop, worker)->config->pointer,
                 worker->number, reason);
        pipeline_note_failure(pipeline_of(loop, worker), ERROR_STARTUP, reason, strlen(reason));
        pipeline_of(loop, worker)->restart_counts[WORKER_END_NOT_STARTED]++;
        back_off(loop, worker);
        answer_waiting(loop, pipeline_of(loop, worker));
        break;
    case WORKER_ACT_SERVE:
        act_serve(loop, worker);
        break;
    case WORKER_ACT_KILL:
        worker->end = worker_end_of_kill(state, event);
        act_kill(loop, worker, reason);
        break;
    case WORKER_ACT_RETIRE:
        act_retire(loop, worker, reason);
        break;
    case WORKER_ACT_ASK_STOP:
        act_ask_stop(loop, worker);
        break;
    case WORKER_ACT_RECLAIM:
        act_reclaim(loop, worker, reason);
        break;
    case WORKER_ACT_REPLACE:
        act_replace(loop, worker, reason);
        break;
    case WORKER_ACT_RECLAIM_LAST:
        act_reclaim_last(loop, worker, reason);
        break;
    case WORKER_ACT_LEARN:        /* on_hello() did it */
    case WORKER_ACT_NOTE_FAILURE: /* on_failed() did it */
    case WORKER_ACT_NONE:
        break;
    case WORKER_ACT_INVALID:
    case WORKER_ACT_COUNT:
        mr_unreachable("unreachable");
    }
}

/* ---- completions and timers -------------------------------------------------------------------
 */

void supervisor_on_socket(struct loop *loop, const struct uring_event *event)
{
    struct worker *worker = loop_worker(loop, event->ref);
    if (!worker || worker->state == WORKER_EMPTY)
        return;
    messages_read(loop, worker);
    bool has_hung_up = event->result > 0 && event->result & (POLLHUP | POLLERR);
    if (has_hung_up && worker->state == WORKER_READY)
        timer_set(&loop->timers, &worker->timer, loop->now_ms + HANG_UP_GRACE_MS);
    if (!event->more && worker->state != WORKER_EMPTY && event->result > 0 && !has_hung_up)
        uring_poll(loop->uring, worker->socket, ref_of(worker, URING_SOCKET));
}

/* False: it still runs. What it started and left in its group, which may hold the device or the
 * ends of its channels, goes with it: until it is reaped, the number of the group is nobody else's.
 */
static bool reap(const struct worker *worker, siginfo_t *info)
{
    id_t pidfd = (id_t)worker->pidfd;
    if (waitid(P_PIDFD, pidfd, info, WEXITED | WNOHANG | WNOWAIT) == -1 || info->si_pid == 0)
        return false;
    kill(-worker->pid, SIGKILL);
    return waitid(P_PIDFD, pidfd, info, WEXITED | WNOHANG) == 0;
}

void supervisor_on_pidfd(struct loop *loop, const struct uring_event *event)
{
    struct worker *worker = loop_worker(loop, event->ref);
    if (!worker || worker->state == WORKER_EMPTY)
        return;
    siginfo_t info = {0};
    if (!reap(worker, &info)) {
        if (!event->more)
            uring_poll(loop->uring, worker->pidfd, ref_of(worker, URING_PIDFD));
        return;
    }
    messages_read(loop, worker); /* FAILED may have come just before */
    loop->metrics.worker_exit_count++;
    if (info.si_code == CLD_EXITED && info.si_status == WORKER_EXIT_LOAD)
        pipeline_of(loop, worker)->cannot_load = true;
    char reason[256];
    worker_end_describe(loop, worker, &info, reason, sizeof(reason));
    bool is_orderly = info.si_code == CLD_EXITED && info.si_status == 0;
    supervisor_event(loop, worker, is_orderly ? WORKER_EV_EXIT : WORKER_EV_DIED, reason);
}

void supervisor_on_timer(struct loop *loop, struct worker *worker)
{
    switch (worker->state) {
    case WORKER_EMPTY:
        /* The last output of the old process is still being read; a child of it may hold the pipe.
         */
        if (worker->pipe_busy_count > 0) {
            for (uint32_t i = 0; i < 2; i++)
                if (worker->pipes[i].read_queued)
                    uring_cancel(loop->uring,
                                 (struct uring_ref){URING_OUTPUT_PIPE, worker->index * 2 + i,
                                                    worker->generation});
            timer_set(&loop->timers, &worker->timer, loop->now_ms + 10);
        } else if (loop->state < LOOP_STOPPING) {
            supervisor_event(loop, worker, WORKER_EV_START, NULL);
        }
        break;
    case WORKER_STARTING:
    case WORKER_LOADED:
        supervisor_event(loop, worker, WORKER_EV_TIMEOUT, "it was not ready in time");
        break;
    case WORKER_RETIRING:
    case WORKER_STOPPING:
        supervisor_event(loop, worker, WORKER_EV_TIMEOUT, "it did not stop in time");
        break;
    case WORKER_READY: /* nothing else sets it then */
        supervisor_event(loop, worker, WORKER_EV_MISBEHAVED, "it closed its socket");
        break;
    case WORKER_DYING:
    case WORKER_STATE_COUNT:
        break;
    }
}

/* ---- the whole ----------------------------------------------------------------------------- */

void supervisor_start(struct loop *loop)
{
    for (uint32_t i = 0; i < loop->worker_count; i++)
        supervisor_event(loop, &loop->workers[i], WORKER_EV_START, NULL);
}

void supervisor_stop_idle(struct loop *loop)
{
    for (uint32_t i = 0; i < loop->worker_count; i++)
        if (loop->workers[i].active_count == 0)
            supervisor_event(loop, &loop->workers[i], WORKER_EV_STOP, "the server is stopping");
}

void supervisor_kill_all(struct loop *loop)
{
    for (uint32_t i = 0; i < loop->worker_count; i++)
        if (loop->workers[i].pid > 0 && loop->workers[i].state != WORKER_DYING)
            supervisor_event(loop, &loop->workers[i], WORKER_EV_MISBEHAVED,
                             "the server is stopping");
}

uint32_t supervisor_live_count(const struct loop *loop)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < loop->worker_count; i++)
        count += loop->workers[i].pid > 0;
    return count;
}

void supervisor_abandon(struct worker *worker)
{
    if (worker->pid > 0)
        waitid(P_PIDFD, (id_t)worker->pidfd, &(siginfo_t){0}, WEXITED | WNOHANG);
    channels_close(worker);
    for (uint32_t i = 0; worker->pipes && i < 2; i++)
        close_fd(&worker->pipes[i].fd);
}
