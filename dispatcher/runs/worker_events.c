/* SPDX-License-Identifier: MIT */
/* worker_events.c - fleet_ops for runs and pipelines. */
#include "dispatcher/runs/worker_events.h"

#include "dispatcher/runs/pipeline_health.h"
#include "dispatcher/runs/run.h"
#include "dispatcher/runs/runs.h"

static void on_ready(void *owner, struct worker_pool *pool)
{
    pipeline_served(owner, pool->owner);
}

static void on_failed(void *owner, struct worker_pool *pool, const struct worker_failure *failure)
{
    struct pipeline *pipeline = pool->owner;
    pipeline_note_failure(owner, pipeline, failure->type, failure->message, failure->message_bytes);
    if (failure->traceback)
        pipeline_note_traceback(pipeline, failure->traceback, failure->traceback_bytes);
}

static void on_lacks(void *owner, struct worker_pool *pool, const struct worker_failure *failure)
{
    pipeline_lacks_device(owner, pool->owner, failure->message, failure->message_bytes);
}

static void on_died(void *owner, struct worker *worker, enum error_type type, const char *reason)
{
    pipeline_worker_died(owner, worker->pool->owner, worker, type, reason);
}

static void on_proved(void *owner, struct worker *worker)
{
    pipeline_run_finished(owner, worker->pool->owner, worker);
}

static void on_changed(void *owner, struct worker_pool *pool)
{
    pipeline_review(owner, pool->owner);
}

static void on_counted(void *owner, struct worker_pool *pool)
{
    pipeline_recount(owner, pool->owner);
}

static void on_value(void *owner, struct run *run, const uint8_t *data, size_t bytes)
{
    run_value(owner, run, data, bytes);
}

static void on_value_lost(void *owner, struct run *run, int error)
{
    run_value_lost(owner, run, error);
}

static void on_file(void *owner, struct run *run, const struct worker_file *file)
{
    const struct runs *runs = owner;
    runs->given_ops->take(runs->given_owner, run, file);
}

static struct run_failure events_failure_of(const struct runs *runs,
                                            const struct worker_failure *failure)
{
    return (struct run_failure){.type = failure->type,
                                .status = runs->config->pipeline_error_status,
                                .message = failure->message,
                                .message_count = failure->message_bytes,
                                .traceback = failure->traceback,
                                .traceback_count = failure->traceback_bytes};
}

static void on_plain(void *owner, struct run *run, uint64_t outputs)
{
    (void)owner;
    run->plain_outputs = outputs;
}

static void on_ended(void *owner, struct run *run, const struct worker_failure *failure)
{
    if (!failure) {
        run_end(owner, run);
        return;
    }
    struct run_failure told = events_failure_of(owner, failure);
    if (failure->type == ERROR_INPUT)
        told.status = 400;
    run_error(owner, run, &told);
}

static void on_lost(void *owner, struct run *run, const struct worker_failure *failure)
{
    struct run_failure told = events_failure_of(owner, failure);
    run_worker_lost(owner, run, &told);
}

const struct fleet_ops runs_fleet_ops = {
    .ready = on_ready,
    .failed = on_failed,
    .lacks = on_lacks,
    .died = on_died,
    .proved = on_proved,
    .changed = on_changed,
    .counted = on_counted,
    .value = on_value,
    .value_lost = on_value_lost,
    .file = on_file,
    .plain = on_plain,
    .ended = on_ended,
    .lost = on_lost,
};
