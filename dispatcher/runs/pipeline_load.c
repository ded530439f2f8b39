/* SPDX-License-Identifier: MIT */
/* pipeline_load.c - how far the start of a pipeline is, for those who would have to wait for it. */
#include <stdio.h>
#include <string.h>

#include "dispatcher/reactor/reactor.h"
#include "dispatcher/runs/pipeline.h"
#include "dispatcher/workers/pool.h"

#define RETRY_AFTER_S_MAX 60u

static uint64_t load_now_ms(const struct pipeline *pipeline)
{
    return pipeline->pool->fleet->reactor->now_ms;
}

void pipeline_load_words(const struct pipeline *pipeline, char words[LOAD_WORDS_BYTES])
{
    const struct worker *worker = pool_first_starting(pipeline->pool);
    char said[START_PROGRESS_WORDS_BYTES];
    if (!worker) {
        pipeline_room_words(pipeline, words);
        return;
    }
    start_progress_words(&worker->progress, said);
    snprintf(words, LOAD_WORDS_BYTES, "%s%s (%llu s)", said[0] != '\0' ? ": " : "", said,
             (unsigned long long)(load_now_ms(pipeline) - worker->started_ms) / 1000);
}

bool pipeline_is_being_started(const struct pipeline *pipeline)
{
    return pipeline->state == PIPELINE_WAKING || pipeline->state == PIPELINE_LOADING ||
           (pipeline->state == PIPELINE_RESTARTING && pipeline_room_waiting(pipeline));
}

/* What the worker says itself is nearer to the truth than what starts took before. */
uint32_t pipeline_load_s(const struct pipeline *pipeline)
{
    const struct worker *worker = pool_first_starting(pipeline->pool);
    uint64_t left_ms = worker ? pipeline->pool->start_ms : pipeline_room_left_ms(pipeline);
    if (worker) {
        uint64_t now_ms = load_now_ms(pipeline), taken_ms = now_ms - worker->started_ms;
        int64_t said_ms = start_progress_left_ms(&worker->progress, worker->started_ms, now_ms);
        left_ms = left_ms > taken_ms ? left_ms - taken_ms : 0;
        left_ms = said_ms >= 0 ? (uint64_t)said_ms : left_ms;
    }
    uint64_t wait_s = 1 + left_ms / 1000;
    return wait_s < RETRY_AFTER_S_MAX ? (uint32_t)wait_s : RETRY_AFTER_S_MAX;
}

struct run_failure pipeline_loads(const struct pipeline *pipeline, const char *message)
{
    return (struct run_failure){.type = ERROR_LOADING,
                                .status = 503,
                                .state = "no_resources_available",
                                .refusal = REFUSAL_NOT_READY,
                                .retry_after_s = pipeline_load_s(pipeline),
                                .message = message,
                                .message_count = strlen(message)};
}
