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
#include "dispatcher/server/reload_after.h"
#include "dispatcher/server/reload_aliases.h"
#include "dispatcher/server/server.h"
#include "dispatcher/workers/pool.h"
#include "dispatcher/workers/supervisor.h"

#define COMPLAINT_COUNT_MAX 50u
#define LAST_WAIT_MS 1000 /* for a thread that reads when the server ends */

static void reload_begin(struct server *server);
static void reload_end(struct server *server);
static void reload_refuse(struct server *server, const char *reason);
static void reload_complain(struct server *server, const char *line);
static void reload_stopped(struct server *server, struct config *next);
static void reload_refuse_all(struct server *server, char *complaints);
static void reload_config_set(struct server *server, const struct config *next);
static void reload_pipelines(struct server *server);
static void reload_compare(struct server *server, struct config *next);
static uint32_t reload_number_of(const struct config *config, const char *pointer);

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

const char *reload_state_name(enum reload_state state)
{
    static const char *const names[RELOAD_STATE_COUNT] = {
        [RELOAD_IDLE] = "idle", [RELOAD_READING] = "reading", [RELOAD_STARTING] = "starting"};
    return names[state];
}

uint64_t reload_ask(struct server *server)
{
    struct reload *reload = &server->reload;
    reload->wanted = reload->number + 1;
    server->reactor.has_chores = true;
    return reload->wanted;
}

int reload_check(struct server *server, const char *path)
{
    struct reload *reload = &server->reload;
    if (reload->check_path)
        return -EBUSY;
    reload->check_path = strdup(path);
    server->reactor.has_chores = true;
    return reload->check_path ? 0 : -ENOMEM;
}

/* Whether a reload or a check is to begin. */
static bool reload_is_due(const struct reload *reload)
{
    return reload->state == RELOAD_IDLE && (reload->wanted > 0 || reload->check_path);
}

bool reload_has_chores(const struct reload *reload)
{
    return reload->wanted > 0 || reload->state == RELOAD_STARTING || reload_is_due(reload);
}

/* A reload goes before a check. */
static void reload_choose(struct reload *reload)
{
    reload_report_finish(&reload->report);
    reload->is_check = reload->wanted == 0;
    if (!reload->is_check)
        reload->number = reload->wanted;
    reload->wanted = 0;
}

static void reload_begin(struct server *server)
{
    struct reload *reload = &server->reload;
    reload_choose(reload);
    reload->began_ms = server->reactor.now_ms;
    int rc = config_reading_begin(&reload->reading, reload->source,
                                  reload->is_check ? reload->check_path : NULL, reload->event_fd);
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
        reload_stopped(server, next);
    else if (rc < 0)
        reload_refuse_all(server, complaints);
    else if (reload->is_check)
        reload_compare(server, next);
    else
        reload_take(server, next);
    free(complaints);
}

static void reload_count(struct server *server, bool is_whole)
{
    struct reload_outcome *outcome = &server->api.reload_outcome;
    outcome->counts[is_whole]++;
    outcome->has_failed = !is_whole;
    outcome->wall_s = server->reactor.wall_s;
}

/* Whoever asked is told, and a reload is counted. */
static void reload_outcome(struct server *server, bool is_whole)
{
    struct reload *reload = &server->reload;
    struct text json = {0};
    reload->state = RELOAD_IDLE;
    if (reload->is_check)
        text_add(&json, "{\"result\":\"%s\"", is_whole ? "valid" : "invalid");
    else
        text_add(&json, "{\"result\":\"%s\",\"generation\":%u,\"ms\":%llu",
                 is_whole ? "done" : "failed", server->config->holders->number,
                 (unsigned long long)(server->reactor.now_ms - reload->began_ms));
    reload_report_format(&reload->report, &json);
    text_add(&json, "}\n");
    if (reload->is_check) {
        free(reload->check_path);
        reload->check_path = NULL;
        control_on_checked(&server->control, &json);
    } else {
        reload_count(server, is_whole);
        control_on_reloaded(&server->control, reload->number, &json);
    }
    text_finish(&json);
}

/* Nothing has changed. */
static void reload_refuse(struct server *server, const char *reason)
{
    reload_complain(server, reason);
    reload_outcome(server, false);
}

/* What is wrong with a file that is only compared is not the log's. */
static void reload_complain(struct server *server, const char *line)
{
    if (!server->reload.is_check)
        log_event(&server->reactor.log, LEVEL_ERROR, "reload_failed", LOG_TEXT("reason", line));
    reload_report_error(&server->reload.report, line);
}

/* The server stops meanwhile: nothing of it matters any more. */
static void reload_stopped(struct server *server, struct config *next)
{
    reload_forget(next);
    reload_report_error(&server->reload.report, "the server stops");
    reload_outcome(server, false);
}

/* A line each. */
static void reload_refuse_all(struct server *server, char *complaints)
{
    char more[40];
    uint32_t count = 0;
    for (char *line; complaints && (line = strsep(&complaints, "\n")) != NULL;)
        if (*line != '\0' && count++ < COMPLAINT_COUNT_MAX)
            reload_complain(server, line);
    snprintf(more, sizeof more, "and %u more", count - COMPLAINT_COUNT_MAX);
    if (count > COMPLAINT_COUNT_MAX)
        reload_complain(server, more);
    if (count == 0)
        reload_refuse(server, "not enough memory");
    else
        reload_outcome(server, false);
}

static void reload_end(struct server *server)
{
    struct reload *reload = &server->reload;
    const struct reload_report *report = &reload->report;
    const uint32_t *counts = report->counts;
    if (server->state == SERVER_SERVING)
        reload_aliases_end(server);
    log_event(&server->reactor.log, LEVEL_INFO, "reload_end",
              LOG_NATURAL("generation", server->config->holders->number),
              LOG_NATURAL("added", counts[RELOAD_ADDED]),
              LOG_NATURAL("replaced", counts[RELOAD_REPLACED]),
              LOG_NATURAL("removed", counts[RELOAD_REMOVED]),
              LOG_NATURAL("changed", counts[RELOAD_CHANGED]),
              LOG_NATURAL("kept", counts[RELOAD_KEPT]), LOG_NATURAL("aliases", report->alias_count),
              LOG_NATURAL("failed", report->failed_count),
              LOG_NATURAL("ms", server->reactor.now_ms - reload->began_ms));
    reload_outcome(server, report->failed_count == 0);
}

/* ---- the server ---------------------------------------------------------------------------- */

static void reload_restart_keys(struct server *server, const struct restart_keys *keys)
{
    for (uint32_t i = 0; i < keys->count; i++) {
        reload_report_restart_key(&server->reload.report, keys->names[i]);
        if (!server->reload.is_check)
            log_event(&server->reactor.log, LEVEL_WARNING, "reload_needs_restart",
                      LOG_WORD("key", keys->names[i]),
                      LOG_TEXT("reason", "it stays as it was when the server was started"));
    }
}

void reload_take(struct server *server, struct config *next)
{
    struct config_hold hold = {0};
    struct restart_keys keys = {.count = 0};
    char reason[CLI_REASON_BYTES] = "not enough memory";
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
    reload_restart_keys(server, &keys);
    reload_config_set(server, hold.config);
    reload_aliases_begin(server);
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
    files_follow(&server->files, next);
    fetching_follow(&server->fetching, next);
    devices_look_again(&server->devices);
    control_follow_config(&server->control, next);
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

/* What becomes of one that is in both, by what is different. */
static const enum reload_fate reload_fates[] = {[PIPELINE_SAME] = RELOAD_KEPT,
                                                [PIPELINE_LIMITS] = RELOAD_CHANGED,
                                                [PIPELINE_PROCESSES] = RELOAD_REPLACED};

/* What would become of it is said, and no more. */
static void reload_compare(struct server *server, struct config *next)
{
    const struct runs *runs = &server->runs;
    struct reload_report *report = &server->reload.report;
    struct restart_keys keys = {.count = 0};
    char reason[CLI_REASON_BYTES];
    bool is_there[PIPELINE_COUNT_MAX] = {false};
    int rc = config_inherit(next, server->config, &keys, reason);
    for (uint32_t i = 0; i < runs->pipeline_count && rc == 0; i++) {
        const struct pipeline_config *now = runs->pipelines[i]->config;
        uint32_t number = reload_number_of(next, now->pointer);
        if (number == next->pipeline_count) {
            reload_report_note(report, RELOAD_REMOVED, now->pointer);
            continue;
        }
        is_there[number] = true;
        reload_report_note(report, reload_fates[pipeline_change(now, &next->pipelines[number])],
                           now->pointer);
    }
    for (uint32_t i = 0; i < next->pipeline_count && rc == 0; i++)
        if (!is_there[i])
            reload_report_note(report, RELOAD_ADDED, next->pipelines[i].pointer);
    if (rc == 0)
        reload_aliases_compare(server, next);
    if (rc < 0)
        reload_complain(server, reason);
    else
        reload_restart_keys(server, &keys);
    reload_forget(next);
    reload_outcome(server, rc == 0);
}

static void reload_pipeline_fail(struct server *server, const char *pointer, const char *reason,
                                 size_t bytes)
{
    reload_report_fail(&server->reload.report, pointer, reason, bytes);
    log_event(&server->reactor.log, LEVEL_ERROR, "reload_failed", LOG_WORD("pipeline", pointer),
              LOG_BYTES("reason", reason, bytes));
}

/* `former` is the one that is served now; NULL: there is none. */
static void reload_pipeline_start(struct server *server, uint32_t number, struct pipeline *former)
{
    const struct config *config = server->config;
    struct pipeline *pipeline;
    char reason[RUNS_REASON_BYTES];
    int rc = runs_prepare_pipeline(&server->runs, config, number, &pipeline, reason);
    if (rc < 0) {
        reload_pipeline_fail(server, config->pipelines[number].pointer, reason, strlen(reason));
        return;
    }
    pipeline->starts_after = former && runs_yield_pipeline(former);
    if (!pipeline->starts_after)
        supervisor_resize(&server->fleet, pipeline->pool);
}

/* One that is in both. */
static void reload_pipeline_change(struct server *server, struct pipeline *pipeline,
                                   uint32_t number)
{
    const struct config *config = server->config;
    char reason[RUNS_REASON_BYTES];
    enum pipeline_change change = pipeline_change(pipeline->config, &config->pipelines[number]);
    if (change == PIPELINE_PROCESSES) {
        reload_pipeline_start(server, number, pipeline);
        return;
    }
    if (runs_move_pipeline(&server->runs, pipeline, config, number, reason) < 0)
        reload_pipeline_fail(server, pipeline->config->pointer, reason, strlen(reason));
    else
        reload_report_note(&server->reload.report, reload_fates[change], pipeline->config->pointer);
}

static void reload_pipelines(struct server *server)
{
    const struct config *config = server->config;
    struct runs *runs = &server->runs;
    bool is_there[PIPELINE_COUNT_MAX] = {false};
    for (uint32_t i = runs->pipeline_count; i-- > 0;) {
        struct pipeline *pipeline = runs->pipelines[i];
        uint32_t number = reload_number_of(config, pipeline->config->pointer);
        if (number == config->pipeline_count && reload_aliases_need(server, pipeline))
            continue;
        if (number == config->pipeline_count) {
            log_event(&server->reactor.log, LEVEL_INFO, "pipeline_removed",
                      LOG_WORD("pipeline", pipeline->config->pointer),
                      LOG_NATURAL("runs", pipeline->user_count));
            reload_report_note(&server->reload.report, RELOAD_REMOVED, pipeline->config->pointer);
            runs_remove_pipeline(runs, pipeline);
            continue;
        }
        is_there[number] = true;
        reload_pipeline_change(server, pipeline, number);
    }
    for (uint32_t i = 0; i < config->pipeline_count; i++)
        if (!is_there[i])
            reload_pipeline_start(server, i, NULL);
}

static void reload_serve(struct server *server, struct pipeline *pipeline)
{
    uint32_t before = server->runs.pipeline_count;
    runs_serve_pipeline(&server->runs, pipeline);
    reload_report_note(&server->reload.report,
                       server->runs.pipeline_count > before ? RELOAD_ADDED : RELOAD_REPLACED,
                       pipeline->config->pointer);
    log_event(&server->reactor.log, LEVEL_INFO, "pipeline_served",
              LOG_WORD("pipeline", pipeline->config->pointer),
              LOG_NATURAL("workers", pipeline->pool->worker_count));
}

/* The server stops before it has begun. */
static void reload_give_up(struct server *server)
{
    struct reload *reload = &server->reload;
    while (reload_is_due(reload)) {
        reload_choose(reload);
        reload_stopped(server, NULL);
    }
}

/* A pipeline that is coming has been decided about when all of its workers are ready, or one is
 * not. */
void reload_step(struct server *server)
{
    struct reload *reload = &server->reload;
    static const char stops[] = "the server stops";
    bool is_serving = server->state == SERVER_SERVING;
    for (struct pipeline *next, *coming = server->runs.coming; coming; coming = next) {
        next = coming->next;
        size_t bytes = strcspn(coming->failure, "\n");
        if (bytes > 0)
            reload_pipeline_fail(server, coming->config->pointer, coming->failure, bytes);
        else if (!is_serving)
            reload_report_fail(&reload->report, coming->config->pointer, stops, strlen(stops));
        if (bytes > 0 || !is_serving)
            runs_drop_pipeline(&server->runs, coming);
        else if (coming->starts_after)
            reload_after_start(&server->runs, coming);
        else if (pool_is_complete(coming->pool))
            reload_serve(server, coming);
    }
    if (reload->state == RELOAD_STARTING && is_serving)
        reload_aliases_step(server);
    if (reload->state == RELOAD_STARTING && !server->runs.coming && reload_after_end(&server->runs))
        reload_end(server);
    if (!is_serving)
        reload_give_up(server);
    else if (reload_is_due(reload) && server->is_settled)
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
    free(reload->check_path);
    reload_report_finish(&reload->report);
    if (reload->event_fd >= 0)
        close(reload->event_fd);
    reload->event_fd = -1;
}
