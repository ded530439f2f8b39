/* SPDX-License-Identifier: MIT */
/* start.c - the moment at which a server is ready, or cannot be. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/config/cli.h"
#include "dispatcher/config/exit_code.h"
#include "dispatcher/server/reload_aliases.h"
#include "dispatcher/server/server.h"
#include "dispatcher/text/utf8.h"
#include "dispatcher/workers/pool.h"
#include "dispatcher/workers/supervisor.h"

/* The ready line names so many pipelines of either kind; the log has all. */
#define NAMED_COUNT_MAX 10u
#define REASON_BYTES_MAX 160

static bool start_is_settled(const struct pipeline *pipeline);
static bool start_has_failed(const struct pipeline *pipeline);
static bool start_is_heard_of_soon(const struct worker *worker);
static void start_ready_say(struct server *server, uint32_t failed_count);
static void start_ready_log(struct server *server);
static void start_give_up(struct server *server);

void server_check_start(struct server *server)
{
    uint32_t failed_count = 0, unloadable_count = 0;
    for (uint32_t i = 0; i < server->runs.pipeline_count; i++) {
        const struct pipeline *pipeline = server->runs.pipelines[i];
        if (!start_is_settled(pipeline))
            return;
        failed_count += start_has_failed(pipeline);
        unloadable_count += pipeline->pool->cannot_load;
    }
    if (unloadable_count > 0 && unloadable_count == server->runs.pipeline_count) {
        start_give_up(server);
        return;
    }
    /* FAILED is heard before the exit that says whether it could not load. */
    for (uint32_t i = 0; i < server->fleet.worker_count; i++)
        if (start_is_heard_of_soon(server->fleet.workers[i]))
            return;
    server->start_is_said = server->is_settled = true;
    start_ready_log(server);
    start_ready_say(server, failed_count);
}

/* For a template nobody waits any more. */
static bool start_is_heard_of_soon(const struct worker *worker)
{
    return worker && worker->state == WORKER_STARTING && !worker->is_template;
}

static bool start_is_settled(const struct pipeline *pipeline)
{
    return start_has_failed(pipeline) || pool_is_complete(pipeline->pool);
}

static bool start_has_failed(const struct pipeline *pipeline)
{
    return pipeline->failure[0] != '\0';
}

/* The first line of why it failed, as far as there is room for it. */
static int start_reason_bytes(const struct pipeline *pipeline, int bytes_max)
{
    int bytes = (int)strcspn(pipeline->failure, "\n");
    if (bytes > bytes_max)
        for (bytes = bytes_max; bytes > 0; bytes--)
            if (!utf8_is_continuation((uint8_t)pipeline->failure[bytes]))
                break;
    return bytes;
}

static void start_ready_log(struct server *server)
{
    struct log *log = &server->reactor.log;
    for (uint32_t i = 0; i < server->runs.pipeline_count; i++) {
        const struct pipeline *pipeline = server->runs.pipelines[i];
        if (start_has_failed(pipeline))
            log_event(log, LEVEL_ERROR, "pipeline_not_served",
                      LOG_WORD("pipeline", pipeline->config->pointer),
                      LOG_WORD("state", pipeline_state_name(pipeline->state)),
                      LOG_BYTES("text", pipeline->failure,
                                (size_t)start_reason_bytes(pipeline, ERROR_MESSAGE_BYTES_MAX)));
        else
            log_event(log, LEVEL_INFO, "pipeline_served",
                      LOG_WORD("pipeline", pipeline->config->pointer),
                      LOG_NATURAL("workers", pipeline->pool->worker_count));
    }
    for (uint32_t i = 0; i < server->config->alias_count; i++)
        reload_alias_log(server, &server->config->aliases[i]);
}

static void start_name_print(FILE *out, const struct pipeline *pipeline)
{
    uint32_t count = pipeline->pool->worker_count;
    if (start_has_failed(pipeline)) {
        char reason[REASON_BYTES_MAX + 1];
        snprintf(reason, sizeof(reason), "%.*s", start_reason_bytes(pipeline, REASON_BYTES_MAX),
                 pipeline->failure);
        fprintf(out, "%s (", pipeline->config->pointer);
        cli_print(out, reason);
        fprintf(out, ")");
    } else {
        fprintf(out, "%s (%u worker%s)", pipeline->config->pointer, count, count == 1 ? "" : "s");
    }
}

static void start_names_print(FILE *out, const struct server *server, bool have_failed)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < server->runs.pipeline_count; i++) {
        const struct pipeline *pipeline = server->runs.pipelines[i];
        if (start_has_failed(pipeline) != have_failed || ++count > NAMED_COUNT_MAX)
            continue;
        fprintf(out, "%s", count > 1 ? ", " : "");
        start_name_print(out, pipeline);
    }
    if (count > NAMED_COUNT_MAX)
        fprintf(out, " and %u more", count - NAMED_COUNT_MAX);
}

static void start_ready_print(FILE *out, const struct server *server, uint32_t failed_count)
{
    uint32_t worker_count = 0;
    for (uint32_t i = 0; i < server->runs.pipeline_count; i++)
        worker_count += server->runs.pipelines[i]->pool->worker_count;
    fprintf(out, "millrace: ready on http://%s (%u pipelines, %u workers)",
            server->front.listeners[0].name, server->runs.pipeline_count, worker_count);
    if (failed_count < server->runs.pipeline_count) {
        fprintf(out, "; serves ");
        start_names_print(out, server, false);
    }
    if (failed_count > 0) {
        fprintf(out, "; %u of the pipelines failed: ", failed_count);
        start_names_print(out, server, true);
        fprintf(out, "; see the log");
    }
    fprintf(out, "\n");
}

/* The end of the process says so once more, with its exit code. */
static void start_ready_lose(struct server *server, int error)
{
    log_event(&server->reactor.log, LEVEL_ERROR, "ready_not_printed",
              LOG_TEXT("error", strerror(error)));
    server->ready_line.is_lost = true;
    free(server->ready_line.text);
    server->ready_line.text = NULL;
}

static void start_ready_write(struct server *server)
{
    const struct ready_line *line = &server->ready_line;
    uring_write(server->reactor.uring, STDOUT_FILENO, line->text + line->written_bytes,
                (uint32_t)(line->bytes - line->written_bytes),
                (struct uring_ref){.op = URING_READY_LINE});
}

/* The one line that scripts wait for. Nothing waits for who reads stdout, who may have stopped. */
static void start_ready_say(struct server *server, uint32_t failed_count)
{
    struct ready_line *line = &server->ready_line;
    FILE *out = open_memstream(&line->text, &line->bytes);
    if (out)
        start_ready_print(out, server, failed_count);
    if (!out || fclose(out) == EOF || !line->text)
        start_ready_lose(server, ENOMEM);
    else
        start_ready_write(server);
}

void server_on_ready_line(struct server *server, int32_t result)
{
    struct ready_line *line = &server->ready_line;
    if (result > 0)
        line->written_bytes += (size_t)result;
    if (result <= 0 && result != -EINTR) {
        start_ready_lose(server, result < 0 ? -result : EIO);
    } else if (line->written_bytes < line->bytes) {
        start_ready_write(server);
    } else {
        free(line->text);
        line->text = NULL;
    }
}

/* With blanks in front, as in the log: what reads stderr may take a line that begins otherwise for
 * one of ours, or its <0> for a priority. */
static void start_traceback_print(const char *text)
{
    while (*text != '\0') {
        size_t bytes = strcspn(text, "\n");
        if (bytes > 0) {
            fputs("    ", stderr);
            cli_print_lines(stderr, text, bytes);
        }
        text += bytes + (text[bytes] == '\n');
    }
}

/* There is nothing to serve, and the command line is to blame: say so and leave. */
static void start_give_up(struct server *server)
{
    for (uint32_t i = 0; i < server->runs.pipeline_count; i++) {
        const struct pipeline *pipeline = server->runs.pipelines[i];
        cli_fail("%s does not load: %s", pipeline->config->pointer, pipeline->failure);
        if (pipeline->traceback && server->config->tracebacks != TRACEBACKS_OFF)
            start_traceback_print(pipeline->traceback);
    }
    supervisor_kill_all(&server->fleet);
    server->exit_code = EXIT_CODE_PIPELINE;
    server_end(server);
}
