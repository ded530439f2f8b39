/* SPDX-License-Identifier: MIT */
/* supervisor.c - the actions of worker_fsm: processes are started, heard, ended and reclaimed. */
#include "dispatcher/workers/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dispatcher/server/loop.h"
#include "dispatcher/workers/messages.h"
#include "dispatcher/workers/output.h"
#include "dispatcher/workers/spawning.h"
#include "dispatcher/workers/worker_start.h"
#include "millrace/protocol.h"

/* A process that ends closes its socket first; one that only closes its socket is of no use. */
#define HANG_UP_GRACE_MS 500u
/* Before the spawner is asked once more whether it can be asked. */
#define SPAWNER_WAIT_MS 10u

static struct pipeline *pipeline_of(struct loop *loop, const struct worker *worker)
{
    return &loop->pipelines[worker->pipeline_index];
}

static struct uring_ref ref_of(const struct worker *worker, enum uring_op op)
{
    return (struct uring_ref){op, worker->index, worker->generation};
}

/* ---- starting ------------------------------------------------------------------------------ */

static void act_spawn(struct loop *loop, struct worker *worker)
{
    worker->generation++;
    loop->metrics.worker_start_count++;
    worker->started_ms = loop->reactor.now_ms;
    worker->ready_ms = 0;
    worker->has_said_why = worker->was_short = false;
    int rc = worker_start(loop, worker);
    if (rc == 0) {
        timer_set(&loop->reactor.timers, &worker->timer,
                  loop->reactor.now_ms + WORKER_SPAWN_TIMEOUT_MS);
    } else if (rc == -EPIPE) {
        supervisor_event(loop, worker, WORKER_EV_SPAWNER_LOST, NULL);
    } else {
        char reason[160];
        start_error_note(worker, rc, reason, sizeof(reason));
        supervisor_event(loop, worker, WORKER_EV_START_FAILED, reason);
    }
}

static void act_watch(struct loop *loop, struct worker *worker)
{
    log_line(&loop->reactor.log, LEVEL_DEBUG, "worker_start", "pipeline=%s worker=%u pid=%d",
             pipeline_of(loop, worker)->config->pointer, worker->number, (int)worker->pid);
    worker_watch(loop, worker);
    timer_set(&loop->reactor.timers, &worker->timer,
              loop->reactor.now_ms + loop->config->start_timeout_ms);
}

static void back_off(struct loop *loop, struct worker *worker)
{
    uint32_t shift = worker->failure_streak < 16 ? worker->failure_streak : 16;
    uint64_t wait_ms = (uint64_t)WORKER_BACKOFF_MS_MIN << shift;
    if (wait_ms > loop->config->quarantine_retry_ms)
        wait_ms = loop->config->quarantine_retry_ms;
    worker->failure_streak++;
    timer_set(&loop->reactor.timers, &worker->timer, loop->reactor.now_ms + wait_ms);
}

static void act_retry(struct loop *loop, struct worker *worker, const char *reason)
{
    struct pipeline *pipeline = pipeline_of(loop, worker);
    worker_release(loop, worker);
    log_line(&loop->reactor.log, LEVEL_ERROR, "worker_start_failed",
             "pipeline=%s worker=%u reason=\"%s\"", pipeline->config->pointer, worker->number,
             reason);
    pipeline->tally.restarts[WORKER_END_NOT_STARTED]++;
    if (!worker->was_short)
        pipeline_worker_died(loop, pipeline, worker, ERROR_STARTUP, reason);
    back_off(loop, worker);
}

/* It is nobody's failure. */
static void act_ask_again(struct loop *loop, struct worker *worker)
{
    worker_release(loop, worker);
    pipeline_of(loop, worker)->tally.restarts[WORKER_END_NOT_STARTED]++;
    back_off(loop, worker);
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

/* The process is gone: what it committed is still delivered, then everything is given back. Returns
 * how many runs it left unfinished. */
static uint32_t reclaim(struct loop *loop, struct worker *worker, enum log_level level,
                        const char *reason)
{
    /* No more than fits the ring: a process that outlived the worker may go on writing. */
    uint32_t left = loop->config->reply_ring_bytes / (uint32_t)sizeof(struct record);
    for (uint32_t count; left > 0 && (count = worker_drain(loop, worker)) > 0;)
        left -= count < left ? count : left;
    uint32_t unfinished_count = worker->active_count;
    log_line(&loop->reactor.log, level, "worker_exit",
             "pipeline=%s worker=%u runs=%u reason=\"%s\"",
             pipeline_of(loop, worker)->config->pointer, worker->number, unfinished_count, reason);
    runs_end(loop, worker, reason);
    mr_assert(worker->active_count == 0);
    worker_release(loop, worker);
    return unfinished_count;
}

/* It failed: another one after a pause, and nobody waits for what may not come. */
static void restart_later(struct loop *loop, struct worker *worker, const char *reason)
{
    struct pipeline *pipeline = pipeline_of(loop, worker);
    worker->restart_count++;
    pipeline->tally.restarts[worker->end]++;
    pipeline_worker_died(loop, pipeline, worker,
                         worker->ready_ms > 0 ? ERROR_PIPELINE : ERROR_STARTUP, reason);
    back_off(loop, worker);
}

static void act_reclaim(struct loop *loop, struct worker *worker, const char *reason)
{
    reclaim(loop, worker, LEVEL_WARNING, reason);
    if (loop->state < LOOP_STOPPING)
        restart_later(loop, worker, reason);
}

/* It went as it was asked to, unless it left runs behind. */
static void act_replace(struct loop *loop, struct worker *worker, const char *reason)
{
    if (reclaim(loop, worker, LEVEL_INFO, reason) > 0) {
        worker->end = WORKER_END_EXITED;
        restart_later(loop, worker, reason);
        return;
    }
    pipeline_of(loop, worker)->tally.restarts[worker->end]++;
    timer_set(&loop->reactor.timers, &worker->timer, loop->reactor.now_ms);
}

static void act_reclaim_last(struct loop *loop, struct worker *worker, const char *reason)
{
    reclaim(loop, worker, LEVEL_INFO, reason);
}

/* Its successor, which has its number, goes on in another place. */
static void act_make_spare(struct loop *loop, struct worker *worker, const char *reason)
{
    struct worker *successor = &loop->workers[worker->successor];
    bool is_recycled =
        worker->end >= WORKER_END_RECYCLED_RUNS && worker->end <= WORKER_END_RECYCLED_DEVICE;
    uint32_t unfinished_count =
        reclaim(loop, worker, is_recycled ? LEVEL_INFO : LEVEL_WARNING, reason);
    timer_clear(&loop->reactor.timers, &worker->timer);
    successor->predecessor = worker->successor = WORKER_NONE;
    if (loop->state >= LOOP_STOPPING)
        return;
    pipeline_of(loop, worker)->tally.restarts[worker->end]++;
    successor->restart_count += !is_recycled || unfinished_count > 0;
}

static void act_kill(struct loop *loop, struct worker *worker, const char *reason)
{
    loop->metrics.worker_killed_count++;
    snprintf(worker->kill_reason, sizeof(worker->kill_reason), "%s", reason);
    log_line(&loop->reactor.log, LEVEL_WARNING, "worker_kill",
             "pipeline=%s worker=%u pid=%d reason=\"%s\"",
             pipeline_of(loop, worker)->config->pointer, worker->number, (int)worker->pid, reason);
    timer_clear(&loop->reactor.timers, &worker->timer);
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
    timer_set(&loop->reactor.timers, &worker->timer,
              loop->reactor.now_ms + loop->config->cancel_grace_ms);
    stop_record_put(worker);
}

struct worker *supervisor_spare(struct loop *loop, const struct worker *worker)
{
    const struct pipeline *pipeline = pipeline_of(loop, worker);
    for (uint32_t i = 0; i < pipeline->worker_count; i++) {
        struct worker *place = loop_place(loop, pipeline, i);
        if (place->state == WORKER_SPARE && place->predecessor == WORKER_NONE)
            return place;
    }
    return NULL;
}

static void act_call(struct loop *loop, struct worker *worker, const char *reason)
{
    struct worker *successor = supervisor_spare(loop, worker);
    mr_assert(successor != NULL);
    log_line(&loop->reactor.log, LEVEL_INFO, "worker_replace",
             "pipeline=%s worker=%u pid=%d reason=\"%s\"",
             pipeline_of(loop, worker)->config->pointer, worker->number, (int)worker->pid, reason);
    worker->successor = successor->index;
    successor->predecessor = worker->index;
    successor->number = worker->number;
    successor->restart_count = worker->restart_count;
    successor->failure_streak = successor->death_streak = 0;
    timer_set(&loop->reactor.timers, &successor->timer, loop->reactor.now_ms);
}

static void act_retire(struct loop *loop, struct worker *worker, const char *reason)
{
    log_line(&loop->reactor.log, LEVEL_INFO, "worker_retire",
             "pipeline=%s worker=%u pid=%d reason=\"%s\"",
             pipeline_of(loop, worker)->config->pointer, worker->number, (int)worker->pid, reason);
    stop_record_put(worker);
    if (worker->active_count == 0)
        supervisor_last_run_ended(loop, worker);
}

void supervisor_last_run_ended(struct loop *loop, struct worker *worker)
{
    if (worker->state == WORKER_RETIRING)
        timer_set(&loop->reactor.timers, &worker->timer,
                  loop->reactor.now_ms + loop->config->cancel_grace_ms);
}

static void act_serve(struct loop *loop, struct worker *worker)
{
    struct pipeline *pipeline = pipeline_of(loop, worker);
    timer_clear(&loop->reactor.timers, &worker->timer);
    worker->ready_ms = loop->reactor.now_ms;
    pipeline->cannot_load = false;
    pipeline_served(loop, pipeline);
    log_line(&loop->reactor.log, LEVEL_INFO, "worker_ready", "pipeline=%s worker=%u pid=%d ms=%llu",
             pipeline->config->pointer, worker->number, (int)worker->pid,
             (unsigned long long)(loop->reactor.now_ms - worker->started_ms));
    if (worker->predecessor == WORKER_NONE)
        return;
    struct worker *predecessor = &loop->workers[worker->predecessor];
    if (predecessor->state == WORKER_OUTGOING)
        supervisor_event(loop, predecessor, WORKER_EV_RELIEVED, "its successor is ready");
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
    case WORKER_ACT_WATCH:
        act_watch(loop, worker);
        break;
    case WORKER_ACT_RETRY:
        act_retry(loop, worker, reason);
        break;
    case WORKER_ACT_ASK_AGAIN:
        act_ask_again(loop, worker);
        break;
    case WORKER_ACT_SERVE:
        act_serve(loop, worker);
        break;
    case WORKER_ACT_KILL:
        worker->end = worker_end_of_kill(state, event);
        act_kill(loop, worker, reason);
        break;
    case WORKER_ACT_CALL:
        act_call(loop, worker, reason);
        break;
    case WORKER_ACT_MAKE_SPARE:
        act_make_spare(loop, worker, reason);
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
    pipeline_review(loop, pipeline_of(loop, worker));
}

/* ---- completions and timers -------------------------------------------------------------------
 */

/* Once: whoever shuts his end again and again wakes us each time. */
static void on_hang_up(struct loop *loop, struct worker *worker, const struct uring_event *event)
{
    if (event->more)
        uring_cancel(loop->reactor.uring, event->ref);
    messages_read_rest(loop, worker);
    /* After a pause it is polled, and heard, once more. */
    if (worker_serves(worker) && worker->timer.position == 0)
        timer_set(&loop->reactor.timers, &worker->timer, loop->reactor.now_ms + HANG_UP_GRACE_MS);
}

void supervisor_on_socket(struct loop *loop, const struct uring_event *event)
{
    struct worker *worker = loop_worker(loop, event->ref);
    if (!worker || !worker_has_process(worker) || event->result < 0)
        return;
    if (event->result & (POLLHUP | POLLERR)) {
        on_hang_up(loop, worker, event);
        return;
    }
    bool is_rest = messages_read(loop, worker);
    if (!worker_has_process(worker))
        return;
    noise_of_worker(loop, worker, is_rest ? NOISE_PACKETS : NOISE_PACKET);
    if (worker->is_paused)
        return; /* polled again when it is not */
    /* A poll that goes on tells of what comes, and a new one of what is there. */
    if (is_rest && event->more)
        uring_cancel(loop->reactor.uring, ref_of(worker, URING_SOCKET));
    if (is_rest || !event->more)
        uring_poll(loop->reactor.uring, worker->socket, ref_of(worker, URING_SOCKET));
}

/* How it ended; it is reaped later. False: it still runs. */
static bool has_ended(const struct worker *worker, siginfo_t *info)
{
    return waitid(P_PIDFD, (id_t)worker->pidfd, info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info->si_pid != 0;
}

/* What it started and left in its group, which may hold the device or the ends of its channels,
 * goes with it: until it is reaped, the number of the group is nobody else's. */
static void reap(const struct worker *worker)
{
    kill(-worker->pid, SIGKILL);
    if (worker->group)
        cgroup_kill(worker->group); /* also what has left the process group */
    waitid(P_PIDFD, (id_t)worker->pidfd, &(siginfo_t){0}, WEXITED | WNOHANG);
}

void supervisor_on_pidfd(struct loop *loop, const struct uring_event *event)
{
    struct worker *worker = loop_worker(loop, event->ref);
    if (!worker || !worker_has_process(worker))
        return;
    siginfo_t info = {0};
    if (!has_ended(worker, &info)) {
        if (!event->more)
            uring_poll(loop->reactor.uring, worker->pidfd, ref_of(worker, URING_PIDFD));
        return;
    }
    /* FAILED may have come just before; and who is killed for what it said must not be reaped yet.
     */
    messages_read_rest(loop, worker);
    reap(worker);
    loop->metrics.worker_exit_count++;
    if (info.si_code == CLD_EXITED && info.si_status == WORKER_EXIT_LOAD)
        pipeline_of(loop, worker)->cannot_load = true;
    if (worker->state == WORKER_STARTING)
        supervisor_take_answers(loop); /* why it could not become the worker: likewise */
    char reason[256];
    if (worker->exec_error != 0 && worker->state == WORKER_STARTING) {
        start_error_note(worker, -worker->exec_error, reason, sizeof(reason));
        supervisor_event(loop, worker, WORKER_EV_START_FAILED, reason);
        return;
    }
    worker_end_describe(loop, worker, &info, reason, sizeof(reason));
    if (worker->state == WORKER_STARTING && info.si_code == CLD_EXITED &&
        info.si_status == WORKER_EXIT_SHORT) {
        worker->was_short = true;
        supervisor_event(loop, worker, WORKER_EV_START_FAILED, reason);
        return;
    }
    bool is_orderly = info.si_code == CLD_EXITED && info.si_status == 0;
    enum worker_event event_of_end = is_orderly ? WORKER_EV_EXIT : WORKER_EV_DIED;
    if (worker->successor != WORKER_NONE)
        event_of_end = WORKER_EV_GONE;
    supervisor_event(loop, worker, event_of_end, reason);
}

static void start_or_wait(struct loop *loop, struct worker *worker)
{
    if (supervisor_may_start(loop) && output_has_room(loop, worker))
        supervisor_event(loop, worker, WORKER_EV_START, NULL);
    else
        timer_set(&loop->reactor.timers, &worker->timer, loop->reactor.now_ms + SPAWNER_WAIT_MS);
}

void supervisor_on_timer(struct loop *loop, struct worker *worker)
{
    switch (worker->state) {
    case WORKER_EMPTY:
    case WORKER_SPARE:
        if (loop->state < LOOP_STOPPING)
            start_or_wait(loop, worker);
        break;
    case WORKER_SPAWNING:
        supervisor_take_answers(loop);
        if (worker->state == WORKER_SPAWNING)
            supervisor_spawner_lost(loop, "it did not answer in time");
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
    case WORKER_OUTGOING:
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
    supervisor_hear_spawner(loop);
    for (uint32_t i = 0; i < loop->worker_count; i++)
        if (loop->workers[i].state != WORKER_SPARE)
            start_or_wait(loop, &loop->workers[i]);
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

static bool is_vacant(const struct worker *worker)
{
    return worker->state == WORKER_EMPTY || worker->state == WORKER_SPARE;
}

uint32_t supervisor_live_count(const struct loop *loop)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < loop->worker_count; i++)
        count += !is_vacant(&loop->workers[i]) || output_is_read(&loop->workers[i]);
    return count;
}

void supervisor_abandon(struct worker *worker)
{
    if (worker->pid > 0)
        waitid(P_PIDFD, (id_t)worker->pidfd, &(siginfo_t){0}, WEXITED | WNOHANG);
    worker_channels_close(worker);
    for (uint32_t i = 0; worker->outputs && i < 2; i++)
        output_close(&worker->outputs[i]);
}
