/* SPDX-License-Identifier: MIT */
/* server.c - the parts of a server are made, wired, run and given back. */
#include "dispatcher/server/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/api/answer.h"
#include "dispatcher/api/api_exchange.h"
#include "dispatcher/api/transfer.h"
#include "dispatcher/http/listener.h"
#include "dispatcher/runs/worker_events.h"
#include "dispatcher/server/serve.h"
#include "dispatcher/server/signals.h"
#include "dispatcher/workers/output.h"
#include "dispatcher/workers/pool.h"
#include "dispatcher/workers/spawning.h"
#include "dispatcher/workers/supervisor.h"
#include "dispatcher/workers/workers.h"
#include "shm/clock.h"

#define LOG_SETTLE_TRIES 50u
#define LOG_SETTLE_EVENTS 64u

static int server_log_open(struct server *server);
static int server_parts_init(struct server *server);
static int server_helpers_open(struct server *server);
static int server_front_open(struct server *server);
static int server_control_open(struct server *server);
static int server_pipelines_add(struct server *server);
static void server_let_go(struct server *server);
static void server_writes_settle(struct server *server);

int server_init(struct server *server, const struct config *config)
{
    *server = (struct server){
        .config = config, .signal_fd = -1, .reload.event_fd = -1, .control.socket.fd = -1};
    config_hold(config, &server->hold, "server", NULL);
    server_check_handlers();
    reactor_init(&server->reactor, STDERR_FILENO, config->log_level);
    int rc = server_log_open(server);
    if (rc == 0)
        rc = server_parts_init(server);
    if (rc != 0)
        return rc;
    server->signal_fd = signals_open();
    if (server->signal_fd < 0) {
        fprintf(stderr, "millrace: signals cannot be watched: %s\n", strerror(-server->signal_fd));
        return EXIT_CODE_FAILED;
    }
    rc = server_helpers_open(server);
    if (rc == 0)
        rc = server_front_open(server);
    if (rc == 0)
        rc = server_control_open(server);
    if (rc == 0)
        rc = server_pipelines_add(server);
    if (rc != 0)
        return rc;
    server->reactor.has_chores = true; /* the start is to be said */
    rc = reactor_open(&server->reactor);
    if (rc < 0) {
        char text[400];
        uring_explain(rc, text, sizeof text);
        fprintf(stderr, "millrace: %s\n", text);
        return EXIT_CODE_IO_URING;
    }
    return 0;
}

void server_finish(struct server *server)
{
    /* First of all: nothing of ours belongs to the kernel afterwards. */
    reactor_close(&server->reactor);
    reload_finish(server);
    runs_finish(&server->runs);
    workers_finish(&server->fleet);
    devices_finish(&server->devices);
    reading_finish(&server->reading);
    callbacks_finish(&server->callbacks);
    fetching_finish(&server->fetching);
    answers_finish(&server->api);
    transfers_finish(&server->api);
    files_finish(&server->files);
    control_finish(&server->control);
    front_finish(&server->front);
    input_memory_finish(&server->input);
    server_let_go(server);
    server->ready_line.is_lost |= server->ready_line.text != NULL;
    free(server->ready_line.text);
    reactor_finish(&server->reactor);
    if (server->signal_fd >= 0)
        close(server->signal_fd);
}

void server_run(struct server *server)
{
    struct reactor *reactor = &server->reactor;
    bool is_busy = true;
    reactor_clocks_read(reactor);
    reactor->started_ms = reactor->now_ms;
    reactor->started_wall_s = reactor->wall_s;
    server_read_signal(server);
    listener_arm(&server->front);
    control_start(&server->control);
    reading_start(&server->reading);
    files_start(&server->files);
    supervisor_start(&server->fleet);
    while (server->state != SERVER_STOPPED) {
        int rc = server_wait(server, is_busy);
        if (rc < 0) {
            log_event(&reactor->log, LEVEL_ERROR, "io_uring_failed",
                      LOG_TEXT("error", strerror(-rc)));
            server->exit_code = EXIT_CODE_IO_URING;
            break;
        }
        is_busy = server_pass(server);
        /* How long everything else had to wait for this pass. */
        buckets_add(&reactor->pass_times, &bucket_scale_passes, clock_now_ns() - reactor->now_ns);
    }
    output_log_suppressed(&server->fleet);
    server_writes_settle(server);
}

void server_check(const struct server *server)
{
    front_check(&server->front);
    if (control_is_open(&server->control))
        front_check(&server->control.front);
    runs_check(&server->runs);
    files_check(&server->files);
    staging_check(&server->staging);
    mr_assert(server->front.is_draining == (server->state >= SERVER_DRAINING));
    mr_assert(server->runs.is_draining == (server->state >= SERVER_DRAINING));
    mr_assert(server->runs.stop_is_announced == (server->state >= SERVER_ANNOUNCING));
    mr_assert(server->fleet.is_stopping == (server->state >= SERVER_STOPPING));
}

static int server_log_open(struct server *server)
{
    const struct config *config = server->config;
    struct reactor *reactor = &server->reactor;
    int rc =
        config->log_path ? log_file_open(&reactor->log_file, &reactor->log, config->log_path) : 0;
    log_style_set(&reactor->log, config->log_format);
    if (rc == 0)
        return 0;
    fprintf(stderr, "millrace: --log-file %s: %s\n", config->log_path, strerror(-rc));
    return EXIT_CODE_USAGE;
}

static int server_memory_lacks(const struct config *config)
{
    fprintf(stderr, "millrace: not enough memory for %u connections and %u runs (ulimit -v)\n",
            config->conn_count_max, config->run_count_max);
    return EXIT_CODE_FAILED;
}

static int server_process_lacks(const char *what, int rc)
{
    fprintf(stderr, "millrace: the process that %s cannot be started: %s%s\n", what, strerror(-rc),
            start_error_hint(rc));
    return EXIT_CODE_FAILED;
}

/* Each part has what it works with, and whom it tells. */
static int server_parts_init(struct server *server)
{
    const struct config *config = server->config;
    struct reactor *reactor = &server->reactor;
    input_memory_init(&server->input, config->input_bytes_max, config->body_file_count_max);
    server->stop_timer.kind = TIMER_STOP;
    server->api = (struct api){.config = config,
                               .reactor = reactor,
                               .front = &server->front,
                               .runs = &server->runs,
                               .fleet = &server->fleet,
                               .reading = &server->reading,
                               .files = &server->files,
                               .staging = &server->staging,
                               .fetching = &server->fetching,
                               .callbacks = &server->callbacks,
                               .input = &server->input};
    server->giving = (struct giving){.files = &server->files};
    server->staging = (struct staging){.files = &server->files,
                                       .fetching = &server->fetching,
                                       .runs = &server->runs,
                                       .input = &server->input};
    if (files_init(&server->files, &(struct files_options){.config = config,
                                                           .reactor = reactor,
                                                           .input = &server->input}) < 0 ||
        timers_reserve(&reactor->timers, 1) < 0 ||
        devices_init(&server->devices, reactor, &supervisor_devices_ops, &server->fleet) < 0 ||
        workers_init(&server->fleet, &(struct fleet_options){.config = config,
                                                             .reactor = reactor,
                                                             .devices = &server->devices,
                                                             .ops = &runs_fleet_ops,
                                                             .owner = &server->runs}) < 0 ||
        runs_init(&server->runs, &(struct runs_options){.config = config,
                                                        .reactor = reactor,
                                                        .fleet = &server->fleet,
                                                        .input = &server->input,
                                                        .given_ops = &giving_ops,
                                                        .given_owner = &server->giving,
                                                        .unread_ops = &api_unread_ops,
                                                        .unread_owner = &server->api}) < 0 ||
        reading_init(&server->reading, &(struct reading_options){.config = config,
                                                                 .reactor = reactor,
                                                                 .input = &server->input,
                                                                 .ops = &api_reading_ops}) < 0 ||
        fetching_init(&server->fetching, config, reactor) < 0 ||
        callbacks_init(&server->callbacks, reactor, &server->fetching) < 0)
        return server_memory_lacks(config);
    return 0;
}

static int server_files_open(struct server *server)
{
    char reason[FILES_REASON_BYTES];
    if (files_open(&server->files, reason) == 0)
        return 0;
    fprintf(stderr, "millrace: --files %s\n", reason);
    return EXIT_CODE_USAGE;
}

/* Before there is anything that they should not have: listeners, a ring, clients. */
static int server_helpers_open(struct server *server)
{
    char reason[CGROUP_REASON_BYTES];
    if (pool_groups_prepare(&server->fleet, reason) < 0) {
        fprintf(stderr, "millrace: --worker-memory: %s\n", reason);
        return EXIT_CODE_USAGE;
    }
    int rc = spawner_open(&server->fleet.spawner);
    if (rc < 0)
        return server_process_lacks("starts workers", rc);
    rc = reader_open(&server->reading.reader, server->config->body_bytes_max);
    return rc < 0 ? server_process_lacks("reads large bodies", rc) : server_files_open(server);
}

static int server_front_open(struct server *server)
{
    char reason[200];
    uint32_t conn_count_max = server->config->conn_count_max;
    uint64_t output_bytes_max = server->config->output_bytes_max;
    if (front_init(&server->front, &(struct front_options){.config = server->config,
                                                           .reactor = &server->reactor,
                                                           .input = &server->input,
                                                           .ops = &api_exchange_ops,
                                                           .owner = &server->api,
                                                           .conn_count_max = conn_count_max,
                                                           .output_bytes_max = output_bytes_max}) <
        0)
        return server_memory_lacks(server->config);
    if (front_listen(&server->front, reason, sizeof reason) < 0) {
        fprintf(stderr, "millrace: cannot listen on %s\n", reason);
        return EXIT_CODE_LISTEN;
    }
    return 0;
}

static int server_control_open(struct server *server)
{
    char reason[CLI_REASON_BYTES];
    if (control_init(&server->control,
                     &(struct control_options){.config = server->config,
                                               .reactor = &server->reactor,
                                               .api = &server->api,
                                               .ops = &server_control_ops,
                                               .owner = server},
                     reason) == 0)
        return 0;
    fprintf(stderr, "millrace: --control %s\n", reason);
    return EXIT_CODE_LISTEN;
}

static int server_pipelines_add(struct server *server)
{
    const struct config *config = server->config;
    char reason[RUNS_REASON_BYTES];
    struct pipeline *pipeline;
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        int rc = runs_add_pipeline(&server->runs, config, i, &pipeline, reason);
        if (rc == -ENOMEM)
            return server_memory_lacks(config);
        if (rc < 0) {
            fprintf(stderr, "millrace: --worker-memory: %s\n", reason);
            return EXIT_CODE_USAGE;
        }
    }
    for (uint32_t i = 0; i < config->alias_count; i++)
        if (aliases_serve(&server->runs.aliases, &config->aliases[i]) < 0)
            return server_memory_lacks(config);
    return 0;
}

/* Nobody else should be left. */
static void server_let_go(struct server *server)
{
    char who[LOG_TEXT_BYTES_MAX / 2];
    struct log *log = &server->reactor.log;
    const struct config_holders *holders = server->config->holders;
    if (holders->count > 1) {
        config_holders_format(server->config, who, sizeof who);
        log_event(log, LEVEL_DEBUG, "config_held", LOG_NATURAL("number", holders->number),
                  LOG_TEXT("holders", who));
    }
    config_let_go(&server->hold, log);
}

/* The write of the log that is with the kernel ends before the rest is written directly; and so
 * does that of a ready line that has hardly been made. */
static void server_writes_settle(struct server *server)
{
    struct reactor *reactor = &server->reactor;
    struct uring_event events[LOG_SETTLE_EVENTS];
    for (uint32_t i = 0;
         i < LOG_SETTLE_TRIES && (reactor->log.write_in_flight || server->ready_line.text); i++) {
        if (uring_wait(reactor->uring, 10 * CLOCK_NS_PER_MS) < 0)
            return;
        uint32_t count = uring_reap(reactor->uring, events, LOG_SETTLE_EVENTS);
        for (uint32_t k = 0; k < count; k++)
            if (events[k].ref.op == URING_LOG)
                log_written(&reactor->log, events[k].result);
            else if (events[k].ref.op == URING_READY_LINE)
                server_on_ready_line(server, events[k].result);
    }
}
