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

#include "dispatcher/workers/device_room.h"
#include "dispatcher/workers/drain.h"
#include "dispatcher/workers/fleet.h"
#include "dispatcher/workers/hand_over.h"
#include "dispatcher/workers/messages.h"
#include "dispatcher/workers/output.h"
#include "dispatcher/workers/pause.h"
#include "dispatcher/workers/placement.h"
#include "dispatcher/workers/pool.h"
#include "dispatcher/workers/recycle.h"
#include "dispatcher/workers/renewal.h"
#include "dispatcher/workers/spawning.h"
#include "dispatcher/workers/template.h"
#include "dispatcher/workers/template_ask.h"
#include "dispatcher/workers/warm_up.h"
#include "dispatcher/workers/worker_exit.h"
#include "dispatcher/workers/worker_kill.h"
#include "dispatcher/workers/worker_start.h"
#include "millrace/protocol.h"

/* A process that ends closes its socket first; one that only closes its socket is of no use. */
#define HANG_UP_GRACE_MS 500u
#define MESSAGES_PER_EVENT 16u
#define BATCHES_PER_SOCKET 64u /* the smallest packets of the largest usual buffer */

/* ---- starting ------------------------------------------------------------------------------ */

static void act_spawn(struct fleet *fleet, struct worker *worker)
{
    worker->generation++;
    worker->failure_streak++; /* until it finishes a run */
    fleet->start_count++;
    worker->started_ms = fleet->reactor->now_ms;
    worker->ready_ms = 0;
    worker->has_said_why = worker->is_repeating = worker->was_short = false;
    worker->progress = (struct start_progress){.permille = MESSAGE_PROGRESS_UNKNOWN};
    worker->is_copy = template_advise(worker) == TEMPLATE_COPY;
    worker->is_unforkable = false;
    if (worker->is_template)
        template_begin(fleet, worker);
    worker->warm_up = (struct warm_up){0};
    int rc = worker_start(fleet, worker);
    if (rc == 0) {
        timer_set(&fleet->reactor->timers, &worker->timer,
                  fleet->reactor->now_ms + WORKER_SPAWN_TIMEOUT_MS);
    } else if (rc == -EPIPE) {
        supervisor_event(fleet, worker, WORKER_EV_SPAWNER_LOST, NULL);
    } else {
        char reason[160];
        start_error_note(worker, rc, reason, sizeof(reason));
        supervisor_event(fleet, worker, WORKER_EV_START_FAILED, reason);
    }
}

/* Each sign of life counts, whether or not the start got further. */
static void act_go_on(struct fleet *fleet, struct worker *worker)
{
    timer_set(&fleet->reactor->timers, &worker->timer,
              fleet->reactor->now_ms + worker->pool->config->options.start_timeout_ms);
}

/* One without a warm-up is as warm as it gets. */
static void act_warm_up(struct fleet *fleet, struct worker *worker)
{
    int rc = warm_up_begin(fleet, worker);
    if (rc == 0 || rc == -EAGAIN)
        act_go_on(fleet, worker);
    else
        supervisor_event(fleet, worker, rc == -ENOENT ? WORKER_EV_WARM : WORKER_EV_COLD,
                         "it cannot be warmed up");
}

static void act_cut(struct fleet *fleet, struct worker *worker)
{
    warm_up_cut(fleet, worker);
    timer_set(&fleet->reactor->timers, &worker->timer,
              fleet->reactor->now_ms + worker->pool->config->options.cancel_grace_ms);
}

static void act_watch(struct fleet *fleet, struct worker *worker)
{
    log_event(&fleet->reactor->log, LEVEL_DEBUG, "worker_start",
              LOG_WORD("pipeline", worker->pool->config->pointer), worker_log_field(worker),
              LOG_INTEGER("pid", worker->pid));
    worker_watch(fleet, worker);
    act_go_on(fleet, worker);
    if (placement_is_lost(fleet, worker))
        supervisor_event(fleet, worker, WORKER_EV_DEVICE_LOST, "its device was lost meanwhile");
}

/* Nothing follows it in its place. */
static bool supervisor_is_last(const struct fleet *fleet, const struct worker *worker)
{
    return fleet->is_stopping || worker->is_surplus;
}

static uint64_t supervisor_pause_ms(const struct worker *worker)
{
    uint32_t shift = worker->failure_streak - 1 < 16 ? worker->failure_streak - 1 : 16;
    uint64_t ms = (uint64_t)WORKER_BACKOFF_MS_MIN << shift;
    uint64_t ms_max = worker->pool->config->options.quarantine_retry_ms;
    return ms < ms_max ? ms : ms_max;
}

/* A process that had finished a run is followed at once. What follows it has to do the same and to
 * reach the age of the shortest pause, which ends the row: a pipeline may crash in every second run
 * and must not make the machine do nothing but start processes. This pass sends the last lines of
 * the runs that died; making the next process would delay them. */
static void supervisor_back_off(struct fleet *fleet, struct worker *worker)
{
    if (supervisor_is_last(fleet, worker))
        return;
    uint64_t now_ms = fleet->reactor->now_ms, due_ms = now_ms + 1;
    if (worker->failure_streak > 0)
        due_ms = now_ms + supervisor_pause_ms(worker);
    else if (due_ms < worker->row_end_ms)
        due_ms = worker->row_end_ms;
    worker->row_end_ms = due_ms + WORKER_BACKOFF_MS_MIN;
    timer_set(&fleet->reactor->timers, &worker->timer, due_ms);
}

/* The end of one costs nobody anything, and is nobody's failure but its own. */
static void supervisor_follow_template(struct fleet *fleet, struct worker *self, const char *reason)
{
    template_ended(fleet, self, reason);
    if (supervisor_is_last(fleet, self))
        return;
    bool is_tried = !self->pool->template.is_refused;
    if (is_tried && self->end == WORKER_END_STOPPED)
        timer_set(&fleet->reactor->timers, &self->timer, fleet->reactor->now_ms);
    else if (is_tried)
        supervisor_back_off(fleet, self);
    supervisor_resize(fleet, self->pool); /* who waits for it may begin by itself */
}

static void act_retry(struct fleet *fleet, struct worker *worker, const char *reason)
{
    worker_release(fleet, worker);
    if (worker->is_template) {
        supervisor_follow_template(fleet, worker, reason);
        return;
    }
    start_failure_say(fleet, worker, reason);
    if (worker->is_surplus)
        return; /* nobody needs to know */
    renewal_note_failure(fleet, worker, reason);
    worker->pool->restarts[WORKER_END_NOT_STARTED]++;
    if (!worker->was_short)
        fleet->ops->died(fleet->owner, worker, ERROR_STARTUP, reason);
    supervisor_back_off(fleet, worker);
}

/* It is nobody's failure. */
static void act_ask_again(struct fleet *fleet, struct worker *worker)
{
    worker_release(fleet, worker);
    worker->pool->restarts[WORKER_END_NOT_STARTED]++;
    supervisor_back_off(fleet, worker);
}

/* ---- ends ---------------------------------------------------------------------------------- */

/* All runs that were on the worker, also those whose client was answered before. */
static void supervisor_lose_runs(struct fleet *fleet, struct worker *worker, const char *reason)
{
    enum error_type type = worker->end == WORKER_END_DEVICE_LOST ? ERROR_CUDA : ERROR_PIPELINE;
    struct worker_failure failure = {.type = worker->was_oom ? ERROR_OOM : type,
                                     .message = reason,
                                     .message_bytes = strlen(reason)};
    /* The log has it already, once for all runs of the worker. */
    if (fleet->config->tracebacks == TRACEBACKS_CLIENT && worker->crash.text_count > 0) {
        failure.traceback = worker->crash.text;
        failure.traceback_bytes = worker->crash.text_count;
    }
    /* A crash is not what ended a run that was cancelled before. */
    const struct worker_failure silent = {
        .type = failure.type, .message = failure.message, .message_bytes = failure.message_bytes};
    for (uint32_t i = 0; i < worker->concurrency; i++) {
        bool is_told = !worker->slots[i].is_cancelled || worker->is_asked_where;
        if (worker->slots[i].run)
            fleet->ops->lost(fleet->owner, worker->slots[i].run, is_told ? &failure : &silent);
    }
}

/* The process is gone: what it committed is still delivered, then everything is given back. Returns
 * how many runs it left unfinished. */
static uint32_t supervisor_reclaim(struct fleet *fleet, struct worker *worker, enum log_level level,
                                   const char *reason)
{
    drain_rest(fleet, worker);
    template_note_end(worker);
    uint32_t unfinished_count = worker->active_count;
    timer_clear(&fleet->reactor->timers, &worker->timer);
    worker_exit_log(fleet, worker, level, reason);
    supervisor_lose_runs(fleet, worker, reason);
    mr_assert(worker->active_count == 0);
    mps_end_stop(&worker->mps_end);
    worker_release(fleet, worker);
    placement_note_end(fleet, worker);
    return unfinished_count;
}

/* It failed: another one follows, and nobody waits for what may not come. */
static void supervisor_restart_later(struct fleet *fleet, struct worker *worker, const char *reason)
{
    renewal_note_failure(fleet, worker, reason);
    worker->restart_count++;
    worker->pool->restarts[worker->end]++;
    fleet->ops->died(fleet->owner, worker, worker->ready_ms > 0 ? ERROR_PIPELINE : ERROR_STARTUP,
                     reason);
    supervisor_back_off(fleet, worker);
}

/* It went because it was to, which is no failure; or it was not wanted, and is again. */
static void supervisor_restart_now(struct fleet *fleet, struct worker *worker)
{
    if (supervisor_is_last(fleet, worker))
        return;
    worker->pool->restarts[worker->end]++;
    timer_set(&fleet->reactor->timers, &worker->timer, fleet->reactor->now_ms);
}

static void act_reclaim(struct fleet *fleet, struct worker *worker, const char *reason)
{
    supervisor_reclaim(fleet, worker, LEVEL_WARNING, reason);
    if (worker->is_template)
        supervisor_follow_template(fleet, worker, reason);
    else if (worker->end == WORKER_END_STOPPED || worker->end == WORKER_END_DEVICE_LOST)
        supervisor_restart_now(fleet, worker);
    else if (!supervisor_is_last(fleet, worker))
        supervisor_restart_later(fleet, worker, reason);
}

/* It went as it was asked to, unless it left runs behind. */
static void act_replace(struct fleet *fleet, struct worker *worker, const char *reason)
{
    if (supervisor_reclaim(fleet, worker, LEVEL_INFO, reason) == 0) {
        supervisor_restart_now(fleet, worker);
    } else if (!worker->is_surplus) {
        worker->end = WORKER_END_EXITED;
        supervisor_restart_later(fleet, worker, reason);
    }
}

static void act_reclaim_last(struct fleet *fleet, struct worker *worker, const char *reason)
{
    supervisor_reclaim(fleet, worker, LEVEL_INFO, reason);
    if (worker->is_template) {
        worker->end = WORKER_END_STOPPED;
        supervisor_follow_template(fleet, worker, reason);
    } else {
        supervisor_restart_now(fleet, worker);
    }
}

/* Its successor, which has its number, goes on in another place. */
static void act_make_spare(struct fleet *fleet, struct worker *worker, const char *reason)
{
    struct worker *successor = worker->successor;
    bool is_recycled = worker->end >= WORKER_END_RECYCLED_RUNS && worker->end <= WORKER_END_RENEWED;
    uint32_t unfinished_count =
        supervisor_reclaim(fleet, worker, is_recycled ? LEVEL_INFO : LEVEL_WARNING, reason);
    successor->predecessor = worker->successor = NULL;
    if (successor->state == WORKER_SPARE) {
        supervisor_event(fleet, successor, WORKER_EV_ORPHANED, NULL);
        if (successor->timer.position == 0) /* it waited for the device of this one */
            timer_set(&fleet->reactor->timers, &successor->timer, fleet->reactor->now_ms);
    }
    worker->is_surplus = worker->pool->is_leaving;
    if (supervisor_is_last(fleet, successor))
        return;
    worker->pool->restarts[worker->end]++;
    successor->restart_count += !is_recycled || unfinished_count > 0;
}

/* Without room for the record, which a ring with one place for each slot always has, the grace
 * timer or the next run's end finds it. */
static void supervisor_put_stop(struct worker *worker)
{
    void *room;
    if (ring_claim(&worker->channel.requests, 0, &room) < 0)
        return;
    ring_commit(&worker->channel.requests, &(struct record){.kind = RECORD_STOP});
    worker->pending_rings |= DOORBELL_WORK;
}

static void act_ask_stop(struct fleet *fleet, struct worker *worker)
{
    if (worker->is_template) { /* it has nothing to finish */
        worker_kill_now(worker);
        return;
    }
    timer_set(&fleet->reactor->timers, &worker->timer,
              fleet->reactor->now_ms + worker->pool->config->options.cancel_grace_ms);
    supervisor_put_stop(worker);
}

static void act_retire(struct fleet *fleet, struct worker *worker, const char *reason)
{
    log_event(&fleet->reactor->log, LEVEL_INFO, "worker_retire",
              LOG_WORD("pipeline", worker->pool->config->pointer), worker_log_field(worker),
              LOG_INTEGER("pid", worker->pid), LOG_TEXT("reason", reason));
    supervisor_put_stop(worker);
    if (worker->active_count == 0)
        worker_grace_begin(worker);
}

static void act_serve(struct fleet *fleet, struct worker *worker)
{
    timer_clear(&fleet->reactor->timers, &worker->timer);
    worker->ready_ms = fleet->reactor->now_ms;
    if (worker->is_template) {
        template_ready(fleet, worker);
        return;
    }
    worker->failed_as_copy = false;
    if (worker->is_copy)
        template_served(worker->pool);
    worker->pool->cannot_load = worker->is_repeating = false;
    worker->pool->start_failures = (struct repeats){0};
    pool_note_ready(worker, fleet->reactor->now_ms - worker->started_ms);
    fleet->ops->ready(fleet->owner, worker->pool);
    log_event(&fleet->reactor->log, LEVEL_INFO, "worker_ready",
              LOG_WORD("pipeline", worker->pool->config->pointer), worker_log_field(worker),
              LOG_INTEGER("pid", worker->pid),
              LOG_NATURAL("ms", fleet->reactor->now_ms - worker->started_ms));
    struct worker *predecessor = worker->predecessor;
    if (predecessor && predecessor->state == WORKER_OUTGOING) {
        renewal_note_success(fleet, predecessor);
        supervisor_event(fleet, predecessor, WORKER_EV_RELIEVED, "its successor is ready");
    }
}

void supervisor_event(struct fleet *fleet, struct worker *worker, enum worker_event event,
                      const char *reason)
{
    enum worker_state state = worker->state;
    struct worker_step step = worker_fsm_step(state, event);
    worker->state = step.next;
    switch (step.action) {
    case WORKER_ACT_SPAWN:
        act_spawn(fleet, worker);
        break;
    case WORKER_ACT_WATCH:
        act_watch(fleet, worker);
        break;
    case WORKER_ACT_GO_ON:
        act_go_on(fleet, worker);
        break;
    case WORKER_ACT_RETRY:
        act_retry(fleet, worker, reason);
        break;
    case WORKER_ACT_ASK_AGAIN:
        act_ask_again(fleet, worker);
        break;
    case WORKER_ACT_WARM_UP:
        act_warm_up(fleet, worker);
        break;
    case WORKER_ACT_CUT:
        act_cut(fleet, worker);
        break;
    case WORKER_ACT_SERVE:
        act_serve(fleet, worker);
        break;
    case WORKER_ACT_KILL:
        worker->end = worker_end_of_kill(state, event);
        worker_kill(fleet, worker, reason, event == WORKER_EV_HUNG || event == WORKER_EV_TIMEOUT);
        break;
    case WORKER_ACT_CALL:
        hand_over_call(fleet, worker, reason);
        break;
    case WORKER_ACT_KEEP:
        supervisor_event(fleet, hand_over_keep(worker), WORKER_EV_DISMISSED, NULL);
        break;
    case WORKER_ACT_DISMISS:
        hand_over_dismiss(fleet, worker);
        break;
    case WORKER_ACT_MAKE_SPARE:
        act_make_spare(fleet, worker, reason);
        break;
    case WORKER_ACT_RETIRE:
        act_retire(fleet, worker, reason);
        break;
    case WORKER_ACT_ASK_STOP:
        act_ask_stop(fleet, worker);
        break;
    case WORKER_ACT_RECLAIM:
        act_reclaim(fleet, worker, reason);
        break;
    case WORKER_ACT_REPLACE:
        act_replace(fleet, worker, reason);
        break;
    case WORKER_ACT_RECLAIM_LAST:
        act_reclaim_last(fleet, worker, reason);
        break;
    case WORKER_ACT_INHERIT:      /* hand_over_call() did it */
    case WORKER_ACT_LEARN:        /* message_take() did it */
    case WORKER_ACT_NOTE_FAILURE: /* likewise */
    case WORKER_ACT_NONE:
        break;
    case WORKER_ACT_INVALID:
    case WORKER_ACT_COUNT:
        mr_unreachable("an action of worker_fsm");
    }
    if (worker_loads(state) && !worker_loads(worker->state))
        supervisor_loads_go_on(fleet);
    fleet->has_moved = fleet->room_has_moved = true;
    fleet->ops->changed(fleet->owner, worker->pool);
}

/* ---- completions and timers ---------------------------------------------------------------- */

/* Takes what waits on the worker's socket, a bounded number of messages. True: there may be more,
 * which no event will tell of. */
static bool supervisor_read(struct fleet *fleet, struct worker *worker)
{
    struct worker_said said;
    for (uint32_t i = 0; i < MESSAGES_PER_EVENT; i++) {
        if (!worker_has_process(worker) || !message_take(fleet, worker, &said))
            return false;
        if (said.has_copy)
            said.event = template_take(fleet, worker, &said.copy, &said.reason);
        if (said.event == WORKER_EV_COUNT)
            continue;
        supervisor_event(fleet, worker, said.event, said.reason);
        if (said.event == WORKER_EV_MISBEHAVED && channel_is_stuck(&worker->channel))
            return false;
    }
    return true;
}

/* Takes all of it, since the other end is closed; bounded by what a socket holds. */
static void supervisor_read_rest(struct fleet *fleet, struct worker *worker)
{
    for (uint32_t i = 0; i < BATCHES_PER_SOCKET && supervisor_read(fleet, worker); i++)
        continue;
}

/* Once: whoever shuts his end again and again wakes us each time. */
static void supervisor_hang_up(struct fleet *fleet, struct worker *worker,
                               const struct uring_event *event)
{
    if (event->more)
        uring_cancel(fleet->reactor->uring, event->ref);
    supervisor_read_rest(fleet, worker);
    /* After a pause it is polled, and heard, once more. */
    if (worker_serves(worker) && worker->timer.position == 0)
        timer_set(&fleet->reactor->timers, &worker->timer,
                  fleet->reactor->now_ms + HANG_UP_GRACE_MS);
}

void supervisor_on_socket(struct fleet *fleet, const struct uring_event *event)
{
    struct worker *worker = fleet_worker(fleet, event->ref);
    if (!worker || !worker_has_process(worker) || event->result < 0)
        return;
    if (event->result & (POLLHUP | POLLERR)) {
        supervisor_hang_up(fleet, worker, event);
        return;
    }
    bool is_rest = supervisor_read(fleet, worker);
    if (!worker_has_process(worker))
        return;
    pause_count(fleet, worker, is_rest ? NOISE_PACKETS : NOISE_PACKET);
    if (worker->is_paused)
        return; /* polled again when it is not */
    /* A poll that goes on tells of what comes, and a new one of what is there. */
    if (is_rest && event->more)
        uring_cancel(fleet->reactor->uring, fleet_ref(worker, URING_SOCKET));
    if (is_rest || !event->more)
        uring_poll(fleet->reactor->uring, worker->channel.socket, fleet_ref(worker, URING_SOCKET));
}

/* How it ended; it is reaped later. False: it still runs. */
static bool supervisor_has_ended(const struct worker *worker, siginfo_t *info)
{
    return waitid(P_PIDFD, (id_t)worker->pidfd, info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info->si_pid != 0;
}

/* What it started and left in its group, which may hold the device or the ends of its channels,
 * goes with it: until it is reaped, the number of the group is nobody else's. */
static void supervisor_reap(const struct worker *worker)
{
    kill(-worker->pid, SIGKILL);
    if (worker->group)
        cgroup_kill(worker->group); /* also what has left the process group */
    waitid(P_PIDFD, (id_t)worker->pidfd, &(siginfo_t){0}, WEXITED | WNOHANG);
}

void supervisor_on_pidfd(struct fleet *fleet, const struct uring_event *event)
{
    struct worker *worker = fleet_worker(fleet, event->ref);
    if (!worker || !worker_has_process(worker))
        return;
    siginfo_t info = {0};
    if (!supervisor_has_ended(worker, &info)) {
        if (!event->more)
            uring_poll(fleet->reactor->uring, worker->pidfd, fleet_ref(worker, URING_PIDFD));
        return;
    }
    /* FAILED may have come just before; and who is killed for what it said must not be reaped
     * yet. */
    supervisor_read_rest(fleet, worker);
    supervisor_reap(worker);
    fleet->exit_count++;
    if (info.si_code == CLD_EXITED && info.si_status == WORKER_EXIT_LOAD && !worker->is_template)
        worker->pool->cannot_load = true;
    if (info.si_code == CLD_EXITED && info.si_status == WORKER_EXIT_UNFORKABLE)
        worker->is_unforkable = worker->is_template;
    if (worker->state == WORKER_STARTING)
        spawning_take_answers(fleet); /* why it could not become the worker: likewise */
    char reason[512];
    if (worker->exec_error != 0 && worker->state == WORKER_STARTING) {
        start_error_note(worker, -worker->exec_error, reason, sizeof(reason));
        supervisor_event(fleet, worker, WORKER_EV_START_FAILED, reason);
        return;
    }
    worker_exit_describe(fleet, worker, &info, reason, sizeof(reason));
    if (worker->state == WORKER_STARTING && info.si_code == CLD_EXITED &&
        info.si_status == WORKER_EXIT_SHORT) {
        worker->was_short = true;
        supervisor_event(fleet, worker, WORKER_EV_START_FAILED, reason);
        return;
    }
    bool is_orderly = info.si_code == CLD_EXITED && info.si_status == 0;
    enum worker_event event_of_end = is_orderly ? WORKER_EV_EXIT : WORKER_EV_DIED;
    if (worker->successor)
        event_of_end = WORKER_EV_GONE;
    supervisor_event(fleet, worker, event_of_end, reason);
}

void supervisor_on_timer(struct fleet *fleet, struct worker *worker)
{
    char reason[START_PROGRESS_REASON_BYTES];
    switch (worker->state) {
    case WORKER_EMPTY:
    case WORKER_SPARE:
        if (!fleet->is_stopping)
            supervisor_start_or_wait(fleet, worker);
        break;
    case WORKER_SPAWNING:
        if (worker->is_copy) {
            template_overdue(fleet, worker);
            break;
        }
        spawning_take_answers(fleet);
        if (worker->state == WORKER_SPAWNING)
            spawning_lost(fleet, "it did not answer in time");
        break;
    case WORKER_WARMING:
        /* What yields goes on for ever, perhaps, and does what it is for. */
        if (worker->warm_up.value_count > 0 && !worker->warm_up.is_cut) {
            supervisor_event(fleet, worker, WORKER_EV_CUT, NULL);
            break;
        }
        /* fall through */
    case WORKER_STARTING:
    case WORKER_LOADED:
        start_progress_overdue(&worker->progress, worker->pool->config->options.start_timeout_ms,
                               reason);
        supervisor_event(fleet, worker, WORKER_EV_TIMEOUT, reason);
        break;
    case WORKER_RETIRING:
    case WORKER_STOPPING:
        supervisor_event(fleet, worker, WORKER_EV_TIMEOUT, "it did not stop in time");
        break;
    case WORKER_READY: /* nothing else sets it then */
    case WORKER_OUTGOING:
        supervisor_event(fleet, worker, WORKER_EV_MISBEHAVED, "it closed its socket");
        break;
    case WORKER_DYING:
        worker_kill_on_timer(fleet, worker);
        break;
    case WORKER_STATE_COUNT:
        break;
    }
}

void supervisor_run_over(struct fleet *fleet, struct worker *worker, enum device_policy policy)
{
    struct worker_said said;
    worker->run_count++;
    device_room_note_run(fleet, worker);
    placement_note_failure(fleet, worker, policy);
    if (recycle_is_due(fleet, worker, policy, &said))
        supervisor_event(fleet, worker, said.event, said.reason);
}
