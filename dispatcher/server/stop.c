/* SPDX-License-Identifier: MIT */
/*
 * stop.c - how a server ends: SERVING -> ANNOUNCING -> DRAINING -> STOPPING -> STOPPED.
 *
 *   ANNOUNCING /readyz says 503, so that balancers send no more; all else goes on for a while
 *   DRAINING   nothing new; running runs may finish within the limit
 *   STOPPING   runs that are left were cancelled; workers are asked to stop
 *   STOPPED    no worker lives, all answers and results have left (or their time is over)
 */
#include <string.h>

#include "dispatcher/config/exit_code.h"
#include "dispatcher/server/server.h"
#include "dispatcher/workers/renewal.h"
#include "dispatcher/workers/supervisor.h"

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

static void stop_enter(struct server *server, enum server_state state);
static void stop_announce(struct server *server);
static void stop_drain(struct server *server);
static void stop_workers(struct server *server);

void server_end(struct server *server)
{
    supervisor_kill_all(&server->fleet);
    stop_enter(server, SERVER_STOPPED);
}

void server_stop(struct server *server)
{
    switch (server->state) {
    case SERVER_SERVING:
        if (server->config->drain_delay_ms > 0)
            stop_announce(server);
        else
            stop_drain(server);
        break;
    case SERVER_ANNOUNCING:
        stop_drain(server);
        break;
    case SERVER_DRAINING:
    case SERVER_STOPPING:
    case SERVER_STOPPED:
    case SERVER_STATE_COUNT:
        log_event(&server->reactor.log, LEVEL_WARNING, "stopped_at_once",
                  LOG_NATURAL("runs", server->runs.count));
        /* Whether or not its client is told in time, the log has the end of each run. */
        runs_cancel_queued(&server->runs, &not_started);
        runs_cancel_active(&server->runs, &stopping);
        server->exit_code = EXIT_CODE_STOPPED;
        server_end(server);
        break;
    }
}

void server_on_stop_timer(struct server *server)
{
    switch (server->state) {
    case SERVER_ANNOUNCING:
        stop_drain(server);
        break;
    case SERVER_DRAINING:
        log_event(&server->reactor.log, LEVEL_WARNING, "drain_over",
                  LOG_NATURAL("runs", server->runs.count));
        runs_cancel_active(&server->runs, &stopping);
        reading_stop(&server->reading);
        stop_workers(server);
        break;
    case SERVER_SERVING:
    case SERVER_STOPPING:
    case SERVER_STOPPED:
    case SERVER_STATE_COUNT:
        server_end(server);
        break;
    }
}

void server_check_stop(struct server *server)
{
    bool is_answering = front_is_answering(&server->front) || server->callbacks.count > 0;
    if (server->state == SERVER_DRAINING && server->runs.count == 0 && !is_answering)
        stop_workers(server);
    if (server->state != SERVER_STOPPING)
        return;
    supervisor_stop_idle(&server->fleet);
    if (supervisor_live_count(&server->fleet) == 0 && !is_answering)
        stop_enter(server, SERVER_STOPPED);
}

/* The parts that look at it are told. */
static void stop_enter(struct server *server, enum server_state state)
{
    server->state = state;
    server->is_settled = false;
    server->reactor.has_chores = true;
    renewal_stop(&server->fleet);
    server->runs.stop_is_announced = state >= SERVER_ANNOUNCING;
    server->front.is_draining = server->runs.is_draining = state >= SERVER_DRAINING;
    if (state >= SERVER_DRAINING && !server->callbacks.is_stopping)
        callbacks_hurry(&server->callbacks);
    if (state == SERVER_STOPPED)
        callbacks_give_up(&server->callbacks);
    server->fleet.is_stopping = server->runs.is_stopping = server->reading.is_stopping =
        state >= SERVER_STOPPING;
}

/* Who looks at /readyz sees it, and has time to go elsewhere before nobody listens. */
static void stop_announce(struct server *server)
{
    struct reactor *reactor = &server->reactor;
    uint32_t delay_ms = server->config->drain_delay_ms;
    log_event(&reactor->log, LEVEL_INFO, "stop_announced", LOG_NATURAL("runs", server->runs.count),
              LOG_NATURAL("delay_ms", delay_ms));
    stop_enter(server, SERVER_ANNOUNCING);
    timer_set(&reactor->timers, &server->stop_timer, reactor->now_ms + delay_ms);
}

static void stop_drain(struct server *server)
{
    struct reactor *reactor = &server->reactor;
    log_event(&reactor->log, LEVEL_INFO, "draining", LOG_NATURAL("runs", server->runs.count),
              LOG_NATURAL("limit_ms", server->config->stop_timeout_ms));
    stop_enter(server, SERVER_DRAINING);
    front_drain(&server->front);
    runs_cancel_queued(&server->runs, &not_started);
    timer_set(&reactor->timers, &server->stop_timer,
              reactor->now_ms + server->config->stop_timeout_ms);
}

/* Workers go, and the last bytes leave. */
static void stop_workers(struct server *server)
{
    struct reactor *reactor = &server->reactor;
    stop_enter(server, SERVER_STOPPING);
    timer_set(&reactor->timers, &server->stop_timer,
              reactor->now_ms + runs_cancel_grace_ms(&server->runs) + LAST_BYTES_MS);
}
