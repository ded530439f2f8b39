/* SPDX-License-Identifier: MIT */
/* spawning.c - what the spawner says, and what is done when it says nothing any more. */
#include "dispatcher/workers/spawning.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/workers/fleet.h"
#include "dispatcher/workers/supervisor.h"

/* How often it is looked whether the last one is gone; how long one is waited for that cannot be
 * opened. */
#define GONE_LOOK_MS 10u
#define OPEN_RETRY_MS 1000u

static struct uring_ref spawning_ref(const struct spawner *spawner, enum uring_op op);
static bool spawning_is_shortage(int error);
static void spawning_on_answer(struct fleet *fleet, const struct spawn_answer *answer);

void spawning_hear(struct fleet *fleet)
{
    struct spawner *spawner = &fleet->spawner;
    if (spawner->state == SPAWNER_RUNNING)
        uring_poll(fleet->reactor->uring, spawner->socket, spawning_ref(spawner, URING_SPAWNER));
}

bool spawning_may_start(const struct fleet *fleet)
{
    const struct spawner *spawner = &fleet->spawner;
    return spawner_may_ask(spawner) || spawner->state == SPAWNER_NONE;
}

const char *start_error_hint(int error)
{
    switch (-error) {
    case EAGAIN:
        return " (the limit on processes: ulimit -u, LimitNPROC=, TasksMax=)";
    case ENOMEM:
        return " (memory, or a limit on it: ulimit -v, LimitAS=)";
    case EMFILE:
        return " (the limit on descriptors: ulimit -n, LimitNOFILE=)";
    default:
        return "";
    }
}

void start_failure_say(struct fleet *fleet, const struct worker *worker, const char *reason)
{
    uint64_t count = repeats_note(&worker->pool->start_failures, reason, strlen(reason), NULL, 0);
    if (repeats_is_said(count))
        log_event(&fleet->reactor->log, LEVEL_ERROR, "worker_start_failed",
                  LOG_WORD("pipeline", worker->pool->config->pointer), worker_log_field(worker),
                  count > 0 ? LOG_NATURAL("same_as_before", count) : LOG_NOTHING,
                  LOG_TEXT("reason", reason));
}

void start_error_note(struct worker *worker, int error, char *text, size_t text_bytes)
{
    worker->was_short = spawning_is_shortage(error);
    snprintf(text, text_bytes, "the worker process cannot be started: %s%s", strerror(-error),
             start_error_hint(error));
}

static struct uring_ref spawning_ref(const struct spawner *spawner, enum uring_op op)
{
    return (struct uring_ref){op, 0, spawner->generation};
}

/* Descriptors, processes, memory; and descriptors on their way through sockets, which are counted
 * for the user, whoever sends them. */
static bool spawning_is_shortage(int error)
{
    static const int shortages[] = {EAGAIN, ETOOMANYREFS, EMFILE, ENFILE, ENOMEM};
    for (size_t i = 0; i < ARRAY_COUNT(shortages); i++)
        if (error == -shortages[i])
            return true;
    return false;
}

/* ---- answers ------------------------------------------------------------------------------- */

bool spawning_take_answers(struct fleet *fleet)
{
    /* Bounded by the starts that are asked for, each of which has two at most. */
    for (;;) {
        struct spawn_answer answer;
        int rc = spawner_peek(&fleet->spawner, &answer);
        if (rc <= 0)
            return rc == 0;
        spawning_on_answer(fleet, &answer);
    }
}

/* The worker that waits for the answer. Nothing but an answer or the end of the spawner, after
 * which there are none, ends its waiting. */
static struct worker *spawning_asker(struct fleet *fleet, const struct spawn_answer *answer)
{
    mr_assert(answer->index < fleet->worker_count);
    struct worker *worker = fleet->workers[answer->index];
    mr_assert(worker && worker->state == WORKER_SPAWNING);
    mr_assert(worker->generation == answer->generation);
    return worker;
}

static void spawning_on_started(struct fleet *fleet, const struct spawn_answer *answer)
{
    struct worker *worker = spawning_asker(fleet, answer);
    close(worker->pidfd); /* held its place */
    spawner_take(&fleet->spawner, &worker->pidfd);
    if (worker->pidfd == -1) {
        kill(answer->pid, SIGKILL);
        worker->was_short = true;
        supervisor_event(fleet, worker, WORKER_EV_START_FAILED, "there is no descriptor for it");
        return;
    }
    worker->pid = answer->pid;
    supervisor_event(fleet, worker, WORKER_EV_STARTED, NULL);
}

static void spawning_on_answer(struct fleet *fleet, const struct spawn_answer *answer)
{
    struct spawner *spawner = &fleet->spawner;
    if (answer->kind == SPAWN_STARTED) {
        spawning_on_started(fleet, answer);
        return;
    }
    int pidfd;
    spawner_take(spawner, &pidfd);
    if (answer->kind == SPAWN_READY) {
        spawner->pidfd = pidfd;
        if (pidfd >= 0)
            uring_poll(fleet->reactor->uring, pidfd, spawning_ref(spawner, URING_SPAWNER_PIDFD));
    } else if (answer->kind == SPAWN_FAILED) {
        char reason[160];
        struct worker *worker = spawning_asker(fleet, answer);
        start_error_note(worker, -answer->error, reason, sizeof(reason));
        supervisor_event(fleet, worker, WORKER_EV_START_FAILED, reason);
    } else if (answer->kind == SPAWN_EXEC_FAILED) {
        /* It exits now, which ends the start; unless it was killed meanwhile, and its place may be
         * gone with it. */
        mr_assert(answer->index < fleet->worker_count);
        struct worker *worker = fleet->workers[answer->index];
        if (worker && worker->state == WORKER_STARTING && worker->generation == answer->generation)
            worker->exec_error = answer->error;
    }
}

/* ---- its end ------------------------------------------------------------------------------- */

void spawning_lost(struct fleet *fleet, const char *reason)
{
    struct spawner *spawner = &fleet->spawner;
    mr_assert(spawner->state == SPAWNER_RUNNING);
    spawning_take_answers(fleet);
    log_event(&fleet->reactor->log, LEVEL_WARNING, "spawner_lost", LOG_INTEGER("pid", spawner->pid),
              LOG_NATURAL("starts", spawner->asked_count), LOG_TEXT("reason", reason));
    fleet->spawner_lost_count++;
    uring_cancel(fleet->reactor->uring, spawning_ref(spawner, URING_SPAWNER));
    uring_cancel(fleet->reactor->uring, spawning_ref(spawner, URING_SPAWNER_PIDFD));
    spawner_kill(spawner);
    for (uint32_t i = 0; i < fleet->worker_count; i++)
        if (fleet->workers[i] && fleet->workers[i]->state == WORKER_SPAWNING &&
            !fleet->workers[i]->is_copy)
            supervisor_event(fleet, fleet->workers[i], WORKER_EV_SPAWNER_LOST, NULL);
    spawning_on_timer(fleet);
}

void spawning_on_timer(struct fleet *fleet)
{
    struct spawner *spawner = &fleet->spawner;
    if (spawner->state == SPAWNER_ENDING && !spawner_is_gone(spawner, fleet_has_process, fleet)) {
        timer_set(&fleet->reactor->timers, &fleet->spawner_timer,
                  fleet->reactor->now_ms + GONE_LOOK_MS);
        return;
    }
    if (spawner->state != SPAWNER_NONE || fleet->is_stopping)
        return;
    int rc = spawner_open(spawner);
    if (rc < 0) {
        log_event(&fleet->reactor->log, LEVEL_ERROR, "spawner_failed",
                  LOG_TEXT("error", strerror(-rc)));
        timer_set(&fleet->reactor->timers, &fleet->spawner_timer,
                  fleet->reactor->now_ms + OPEN_RETRY_MS);
        return;
    }
    log_event(&fleet->reactor->log, LEVEL_INFO, "spawner_start", LOG_INTEGER("pid", spawner->pid));
    spawning_hear(fleet);
}

void spawning_on_spawner(struct fleet *fleet, const struct uring_event *event)
{
    struct spawner *spawner = &fleet->spawner;
    if (spawner->state != SPAWNER_RUNNING || event->ref.generation != spawner->generation)
        return;
    bool is_pidfd = event->ref.op == URING_SPAWNER_PIDFD;
    bool is_over = event->result > 0 && (is_pidfd || event->result & (POLLHUP | POLLERR));
    if (!spawning_take_answers(fleet) || is_over)
        spawning_lost(fleet, "it ended");
    else if (!event->more && event->result > 0)
        uring_poll(fleet->reactor->uring, is_pidfd ? spawner->pidfd : spawner->socket, event->ref);
}
