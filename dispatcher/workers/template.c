/* SPDX-License-Identifier: MIT */
/* template.c - what a pool's template says is looked at, and it is replaced. */
#include "dispatcher/workers/template.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dispatcher/config/preload.h"
#include "dispatcher/reactor/child_group.h"
#include "dispatcher/workers/fleet.h"
#include "dispatcher/workers/spawning.h"
#include "dispatcher/workers/supervisor.h"
#include "millrace/protocol.h"
#include "shm/descriptors.h"

/* It ended so often without a copy: the pause before the next one is too long to wait for. */
#define TEMPLATE_STREAK_COUNT_MAX 4u
/* How often it is looked whether the copies have ended that nobody was told of. */
#define REST_LOOK_MS 10u

static void template_refuse(struct fleet *fleet, struct worker *self, const char *reason);
static void template_lost(struct fleet *fleet, struct pool_template *template);
static void template_sweep(const struct fleet *fleet, struct pool_template *template);
static void template_rest_await(struct fleet *fleet, struct worker *self);

/* ---- answers ------------------------------------------------------------------------------- */

/* Places that wait for it are asked again. */
static void template_wake(struct fleet *fleet, struct worker_pool *pool)
{
    if (!fleet->is_stopping && !pool->is_leaving)
        supervisor_resize(fleet, pool);
}

/* A copy is a child of ours, though we did not make it, and in the group of its template until it
 * is told to go. No other child of ours is. A pidfd, or -1: it is something else, or gone. */
static int template_look(const struct fleet *fleet, const struct worker *self, pid_t pid)
{
    siginfo_t info = {0};
    int pidfd = pid > 1 && !fleet_has_process(fleet, pid) ? pidfd_open(pid, 0) : -1;
    if (pidfd >= 0 && waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        getpgid(pid) == self->pid)
        return pidfd;
    descriptor_close(&pidfd);
    return -1;
}

/* On a socket to which nothing was sent yet there is room. */
static int template_go(const struct worker *worker)
{
    return channel_send(&worker->channel, &(struct message){.kind = MESSAGE_GO}, NULL);
}

static bool template_take_copy(const struct fleet *fleet, const struct worker *self,
                               struct worker *worker, pid_t pid)
{
    descriptor_close(&worker->pidfd); /* held its place */
    worker->pidfd = template_look(fleet, self, pid);
    if (worker->pidfd == -1)
        return false;
    worker->pid = pid;
    if (template_go(worker) < 0)
        kill(pid, SIGKILL);
    return true;
}

/* NULL: nobody asked, or another one. */
static struct worker *template_asker(const struct fleet *fleet, const struct worker *self,
                                     const struct message_forked *copy)
{
    struct worker *worker = copy->place < fleet->worker_count ? fleet->workers[copy->place] : NULL;
    bool is_asker = worker && worker->pool == self->pool && worker->state == WORKER_SPAWNING &&
                    worker->is_copy && worker->generation == copy->generation;
    return is_asker ? worker : NULL;
}

/* Where it is for want of what all share, it is nobody's failure. */
static void template_take_failure(struct fleet *fleet, struct worker *self, struct worker *worker,
                                  int error)
{
    char reason[160];
    start_error_note(worker, -error, reason, sizeof reason);
    if (worker->was_short) {
        supervisor_event(fleet, worker, WORKER_EV_START_FAILED, reason);
        return;
    }
    template_refuse(fleet, self, self->failure_words);
    supervisor_event(fleet, worker, WORKER_EV_SPAWNER_LOST, NULL);
    supervisor_event(fleet, self, WORKER_EV_STOP, "it cannot be copied");
}

enum worker_event template_take(struct fleet *fleet, struct worker *self,
                                const struct message_forked *copy, const char **wrong)
{
    struct worker *worker = template_asker(fleet, self, copy);
    if (!worker) {
        *wrong = "it told of a copy that nobody asked for";
        return WORKER_EV_MISBEHAVED;
    }
    if (copy->pid != 0 && !template_take_copy(fleet, self, worker, copy->pid)) {
        *wrong = "it told of a process that is no copy of it";
        return WORKER_EV_MISBEHAVED; /* whoever asked is told when it is gone */
    }
    mr_assert(self->pool->template.asked_count > 0);
    self->pool->template.asked_count--;
    if (copy->pid == 0)
        template_take_failure(fleet, self, worker, copy->error);
    else
        supervisor_event(fleet, worker, WORKER_EV_STARTED, NULL);
    template_wake(fleet, self->pool);
    return WORKER_EV_COUNT;
}

void template_overdue(struct fleet *fleet, struct worker *worker)
{
    supervisor_event(fleet, worker->pool->template.worker, WORKER_EV_MISBEHAVED,
                     "it did not make a copy in time");
}

/* ---- its life ------------------------------------------------------------------------------ */

void template_start(struct fleet *fleet, struct worker_pool *pool)
{
    struct pool_template *template = &pool->template;
    struct worker *self = template->worker;
    if (!self || self->is_surplus || template->is_refused || self->state != WORKER_EMPTY ||
        worker_has_process(self) || self->timer.position != 0)
        return;
    supervisor_start_or_wait(fleet, self);
}

void template_begin(const struct fleet *fleet, struct worker *self)
{
    self->end = WORKER_END_EXITED; /* until somebody else ends it */
    template_sweep(fleet, &self->pool->template);
}

void template_renew(struct fleet *fleet, struct worker_pool *pool)
{
    struct pool_template *template = &pool->template;
    struct worker *self = template->worker;
    if (!self)
        return;
    template->is_refused = template->has_failed = false;
    template->reason[0] = '\0';
    self->failure_streak = 0;
    for (uint32_t i = 0; i < pool->place_count; i++)
        pool->places[i]->failed_as_copy = false;
    if (worker_has_process(self)) {
        supervisor_event(fleet, self, WORKER_EV_STOP, "it is to be renewed");
    } else if (self->state == WORKER_EMPTY) {
        timer_clear(&fleet->reactor->timers, &self->timer);
        template_start(fleet, pool);
    }
}

void template_ready(struct fleet *fleet, struct worker *self)
{
    struct pool_template *template = &self->pool->template;
    template->has_failed = false;
    template->reason[0] = '\0';
    template->group = self->pid;
    log_event(&fleet->reactor->log, LEVEL_INFO, "template_ready",
              LOG_WORD("pipeline", self->pool->config->pointer), LOG_INTEGER("pid", self->pid),
              LOG_NAME("preload", preload_words[self->pool->config->options.preload]),
              LOG_NATURAL("ms", self->ready_ms - self->started_ms));
    template_wake(fleet, self->pool);
}

void template_served(struct worker_pool *pool)
{
    pool->template.copy_count++;
    pool->template.worker->failure_streak = 0;
}

/* For good, or until the files are read anew. */
static void template_refuse(struct fleet *fleet, struct worker *self, const char *reason)
{
    struct pool_template *template = &self->pool->template;
    template->is_refused = true;
    if (reason != template->reason)
        snprintf(template->reason, sizeof template->reason, "%s", reason);
    log_event(&fleet->reactor->log, LEVEL_WARNING, "template_refused",
              LOG_WORD("pipeline", self->pool->config->pointer),
              LOG_TEXT("reason", template->reason));
}

void template_ended(struct fleet *fleet, struct worker *self, const char *reason)
{
    struct pool_template *template = &self->pool->template;
    if (self->is_unforkable) {
        template_refuse(fleet, self, self->has_said_why ? self->failure_words : reason);
    } else if (!template->is_refused && !self->is_surplus && !fleet->is_stopping &&
               self->end != WORKER_END_STOPPED) {
        template->has_failed =
            self->ready_ms == 0 || self->failure_streak > TEMPLATE_STREAK_COUNT_MAX;
        snprintf(template->reason, sizeof template->reason, "%s",
                 self->has_said_why ? self->failure_words : reason);
        log_event(&fleet->reactor->log, LEVEL_WARNING, "template_exit",
                  LOG_WORD("pipeline", self->pool->config->pointer),
                  LOG_TEXT("reason", template->reason));
        bool is_of_use = self->ready_ms > 0 && template->asked_count == 0;
        if (self->failure_streak > TEMPLATE_STREAK_COUNT_MAX && !is_of_use)
            template_refuse(fleet, self, template->reason);
    }
    template_lost(fleet, template);
    template_sweep(fleet, template);
    if (self->is_surplus || template->is_refused)
        template_rest_await(fleet, self);
}

/* Where no other one starts, which would look. */
static void template_rest_await(struct fleet *fleet, struct worker *self)
{
    if (self->pool->template.group != 0)
        timer_set(&fleet->reactor->timers, &self->timer, fleet->reactor->now_ms + REST_LOOK_MS);
    else
        fleet->has_moved = true;
}

bool template_may_start(struct fleet *fleet, struct worker *self)
{
    struct pool_template *template = &self->pool->template;
    if (!self->is_surplus && !template->is_refused)
        return true;
    template_sweep(fleet, template);
    template_rest_await(fleet, self);
    return false;
}

/* Who waits for a copy begins by itself: to be asked for one may be what ended it, unless it was
 * told to go. */
static void template_lost(struct fleet *fleet, struct pool_template *template)
{
    const struct worker_pool *pool = template->worker->pool;
    template->asked_count = 0;
    for (uint32_t i = 0; i < pool->place_count; i++) {
        struct worker *worker = pool->places[i];
        if (worker->state != WORKER_SPAWNING || !worker->is_copy)
            continue;
        worker->failed_as_copy |= template->worker->end != WORKER_END_STOPPED;
        supervisor_event(fleet, worker, WORKER_EV_SPAWNER_LOST, NULL);
    }
}

/* Copies that nobody was told of have ended with it, and nobody else waits for them. One that was
 * told of, and is still in the group, is heard through its pidfd. */
static void template_sweep(const struct fleet *fleet, struct pool_template *template)
{
    if (template->group != 0 && child_group_reap(template->group, fleet_has_process, fleet))
        template->group = 0; /* else it is looked again before the next one starts */
}
