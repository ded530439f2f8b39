/* SPDX-License-Identifier: MIT */
/* loop_start.c - the moment at which a server is ready, or cannot be. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/config/cli.h"
#include "dispatcher/server/loop.h"
#include "dispatcher/server/serve.h"

static bool is_settled(const struct loop *loop, const struct pipeline *pipeline)
{
    return pipeline->failure[0] != '\0' ||
           pipeline_ready_count(loop, pipeline) == loop->config->worker_count;
}

/* The one line that scripts wait for. */
static void ready_print(struct loop *loop, uint32_t failed_count)
{
    printf("millrace: ready on http://%s (%u pipelines, %u workers)", loop->front.listeners[0].name,
           loop->pipeline_count, loop->pipeline_count * loop->config->worker_count);
    if (failed_count > 0)
        printf("; %u of the pipelines failed, see the log", failed_count);
    printf("\n");
    /* The end of the process says so once more, with its exit code. */
    if (fflush(stdout) == EOF)
        log_line(&loop->reactor.log, LEVEL_ERROR, "ready_not_printed", "error=\"%s\"",
                 strerror(errno));
}

/* There is nothing to serve, and the command line is to blame: say so and leave. */
static void give_up(struct loop *loop)
{
    for (uint32_t i = 0; i < loop->pipeline_count; i++) {
        const struct pipeline *pipeline = &loop->pipelines[i];
        cli_fail("%s does not load: %s", pipeline->config->pointer, pipeline->failure);
        if (pipeline->traceback)
            cli_print_lines(stderr, pipeline->traceback, strlen(pipeline->traceback));
    }
    supervisor_kill_all(loop);
    loop->exit_code = EXIT_CODE_PIPELINE;
    loop->state = LOOP_STOPPED;
}

void loop_start_check(struct loop *loop)
{
    uint32_t failed_count = 0, unloadable_count = 0;
    for (uint32_t i = 0; i < loop->pipeline_count; i++) {
        const struct pipeline *pipeline = &loop->pipelines[i];
        if (!is_settled(loop, pipeline))
            return;
        failed_count += pipeline->failure[0] != '\0';
        unloadable_count += pipeline->cannot_load;
    }
    if (unloadable_count == loop->pipeline_count) {
        give_up(loop);
        return;
    }
    /* FAILED is heard before the exit that says whether it could not load. */
    for (uint32_t i = 0; i < loop->worker_count; i++)
        if (loop->workers[i].state == WORKER_STARTING)
            return;
    loop->start_is_said = true;
    ready_print(loop, failed_count);
}
