/* SPDX-License-Identifier: MIT */
/* start.c - the moment at which a server is ready, or cannot be. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/config/cli.h"
#include "dispatcher/config/exit_code.h"
#include "dispatcher/server/server.h"
#include "dispatcher/workers/pool.h"
#include "dispatcher/workers/supervisor.h"

static bool start_is_settled(const struct pipeline *pipeline);
static void start_ready_print(struct server *server, uint32_t failed_count);
static void start_give_up(struct server *server);

void server_check_start(struct server *server)
{
    uint32_t failed_count = 0, unloadable_count = 0;
    for (uint32_t i = 0; i < server->runs.pipeline_count; i++) {
        const struct pipeline *pipeline = server->runs.pipelines[i];
        if (!start_is_settled(pipeline))
            return;
        failed_count += pipeline->failure[0] != '\0';
        unloadable_count += pipeline->pool->cannot_load;
    }
    if (unloadable_count > 0 && unloadable_count == server->runs.pipeline_count) {
        start_give_up(server);
        return;
    }
    /* FAILED is heard before the exit that says whether it could not load. */
    for (uint32_t i = 0; i < server->fleet.worker_count; i++)
        if (server->fleet.workers[i] && server->fleet.workers[i]->state == WORKER_STARTING)
            return;
    server->start_is_said = server->is_settled = true;
    start_ready_print(server, failed_count);
}

static bool start_is_settled(const struct pipeline *pipeline)
{
    return pipeline->failure[0] != '\0' ||
           pool_ready_count(pipeline->pool) == pipeline->pool->worker_count;
}

/* The one line that scripts wait for. */
static void start_ready_print(struct server *server, uint32_t failed_count)
{
    uint32_t worker_count = 0;
    for (uint32_t i = 0; i < server->runs.pipeline_count; i++)
        worker_count += server->runs.pipelines[i]->pool->worker_count;
    printf("millrace: ready on http://%s (%u pipelines, %u workers)",
           server->front.listeners[0].name, server->runs.pipeline_count, worker_count);
    if (failed_count > 0)
        printf("; %u of the pipelines failed, see the log", failed_count);
    printf("\n");
    /* The end of the process says so once more, with its exit code. */
    if (fflush(stdout) == EOF)
        log_line(&server->reactor.log, LEVEL_ERROR, "ready_not_printed", "error=\"%s\"",
                 strerror(errno));
}

/* There is nothing to serve, and the command line is to blame: say so and leave. */
static void start_give_up(struct server *server)
{
    for (uint32_t i = 0; i < server->runs.pipeline_count; i++) {
        const struct pipeline *pipeline = server->runs.pipelines[i];
        cli_fail("%s does not load: %s", pipeline->config->pointer, pipeline->failure);
        if (pipeline->traceback && server->config->tracebacks != TRACEBACKS_OFF)
            cli_print_lines(stderr, pipeline->traceback, strlen(pipeline->traceback));
    }
    supervisor_kill_all(&server->fleet);
    server->exit_code = EXIT_CODE_PIPELINE;
    server_end(server);
}
