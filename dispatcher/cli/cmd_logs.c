/* SPDX-License-Identifier: MIT */
/* cmd_logs.c - `millrace logs`: the log of a running server, of one pipeline or run if asked. */
#include "dispatcher/cli/commands.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dispatcher/cli/operate/control_client.h"
#include "dispatcher/cli/operate/log_filter.h"
#include "dispatcher/cli/operate/log_json.h"
#include "dispatcher/config/cli.h"
#include "dispatcher/config/exit_code.h"
#include "dispatcher/reactor/log_format.h"
#include "dispatcher/text/text.h"

#define LINE_COUNT_MAX 100000u
#define BLOCK_WAIT_MS 200 /* so long an event of the text format waits for its block */
#define HELD_BYTES_MAX (32u * 1024 * 1024) /* what there was, and waits for its end */

struct logs_values {
    const char *control_path;
    bool json;
    bool follow;
    const char *pipeline;
    const char *run;
    uint32_t lines; /* 0: all */
};

static const struct cli_option options[] = {
    CONTROL_CLIENT_OPTION_PATH(struct logs_values),
    {"json", NULL, CLI_FLAG, CLI_MEMBER(struct logs_values, json),
     .help = "print each event as an object of JSON, whatever format the log has"},
    {"follow", NULL, CLI_FLAG, CLI_MEMBER(struct logs_values, follow), .letter = 'f',
     .help = "go on with what comes"},
    {"pipeline", "POINTER", CLI_TEXT, CLI_MEMBER(struct logs_values, pipeline),
     .help = "only events of this pipeline"},
    {"run", "ID", CLI_TEXT, CLI_MEMBER(struct logs_values, run), .help = "only events of this run"},
    {"lines", NULL, CLI_NUMBER, CLI_MEMBER(struct logs_values, lines), .letter = 'n', .min = 1,
     .max = LINE_COUNT_MAX,
     .help = "of the events that there were print so many, the last ones; if not said, all that "
             "the server still has"},
};

const struct cli_command logs_command = {
    .name = "logs",
    .words = "",
    .about = "Prints the last lines of the log of a running server as they are in it, and goes on\n"
             "with --follow.",
    .options = options,
    .option_count = ARRAY_COUNT(options),
};

/* The lines that come. Owns its texts. */
struct logs {
    struct log_filter filter;
    const struct client_answer *end; /* says how much there was */
    bool is_terminal;
    bool follows;
    bool is_held;  /* what there was is held until all of it is there */
    int out_error; /* why stdout took no more; 0: it takes all */
    uint64_t taken_bytes;
    int64_t taken_ms; /* when something came last */
    bool is_json;
    struct log_json json;
    struct text shown; /* objects that are whole */
    struct text line;  /* one that has no end yet */
    struct text held;
    uint32_t held_max;                  /* events */
    uint64_t held_count;                /* events that were held, ever */
    size_t held_at[LINE_COUNT_MAX + 1]; /* where each of the last ones begins */
};

static int logs_print(const struct logs_values *values);
static int logs_said(const struct logs *logs, int exit_code, const char *reason);
static bool logs_flush(struct logs *logs);
static bool on_log(void *context, long status, const char *bytes, size_t count);
static bool logs_are_read(void);
static bool logs_go_on(void *context);
static bool logs_have_failed(const struct logs *logs);
static void logs_line(struct logs *logs, const char *bytes, size_t count);
static void logs_show(struct logs *logs, const char *bytes, size_t count,
                      const struct log_line *line);
static void logs_json_put(struct logs *logs, bool is_over);
static void logs_put(struct logs *logs, const char *bytes, size_t count);
static void logs_release(struct logs *logs);

int cmd_logs(int argc, char **argv)
{
    struct logs_values values = {0};
    struct cli_words words;
    int exit_code;
    if (!cli_begin(&logs_command, argc, argv, &values, &words, &exit_code))
        return exit_code;
    if (values.pipeline && !control_client_pointer_check(logs_command.name, values.pipeline))
        return EXIT_CODE_USAGE;
    return logs_print(&values);
}

static int64_t logs_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int logs_print(const struct logs_values *values)
{
    static struct logs logs; /* large for a stack */
    struct client_answer end;
    char reason[CONTROL_CLIENT_REASON_BYTES];
    int exit_code;
    logs = (struct logs){.filter = log_filter_make(values->pipeline, values->run),
                         .end = &end,
                         .is_terminal = isatty(STDOUT_FILENO) == 1,
                         .follows = values->follow,
                         .is_json = values->json,
                         .is_held = values->lines > 0,
                         .held_max = values->lines};
    struct control_client *control =
        control_client_begin(logs_command.name,
                             &(struct control_client_options){
                                 .path = values->control_path,
                                 .timeout_ms = values->follow ? 0 : CONTROL_CLIENT_ANSWER_MS,
                                 .goes_on = logs_go_on,
                                 .context = &logs},
                             &exit_code);
    if (!control)
        return exit_code;
    exit_code =
        control_client_read(control, values->follow ? "/control/logs?follow=1" : "/control/logs",
                            on_log, &logs, &end, reason);
    if (logs.line.count > 0)
        logs_line(&logs, logs.line.bytes, logs.line.count);
    logs_release(&logs);
    logs_json_put(&logs, true);
    logs_flush(&logs);
    if (logs_have_failed(&logs)) {
        snprintf(reason, sizeof reason, "no memory");
        exit_code = EXIT_CODE_FAILED;
    }
    text_finish(&logs.line);
    text_finish(&logs.held);
    text_finish(&logs.shown);
    log_json_finish(&logs.json);
    control_client_close(control);
    return logs_said(&logs, exit_code, reason);
}

/* Who does not read on is told nothing: it ends as programs do that do not look. */
static int logs_said(const struct logs *logs, int exit_code, const char *reason)
{
    if (logs->out_error == EPIPE || !logs_are_read()) {
        struct sigaction usual = {.sa_handler = SIG_DFL};
        sigaction(SIGPIPE, &usual, NULL);
        raise(SIGPIPE);
    }
    if (logs->out_error != 0) {
        cli_fail("logs: cannot write to stdout: %s", strerror(logs->out_error));
        return EXIT_CODE_FAILED;
    }
    if (exit_code != EXIT_CODE_OK)
        cli_fail("logs: %s", reason);
    return exit_code;
}

static bool logs_flush(struct logs *logs)
{
    if (fflush(stdout) == EOF && logs->out_error == 0)
        logs->out_error = errno;
    return logs->out_error == 0;
}

static bool logs_have_failed(const struct logs *logs)
{
    return logs->line.failed || logs->held.failed || logs->shown.failed;
}

/* False once nobody reads what is printed. */
static bool logs_are_read(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};
    return !(poll(&out, 1, 0) == 1 && (out.revents & (POLLERR | POLLNVAL)));
}

/* While nothing comes, too. */
static bool logs_go_on(void *context)
{
    struct logs *logs = context;
    if (logs->json.event.count > 0 && logs_now_ms() - logs->taken_ms >= BLOCK_WAIT_MS) {
        logs_json_put(logs, true);
        logs_flush(logs);
    }
    return logs_are_read();
}

/* ---- what comes ---------------------------------------------------------------------------- */

static bool on_log(void *context, long status, const char *bytes, size_t count)
{
    struct logs *logs = context;
    const char *end = bytes + count;
    (void)status;
    if (logs->follows && logs->end->log_bytes == UINT64_MAX)
        logs_release(logs); /* nothing says where the past ends */
    logs->taken_bytes += count;
    logs->taken_ms = logs_now_ms();
    while (bytes < end) {
        const char *newline = memchr(bytes, '\n', (size_t)(end - bytes));
        const char *stop = newline ? newline : end;
        bool is_whole = newline && logs->line.count == 0;
        if (is_whole) {
            logs_line(logs, bytes, (size_t)(stop - bytes));
        } else {
            text_add_bytes(&logs->line, bytes, (size_t)(stop - bytes));
            /* No event is as long: what has no end is shown as it comes. */
            if (!logs->line.failed && (newline || logs->line.count > 2 * LOG_EVENT_BYTES_MAX)) {
                logs_line(logs, logs->line.bytes ? logs->line.bytes : "", logs->line.count);
                logs->line.count = 0;
            }
        }
        bytes = stop + (newline != NULL);
    }
    if (logs->taken_bytes >= logs->end->log_bytes || logs->held.count > HELD_BYTES_MAX)
        logs_release(logs);
    return logs_flush(logs) && !logs_have_failed(logs);
}

static void logs_line(struct logs *logs, const char *bytes, size_t count)
{
    struct log_line line;
    log_line_read(&line, bytes, count);
    if (!log_filter_take(&logs->filter, &line))
        return;
    if (!logs->is_held) {
        logs_show(logs, bytes, count, &line);
        return;
    }
    if (line.kind != LOG_LINE_BLOCK || logs->held_count == 0)
        logs->held_at[logs->held_count++ % logs->held_max] = logs->held.count;
    text_add_bytes(&logs->held, bytes, count);
    text_add_bytes(&logs->held, "\n", 1);
}

static void logs_show(struct logs *logs, const char *bytes, size_t count,
                      const struct log_line *line)
{
    if (logs->is_json) {
        log_json_take(&logs->json, &logs->shown, line);
        logs_json_put(logs, false);
    } else {
        logs_put(logs, bytes, count);
        logs_put(logs, "\n", 1);
    }
}

/* What is whole; with `is_over` also an event that has waited for its block. */
static void logs_json_put(struct logs *logs, bool is_over)
{
    if (is_over)
        log_json_release(&logs->json, &logs->shown);
    if (!logs->shown.failed && logs->shown.count > 0)
        logs_put(logs, logs->shown.bytes, logs->shown.count);
    logs->shown.count = 0;
}

/* A terminal is not shown what could steer it, though the server sends nothing that does. */
static void logs_put(struct logs *logs, const char *bytes, size_t count)
{
    if (logs->is_terminal)
        cli_print_value(stdout, bytes, count);
    else
        fwrite(bytes, 1, count, stdout);
}

static void logs_release(struct logs *logs)
{
    if (!logs->is_held)
        return;
    logs->is_held = false;
    size_t from =
        logs->held_count > logs->held_max ? logs->held_at[logs->held_count % logs->held_max] : 0;
    size_t count = logs->held.failed ? 0 : logs->held.count;
    while (from < count) {
        struct log_line line;
        const char *bytes = logs->held.bytes + from;
        const char *newline = memchr(bytes, '\n', count - from);
        size_t line_bytes = newline ? (size_t)(newline - bytes) : count - from;
        log_line_read(&line, bytes, line_bytes);
        logs_show(logs, bytes, line_bytes, &line);
        from += line_bytes + 1;
    }
    logs->held.count = 0;
}
