/* SPDX-License-Identifier: MIT */
/* spawning.c - what the spawner says, and what is done when it says nothing any more. */
#include "dispatcher/workers/spawning.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/server/loop.h"

/* How often it is looked whether the last one is gone; how long one is waited for that cannot be
 * opened. */
#define GONE_LOOK_MS 10u
#define OPEN_RETRY_MS 1000u

static struct uring_ref ref_of(const struct spawner *spawner, enum uring_op op)
{
    return (struct uring_ref){op, 0, spawner->generation};
}

void supervisor_hear_spawner(struct loop *loop)
{
    struct spawner *spawner = &loop->spawner;
    if (spawner->state == SPAWNER_RUNNING)
        uring_poll(loop->reactor.uring, spawner->socket, ref_of(spawner, URING_SPAWNER));
}

bool supervisor_may_start(const struct loop *loop)
{
    const struct spawner *spawner = &loop->spawner;
    if (spawner->state == SPAWNER_RUNNING)
        return spawner->asked_count < SPAWNER_ASKED_COUNT_MAX;
    return spawner->state == SPAWNER_NONE;
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

/* Descriptors, processes, memory; and descriptors on their way through sockets, which are counted
 * for the user, whoever sends them. */
static bool is_shortage(int error)
{
    static const int shortages[] = {EAGAIN, ETOOMANYREFS, EMFILE, ENFILE, ENOMEM};
    for (size_t i = 0; i < ARRAY_COUNT(shortages); i++)
        if (error == -shortages[i])
            return true;
    return false;
}

void start_error_note(struct worker *worker, int error, char *text, size_t text_bytes)
{
    worker->was_short = is_shortage(error);
    snprintf(text, text_bytes, "the worker process cannot be started: %s%s", strerror(-error),
             start_error_hint(error));
}

/* ---- answers ------------------------------------------------------------------------------- */

/* The worker that waits for the answer. Nothing but an answer or the end of the spawner, after
 * which there are none, ends its waiting. */
static struct worker *asker(struct loop *loop, const struct spawn_answer *answer)
{
    mr_assert(answer->index < loop->worker_count);
    struct worker *worker = &loop->workers[answer->index];
    mr_assert(worker->state == WORKER_SPAWNING);
    mr_assert(worker->generation == answer->generation);
    return worker;
}

static void on_started(struct loop *loop, const struct spawn_answer *answer)
{
    struct worker *worker = asker(loop, answer);
    close(worker->pidfd); /* held its place */
    spawner_take(&loop->spawner, &worker->pidfd);
    if (worker->pidfd == -1) {
        kill(answer->pid, SIGKILL);
        worker->was_short = true;
        supervisor_event(loop, worker, WORKER_EV_START_FAILED, "there is no descriptor for it");
        return;
    }
    worker->pid = answer->pid;
    supervisor_event(loop, worker, WORKER_EV_STARTED, NULL);
}

static void on_answer(struct loop *loop, const struct spawn_answer *answer)
{
    struct spawner *spawner = &loop->spawner;
    if (answer->kind == SPAWN_STARTED) {
        on_started(loop, answer);
        return;
    }
    int pidfd;
    spawner_take(spawner, &pidfd);
    if (answer->kind == SPAWN_READY) {
        spawner->pidfd = pidfd;
        if (pidfd >= 0)
            uring_poll(loop->reactor.uring, pidfd, ref_of(spawner, URING_SPAWNER_PIDFD));
    } else if (answer->kind == SPAWN_FAILED) {
        char reason[160];
        struct worker *worker = asker(loop, answer);
        start_error_note(worker, -answer->error, reason, sizeof(reason));
        supervisor_event(loop, worker, WORKER_EV_START_FAILED, reason);
    } else if (answer->kind == SPAWN_EXEC_FAILED) {
        /* It exits now, which ends the start; unless it was killed meanwhile. */
        mr_assert(answer->index < loop->worker_count);
        struct worker *worker = &loop->workers[answer->index];
        if (worker->state == WORKER_STARTING && worker->generation == answer->generation)
            worker->exec_error = answer->error;
    }
}

bool supervisor_take_answers(struct loop *loop)
{
    /* Bounded by the starts that are asked for, each of which has two at most. */
    for (;;) {
        struct spawn_answer answer;
        int rc = spawner_peek(&loop->spawner, &answer);
        if (rc <= 0)
            return rc == 0;
        on_answer(loop, &answer);
    }
}

/* ---- its end ------------------------------------------------------------------------------- */

static bool is_worker(const void *context, pid_t pid)
{
    const struct loop *loop = context;
    for (uint32_t i = 0; i < loop->worker_count; i++)
        if (loop->workers[i].pid == pid)
            return true;
    return false;
}

void supervisor_spawner_lost(struct loop *loop, const char *reason)
{
    struct spawner *spawner = &loop->spawner;
    mr_assert(spawner->state == SPAWNER_RUNNING);
    supervisor_take_answers(loop);
    log_line(&loop->reactor.log, LEVEL_WARNING, "spawner_lost", "pid=%d starts=%u reason=\"%s\"",
             (int)spawner->pid, spawner->asked_count, reason);
    loop->metrics.spawner_lost_count++;
    uring_cancel(loop->reactor.uring, ref_of(spawner, URING_SPAWNER));
    uring_cancel(loop->reactor.uring, ref_of(spawner, URING_SPAWNER_PIDFD));
    spawner_kill(spawner);
    for (uint32_t i = 0; i < loop->worker_count; i++)
        if (loop->workers[i].state == WORKER_SPAWNING)
            supervisor_event(loop, &loop->workers[i], WORKER_EV_SPAWNER_LOST, NULL);
    supervisor_on_spawner_timer(loop);
}

void supervisor_on_spawner_timer(struct loop *loop)
{
    struct spawner *spawner = &loop->spawner;
    if (spawner->state == SPAWNER_ENDING && !spawner_is_gone(spawner, is_worker, loop)) {
        timer_set(&loop->reactor.timers, &loop->spawner_timer, loop->reactor.now_ms + GONE_LOOK_MS);
        return;
    }
    if (spawner->state != SPAWNER_NONE || loop->state >= LOOP_STOPPING)
        return;
    int rc = spawner_open(spawner);
    if (rc < 0) {
        log_line(&loop->reactor.log, LEVEL_ERROR, "spawner_failed", "error=\"%s\"", strerror(-rc));
        timer_set(&loop->reactor.timers, &loop->spawner_timer,
                  loop->reactor.now_ms + OPEN_RETRY_MS);
        return;
    }
    log_line(&loop->reactor.log, LEVEL_INFO, "spawner_start", "pid=%d", (int)spawner->pid);
    supervisor_hear_spawner(loop);
}

void supervisor_on_spawner(struct loop *loop, const struct uring_event *event)
{
    struct spawner *spawner = &loop->spawner;
    if (spawner->state != SPAWNER_RUNNING || event->ref.generation != spawner->generation)
        return;
    bool is_pidfd = event->ref.op == URING_SPAWNER_PIDFD;
    bool is_over = event->result > 0 && (is_pidfd || event->result & (POLLHUP | POLLERR));
    if (!supervisor_take_answers(loop) || is_over)
        supervisor_spawner_lost(loop, "it ended");
    else if (!event->more && event->result > 0)
        uring_poll(loop->reactor.uring, is_pidfd ? spawner->pidfd : spawner->socket, event->ref);
}
