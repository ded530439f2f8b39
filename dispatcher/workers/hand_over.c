/* SPDX-License-Identifier: MIT */
/* hand_over.c - a successor is called, or sent away. */
#include "dispatcher/workers/hand_over.h"

#include "dispatcher/workers/pool.h"

void hand_over_call(struct fleet *fleet, struct worker *worker, const char *reason)
{
    struct worker *successor = pool_spare(worker->pool);
    mr_assert(successor != NULL);
    log_event(&fleet->reactor->log, LEVEL_INFO, "worker_replace",
              LOG_WORD("pipeline", worker->pool->config->pointer), worker_log_field(worker),
              LOG_INTEGER("pid", worker->pid), LOG_TEXT("reason", reason));
    worker->successor = successor;
    successor->predecessor = worker;
    successor->is_surplus = worker->is_surplus;
    successor->number = worker->number;
    successor->restart_count = worker->restart_count;
    successor->failure_streak = successor->death_streak = 0;
    timer_set(&fleet->reactor->timers, &successor->timer, fleet->reactor->now_ms);
}

/* That the successor could not load says nothing of the pipeline: this one serves it. */
struct worker *hand_over_keep(struct worker *worker)
{
    struct worker *successor = worker->successor;
    worker->successor = successor->predecessor = NULL;
    worker->pool->cannot_load = false;
    return successor;
}

void hand_over_dismiss(struct fleet *fleet, struct worker *worker)
{
    timer_clear(&fleet->reactor->timers, &worker->timer);
}
