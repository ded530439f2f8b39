/* SPDX-License-Identifier: MIT */
/* reload.c - what is different in a new configuration is put into effect. */
#include "dispatcher/server/reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "dispatcher/config/config_change.h"
#include "dispatcher/config/config_hold.h"
#include "dispatcher/config/exit_code.h"
#include "dispatcher/config/owner.h"
#include "dispatcher/server/server.h"
#include "dispatcher/workers/pool.h"
#include "dispatcher/workers/supervisor.h"

#define COMPLAINT_COUNT_MAX 50u
#define LAST_WAIT_MS 1000 /* for a thread that reads when the server ends */

static void reload_begin(struct server *server);
static void reload_end(struct server *server);
static void reload_refuse(struct server *server, const char *reason);
static void reload_refuse_all(struct server *server, char *complaints);
static void reload_config_set(struct server *server, const struct config *next);
static void reload_pipelines(struct server *server);

/* ---- when ---------------------------------------------------------------------------------- */

int server_reload_from(struct server *server, const struct config_source *source)
{
    if (!source)
        return 0;
    /* Without O_NONBLOCK: io_uring waits on it. */
    server->reload.event_fd = eventfd(0, EFD_CLOEXEC);
    if (server->reload.event_fd == -1) {
        fprintf(stderr, "millrace: no descriptor for the configuration: %s\n", strerror(errno));
        return EXIT_CODE_FAILED;
    }
    server->reload.source = source;
    return 0;
}

void reload_ask(struct server *server)
{
    server->reload.is_wanted = true;
    server->reactor.has_chores = true;
}

bool reload_has_chores(const struct reload *reload)
{
    return reload->is_wanted || reload->state == RELOAD_STARTING;
}

static void reload_begin(struct server *server)
{
    struct reload *reload = &server->reload;
    reload->is_wanted = false;
    reload->began_ms = server->reactor.now_ms;
    int rc = config_reading_begin(&reload->reading, reload->source, reload->event_fd);
    if (rc < 0) {
        reload_refuse(server, strerror(-rc));
        return;
    }
    reload->state = RELOAD_READING;
    uring_read(server->reactor.uring, reload->event_fd, &reload->event, sizeof reload->event,
               (struct uring_ref){URING_RELOAD, 0, 0});
}

/* One that nobody has held; NULL: there is none. */
static void reload_forget(struct config *config)
{
    if (config)
        config_finish(config);
    free(config);
}

void reload_on_read(struct server *server, const struct uring_event *event)
{
    struct reload *reload = &server->reload;
    struct config *next = NULL;
    char *complaints = NULL;
    if (event->result != (int32_t)sizeof reload->event)
        return; /* the ring is closed */
    int rc = config_reading_end(reload->reading, &next, &complaints);
    reload->reading = NULL;
    reload->state = RELOAD_IDLE;
    if (server->state != SERVER_SERVING)
        reload_forget(next);
    else if (rc < 0)
        reload_refuse_all(server, complaints);
    else
        reload_take(server, next);
    free(complaints);
}

static void reload_outcome(struct server *server, bool is_whole)
{
    struct reload_outcome *outcome = &server->api.reload_outcome;
    outcome->counts[is_whole]++;
    outcome->has_failed = !is_whole;
    outcome->wall_s = server->reactor.wall_s;
}

/* Nothing has changed. */
static void reload_refuse(struct server *server, const char *reason)
{
    log_event(&server->reactor.log, LEVEL_ERROR, "reload_failed", LOG_TEXT("reason", reason));
    reload_outcome(server, false);
}

/* A line each. */
static void reload_refuse_all(struct server *server, char *complaints)
{
    struct log *log = &server->reactor.log;
    uint32_t count = 0;
    for (char *line; complaints && (line = strsep(&complaints, "\n")) != NULL;)
        if (*line != '\0' && count++ < COMPLAINT_COUNT_MAX)
            log_event(log, LEVEL_ERROR, "reload_failed", LOG_TEXT("reason", line));
    if (count > COMPLAINT_COUNT_MAX)
        log_event(log, LEVEL_ERROR, "reload_failed",
                  LOG_NATURAL("more", count - COMPLAINT_COUNT_MAX));
    if (count == 0)
        reload_refuse(server, "not enough memory");
    else
        reload_outcome(server, false);
}

static void reload_end(struct server *server)
{
    struct reload *reload = &server->reload;
    const struct reload_counts *counts = &reload->counts;
    reload->state = RELOAD_IDLE;
    log_event(&server->reactor.log, LEVEL_INFO, "reload_end",
              LOG_NATURAL("generation", server->config->holders->number),
              LOG_NATURAL("added", counts->added), LOG_NATURAL("replaced", counts->replaced),
              LOG_NATURAL("removed", counts->removed), LOG_NATURAL("changed", counts->changed),
              LOG_NATURAL("kept", counts->kept), LOG_NATURAL("failed", counts->failed),
              LOG_NATURAL("ms", server->reactor.now_ms - reload->began_ms));
    reload_outcome(server, counts->failed == 0);
}

/* ---- the server ---------------------------------------------------------------------------- */

static void reload_restart_log(struct server *server, const struct restart_keys *keys)
{
    for (uint32_t i = 0; i < keys->count; i++)
        log_event(&server->reactor.log, LEVEL_WARNING, "reload_needs_restart",
                  LOG_WORD("key", keys->names[i]),
                  LOG_TEXT("reason", "it stays as it was when the server was started"));
}

void reload_take(struct server *server, struct config *next)
{
    struct config_hold hold = {0};
    struct restart_keys keys = {.count = 0};
    char reason[CLI_REASON_BYTES] = "not enough memory";
    server->reload.counts = (struct reload_counts){0};
    int rc = config_inherit(next, server->config, &keys, reason);
    if (rc == 0)
        rc = runs_reserve_owners(&server->runs, owner_count(next));
    if (rc == 0)
        rc = front_listen_for(&server->front, next, reason, sizeof reason);
    /* Without memory for that, listeners that were opened are closed by the next one. */
    if (rc == 0)
        rc = config_hand_over(next, server->config->holders->number + 1, &hold, "reload");
    if (rc < 0) {
        reload_refuse(server, reason);
        reload_forget(next);
        return;
    }
    free(next);
    reload_restart_log(server, &keys);
    reload_config_set(server, hold.config);
    reload_pipelines(server);
    config_let_go(&hold, NULL);
    server->reload.state = RELOAD_STARTING;
    server->reactor.has_chores = true;
}

/* Each part looks there for what is the server's as a whole. */
static void reload_config_set(struct server *server, const struct config *next)
{
    struct reactor *reactor = &server->reactor;
    if (reactor->log.level != next->log_level)
        reactor->log.level = next->log_level;
    if (server->config->log_format != next->log_format)
        log_style_set(&reactor->log, next->log_format);
    front_follow(&server->front, next);
    server->runs.config = server->fleet.config = next;
    server->api.config = server->reading.config = server->config = next;
    config_let_go(&server->hold, &reactor->log);
    config_hold(next, &server->hold, "server", NULL);
}

/* ---- pipelines ----------------------------------------------------------------------------- */

static uint32_t reload_number_of(const struct config *config, const char *pointer)
{
    uint32_t i = 0;
    while (i < config->pipeline_count && strcmp(config->pipelines[i].pointer, pointer) != 0)
        i++;
    return i;
}

static void reload_pipeline_fail(struct server *server, const char *pointer, const char *reason,
                                 size_t bytes)
{
    server->reload.counts.failed++;
    log_event(&server->reactor.log, LEVEL_ERROR, "reload_failed", LOG_WORD("pipeline", pointer),
              LOG_BYTES("reason", reason, bytes));
}

static void reload_pipeline_start(struct server *server, uint32_t number)
{
    const struct config *config = server->config;
    struct pipeline *pipeline;
    char reason[RUNS_REASON_BYTES];
    int rc = runs_prepare_pipeline(&server->runs, config, number, &pipeline, reason);
    if (rc < 0)
        reload_pipeline_fail(server, config->pipelines[number].pointer, reason, strlen(reason));
    else
        supervisor_resize(&server->fleet, pipeline->pool);
}

/* One that is in both. */
static void reload_pipeline_change(struct server *server, struct pipeline *pipeline,
                                   uint32_t number)
{
    const struct config *config = server->config;
    struct reload_counts *counts = &server->reload.counts;
    char reason[RUNS_REASON_BYTES];
    enum pipeline_change change = pipeline_change(pipeline->config, &config->pipelines[number]);
    if (change == PIPELINE_PROCESSES) {
        reload_pipeline_start(server, number);
        return;
    }
    if (runs_move_pipeline(&server->runs, pipeline, config, number, reason) < 0)
        reload_pipeline_fail(server, pipeline->config->pointer, reason, strlen(reason));
    else if (change == PIPELINE_LIMITS)
        counts->changed++;
    else
        counts->kept++;
}

static void reload_pipelines(struct server *server)
{
    const struct config *config = server->config;
    struct runs *runs = &server->runs;
    bool is_there[PIPELINE_COUNT_MAX] = {false};
    for (uint32_t i = runs->pipeline_count; i-- > 0;) {
        struct pipeline *pipeline = runs->pipelines[i];
        uint32_t number = reload_number_of(config, pipeline->config->pointer);
        if (number == config->pipeline_count) {
            log_event(&server->reactor.log, LEVEL_INFO, "pipeline_removed",
                      LOG_WORD("pipeline", pipeline->config->pointer),
                      LOG_NATURAL("runs", pipeline->user_count));
            runs_remove_pipeline(runs, pipeline);
            server->reload.counts.removed++;
            continue;
        }
        is_there[number] = true;
        reload_pipeline_change(server, pipeline, number);
    }
    for (uint32_t i = 0; i < config->pipeline_count; i++)
        if (!is_there[i])
            reload_pipeline_start(server, i);
}

static void reload_serve(struct server *server, struct pipeline *pipeline)
{
    struct reload_counts *counts = &server->reload.counts;
    uint32_t before = server->runs.pipeline_count;
    runs_serve_pipeline(&server->runs, pipeline);
    counts->added += server->runs.pipeline_count > before;
    counts->replaced += server->runs.pipeline_count == before;
    log_event(&server->reactor.log, LEVEL_INFO, "pipeline_served",
              LOG_WORD("pipeline", pipeline->config->pointer),
              LOG_NATURAL("workers", pipeline->pool->worker_count));
}

/* A pipeline that is coming has been decided about when all of its workers are ready, or one is
 * not. */
void reload_step(struct server *server)
{
    struct reload *reload = &server->reload;
    bool is_serving = server->state == SERVER_SERVING;
    for (struct pipeline *next, *coming = server->runs.coming; coming; coming = next) {
        next = coming->next;
        size_t bytes = strcspn(coming->failure, "\n");
        if (bytes > 0)
            reload_pipeline_fail(server, coming->config->pointer, coming->failure, bytes);
        if (bytes > 0 || !is_serving)
            runs_drop_pipeline(&server->runs, coming);
        else if (pool_ready_count(coming->pool) == coming->pool->worker_count)
            reload_serve(server, coming);
    }
    if (reload->state == RELOAD_STARTING && !server->runs.coming)
        reload_end(server);
    reload->is_wanted &= is_serving;
    if (reload->is_wanted && reload->state == RELOAD_IDLE && server->is_settled)
        reload_begin(server);
}

void reload_finish(struct server *server)
{
    struct reload *reload = &server->reload;
    struct config *next = NULL;
    char *complaints = NULL;
    reload->is_left = reload->reading && !config_reading_wait(reload->reading, LAST_WAIT_MS);
    if (reload->is_left)
        return; /* it has the descriptor until the process ends */
    if (reload->reading && config_reading_end(reload->reading, &next, &complaints) == 0)
        reload_forget(next);
    free(complaints);
    if (reload->event_fd >= 0)
        close(reload->event_fd);
    reload->event_fd = -1;
}
