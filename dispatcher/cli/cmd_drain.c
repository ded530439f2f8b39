/* SPDX-License-Identifier: MIT */
/*
 * cmd_drain.c - `millrace drain` and `millrace resume`: no more runs for a pipeline, or a server,
 * and runs again.
 */
#include "dispatcher/cli/commands.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "dispatcher/cli/operate/control_client.h"
#include "dispatcher/cli/operate/control_report.h"
#include "dispatcher/cli/operate/live_state.h"
#include "dispatcher/cli/operate/progress.h"
#include "dispatcher/config/cli.h"
#include "dispatcher/config/exit_code.h"

#define DRAIN_POLL_MS 250

struct drain_values {
    const char *control_path;
    bool json;
    bool no_wait;
    uint32_t timeout_ms; /* 0: none */
};

static const struct cli_option drain_options[] = {
    CONTROL_CLIENT_OPTION_PATH(struct drain_values),
    CONTROL_CLIENT_OPTION_JSON(struct drain_values),
    {"no-wait", NULL, CLI_FLAG, CLI_MEMBER(struct drain_values, no_wait),
     .help = "leave when no more runs are taken"},
    {"timeout", NULL, CLI_DURATION, CLI_MEMBER(struct drain_values, timeout_ms), .min = 1,
     .max = 24 * 3600000, .help = "wait so long for the runs; if not said, as long as they take"},
};

static const struct cli_option resume_options[] = {
    CONTROL_CLIENT_OPTION_PATH(struct drain_values),
    CONTROL_CLIENT_OPTION_JSON(struct drain_values),
};

const struct cli_command drain_command = {
    .name = "drain",
    .words = "[POINTER]",
    .about = "Has a pipeline of a running server, or all of the server, take no more runs, and\n"
             "waits until those that it has have ended. Its workers stay; millrace resume has it\n"
             "take runs again.",
    .options = drain_options,
    .option_count = ARRAY_COUNT(drain_options),
    .words_are = CLI_WORDS_POINTERS,
    .word_count_max = 1,
};

const struct cli_command resume_command = {
    .name = "resume",
    .words = "[POINTER]",
    .about =
        "Has a pipeline of a running server that was drained, or all of the server, take runs\n"
        "again.",
    .options = resume_options,
    .option_count = ARRAY_COUNT(resume_options),
    .words_are = CLI_WORDS_POINTERS,
    .word_count_max = 1,
};

static int drain_begin(const struct drain_values *values, const char *pointer);
static int drain_wait(struct control_client *control, const struct drain_values *values,
                      const char *pointer);
static void drain_pipelines_print(const struct json_view *root);
static int resume_said(const struct json_view *root, bool is_json);

int cmd_drain(int argc, char **argv)
{
    struct drain_values values = {0};
    struct cli_words words;
    int exit_code;
    if (!cli_begin(&drain_command, argc, argv, &values, &words, &exit_code))
        return exit_code;
    const char *pointer = words.count > 0 ? words.items[0] : NULL;
    if (!control_client_pointer_check(drain_command.name, pointer))
        return EXIT_CODE_USAGE;
    return drain_begin(&values, pointer);
}

int cmd_resume(int argc, char **argv)
{
    struct drain_values values = {0};
    struct cli_words words;
    int exit_code;
    if (!cli_begin(&resume_command, argc, argv, &values, &words, &exit_code))
        return exit_code;
    const char *pointer = words.count > 0 ? words.items[0] : NULL;
    if (!control_client_pointer_check(resume_command.name, pointer))
        return EXIT_CODE_USAGE;
    char body[CONTROL_CLIENT_BODY_BYTES];
    control_client_body(body, pointer, "");
    return control_client_tell(
        resume_command.name,
        &(struct control_client_options){.path = values.control_path,
                                         .timeout_ms = CONTROL_CLIENT_ANSWER_MS},
        "/control/resume", body, values.json, resume_said);
}

/* The first request of a connection is the one that must not be sent twice. */
static int drain_begin(const struct drain_values *values, const char *pointer)
{
    char body[CONTROL_CLIENT_BODY_BYTES], reason[CONTROL_CLIENT_REASON_BYTES];
    int exit_code;
    struct control_client_answer answer = {0};
    struct control_client *control =
        control_client_begin(drain_command.name,
                             &(struct control_client_options){
                                 .path = values->control_path,
                                 .timeout_ms = CONTROL_CLIENT_ANSWER_MS,
                                 .keeps_connection = true,
                             },
                             &exit_code);
    if (!control)
        return exit_code;
    control_client_body(body, pointer, "");
    exit_code = control_client_ask(control, "/control/drain", body, &answer, reason);
    if (exit_code != EXIT_CODE_OK)
        cli_fail("drain: %s", reason);
    else if (values->json)
        control_client_answer_print(&answer, stdout);
    else if (values->no_wait)
        drain_pipelines_print(&answer.root);
    control_client_answer_finish(&answer);
    if (exit_code == EXIT_CODE_OK && !values->no_wait)
        exit_code = drain_wait(control, values, pointer);
    control_client_close(control);
    return exit_code;
}

static void drain_pipelines_print(const struct json_view *root)
{
    struct json_view list, pipeline = {0};
    while (json_view_member(root, "pipelines", &list) && json_view_next(&list, &pipeline)) {
        report_text_print(&pipeline, "pointer", stdout);
        fputs(" takes no more runs: it has ", stdout);
        report_count_print(report_number(&pipeline, "active"), "run", stdout);
        printf(", and %.0f wait\n", report_number(&pipeline, "queued"));
    }
}

/* One pipeline stays drained if all of the server is. */
static int resume_said(const struct json_view *root, bool is_json)
{
    struct json_view list, drained, pipeline = {0};
    int exit_code = EXIT_CODE_OK;
    while (json_view_member(root, "pipelines", &list) && json_view_next(&list, &pipeline)) {
        bool is_drained =
            json_view_member(&pipeline, "drained", &drained) && drained.text[0] == 't';
        if (is_drained)
            exit_code = EXIT_CODE_FAILED;
        if (is_json)
            continue;
        report_text_print(&pipeline, "pointer", stdout);
        puts(is_drained ? " takes no runs: all of the server is drained" : " takes runs");
    }
    return exit_code;
}

/* ---- until it is empty --------------------------------------------------------------------- */

/* What is left of one pipeline, which may be there several times while a reload goes on, or of the
 * server. */
struct drain_left {
    double active, queued;
    bool is_resumed;
};

static struct drain_left drain_count(const struct live_state *state, const char *pointer)
{
    struct drain_left left = {state->runs, state->queued,
                              strcmp(state->server_state, "serving") == 0};
    if (!pointer)
        return left;
    left = (struct drain_left){0};
    for (uint32_t i = 0; i < state->pipeline_count; i++) {
        const struct live_pipeline *pipeline = &state->pipelines[i];
        if (strcmp(pipeline->pointer, pointer) != 0)
            continue;
        left.active += pipeline->active;
        left.queued += pipeline->queued;
        left.is_resumed |= !pipeline->drained && strcmp(pipeline->phase, "served") == 0;
    }
    return left;
}

static int drain_look(struct control_client *control, const char *pointer, struct drain_left *left)
{
    struct control_client_answer answer = {0};
    struct live_state state;
    char reason[CONTROL_CLIENT_REASON_BYTES];
    int exit_code = control_client_ask(control, CONTROL_CLIENT_STATE, NULL, &answer, reason);
    int rc = exit_code == EXIT_CODE_OK ? live_state_read(&state, &answer.root) : 0;
    if (exit_code != EXIT_CODE_OK) {
        cli_fail("drain: %s", reason);
    } else if (rc < 0) {
        cli_fail("drain: %s", live_state_error(rc));
        exit_code = EXIT_CODE_FAILED;
    } else {
        *left = drain_count(&state, pointer);
        live_state_finish(&state);
    }
    control_client_answer_finish(&answer);
    return exit_code;
}

static int64_t drain_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int drain_wait(struct control_client *control, const struct drain_values *values,
                      const char *pointer)
{
    struct progress progress = progress_begin(values->json ? NULL : stdout);
    struct drain_left left = {0};
    int64_t end_ms = drain_now_ms() + (int64_t)values->timeout_ms;
    int exit_code;
    while ((exit_code = drain_look(control, pointer, &left)) == EXIT_CODE_OK) {
        bool is_over = values->timeout_ms > 0 && drain_now_ms() >= end_ms;
        progress_show(&progress, "%s: %.0f %s, %.0f waiting", pointer ? pointer : "all",
                      left.active, left.active == 1 ? "run" : "runs", left.queued);
        if (left.active + left.queued == 0 || left.is_resumed || is_over)
            break;
        (void)poll(NULL, 0, DRAIN_POLL_MS);
    }
    progress_end(&progress);
    if (exit_code != EXIT_CODE_OK || left.active + left.queued == 0)
        return exit_code;
    if (left.is_resumed)
        cli_fail("drain: somebody has it take runs again");
    else
        cli_fail("drain: %.0f %s left, and %.0f wait", left.active,
                 left.active == 1 ? "run is" : "runs are", left.queued);
    return EXIT_CODE_FAILED;
}
