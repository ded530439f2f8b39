/* SPDX-License-Identifier: MIT */
/*
 * loop_stop.c - how a server ends: SERVING -> DRAINING -> STOPPING -> STOPPED.
 *
 *   DRAINING   nothing new; running runs may finish within the limit
 *   STOPPING   runs that are left were cancelled; workers are asked to stop
 *   STOPPED    no worker lives, all answers have left (or their time is over)
 */
#include <string.h>

#include "dispatcher/server/loop.h"
#include "dispatcher/server/serve.h"

/* After the runs were cancelled: the grace of the workers, and a second for the last bytes. */
#define LAST_BYTES_MS 1000u

static const struct run_failure stopping = {
    .type = ERROR_UNKNOWN,
    .status = 503,
    .retry_after_s = 5,
    .message = "cancelled: the server is stopping",
    .message_count = sizeof("cancelled: the server is stopping") - 1,
    .reason = CANCEL_DRAIN,
};

static const struct run_failure not_started = {
    .type = ERROR_UNKNOWN,
    .status = 503,
    .retry_after_s = 5,
    .state = "no_resources_available",
    .message = "the server is stopping",
    .message_count = sizeof("the server is stopping") - 1,
    .reason = CANCEL_DRAIN,
};

static void drain_begin(struct loop *loop)
{
    loop->state = LOOP_DRAINING;
    log_line(&loop->reactor.log, LEVEL_INFO, "draining", "runs=%u limit_ms=%u", loop->run_count,
             loop->config->stop_timeout_ms);
    front_drain(&loop->front);
    for (uint32_t i = 0; i < loop->pipeline_count; i++)
        while (loop->pipelines[i].queue_first)
            run_cancel(loop, loop->pipelines[i].queue_first, &not_started);
    timer_set(&loop->reactor.timers, &loop->stop_timer,
              loop->reactor.now_ms + loop->config->stop_timeout_ms);
}

void loop_stop(struct loop *loop)
{
    if (loop->state == LOOP_SERVING) {
        drain_begin(loop);
        return;
    }
    log_line(&loop->reactor.log, LEVEL_WARNING, "stopped_at_once", "runs=%u", loop->run_count);
    supervisor_kill_all(loop);
    loop->exit_code = EXIT_CODE_STOPPED;
    loop->state = LOOP_STOPPED;
}

void loop_on_stop_timer(struct loop *loop)
{
    if (loop->state == LOOP_DRAINING) {
        log_line(&loop->reactor.log, LEVEL_WARNING, "drain_over", "runs=%u", loop->run_count);
        for (uint32_t i = 0; i < loop->config->run_count_max; i++)
            if (loop->runs[i].state == RUN_ACTIVE)
                run_cancel(loop, &loop->runs[i], &stopping);
        reading_stop(loop);
        loop->state = LOOP_STOPPING;
        timer_set(&loop->reactor.timers, &loop->stop_timer,
                  loop->reactor.now_ms + loop->config->cancel_grace_ms + LAST_BYTES_MS);
    } else {
        supervisor_kill_all(loop);
        loop->state = LOOP_STOPPED;
    }
}

void loop_stop_check(struct loop *loop)
{
    if (loop->state == LOOP_SERVING || loop->state == LOOP_STOPPED)
        return;
    if (loop->state == LOOP_DRAINING && loop->run_count == 0 && !front_is_answering(&loop->front)) {
        loop->state = LOOP_STOPPING;
        timer_set(&loop->reactor.timers, &loop->stop_timer,
                  loop->reactor.now_ms + loop->config->cancel_grace_ms + LAST_BYTES_MS);
    }
    if (loop->state == LOOP_STOPPING) {
        supervisor_stop_idle(loop);
        if (supervisor_live_count(loop) == 0 && !front_is_answering(&loop->front))
            loop->state = LOOP_STOPPED;
    }
}
