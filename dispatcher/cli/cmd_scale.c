/* SPDX-License-Identifier: MIT */
/*
 * cmd_scale.c - `millrace scale` and `millrace restart`: how many workers a pipeline has, and new
 * processes in place of them.
 */
#include "dispatcher/cli/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/cli/operate/control_client.h"
#include "dispatcher/cli/operate/control_report.h"
#include "dispatcher/config/cli.h"
#include "dispatcher/config/exit_code.h"
#include "millrace/limits.h"

struct scale_values {
    const char *control_path;
    bool json;
    bool no_wait;
};

static const struct cli_option scale_options[] = {
    CONTROL_CLIENT_OPTION_PATH(struct scale_values),
    CONTROL_CLIENT_OPTION_JSON(struct scale_values),
};

static const struct cli_option restart_options[] = {
    CONTROL_CLIENT_OPTION_PATH(struct scale_values),
    CONTROL_CLIENT_OPTION_JSON(struct scale_values),
    {"no-wait", NULL, CLI_FLAG, CLI_MEMBER(struct scale_values, no_wait),
     .help = "leave when the server has begun"},
};

const struct cli_command scale_command = {
    .name = "scale",
    .words = "POINTER N|MIN-MAX",
    .about = "Gives a pipeline of a running server so many workers, or as many as its runs need\n"
             "between two numbers. It holds until the next reload that changes it.",
    .options = scale_options,
    .option_count = ARRAY_COUNT(scale_options),
    .words_are = CLI_WORDS_POINTERS,
    .word_count_min = 2,
    .word_count_max = 2,
};

const struct cli_command restart_command = {
    .name = "restart",
    .words = "[POINTER]",
    .about = "Replaces the workers of a pipeline of a running server, or all of them, by new\n"
             "processes, a few at a time: no run is cut. Waits until that is done.",
    .options = restart_options,
    .option_count = ARRAY_COUNT(restart_options),
    .words_are = CLI_WORDS_POINTERS,
    .word_count_max = 1,
};

static bool scale_members(const char *word, char *members, size_t bytes);
static int scale_said(const struct json_view *root, bool is_json);
static int restart_said(const struct json_view *root, bool is_json);

int cmd_scale(int argc, char **argv)
{
    struct scale_values values = {0};
    struct cli_words words;
    int exit_code;
    if (!cli_begin(&scale_command, argc, argv, &values, &words, &exit_code))
        return exit_code;
    char body[CONTROL_CLIENT_BODY_BYTES], members[64];
    if (!control_client_pointer_check(scale_command.name, words.items[0]))
        return EXIT_CODE_USAGE;
    if (!scale_members(words.items[1], members, sizeof members)) {
        cli_fail("scale: '%s' is neither a number nor two like 1-8, 0 to %u", words.items[1],
                 WORKER_COUNT_MAX);
        return EXIT_CODE_USAGE;
    }
    control_client_body(body, words.items[0], members);
    return control_client_tell(
        scale_command.name,
        &(struct control_client_options){.path = values.control_path,
                                         .timeout_ms = CONTROL_CLIENT_ANSWER_MS},
        "/control/scale", body, values.json, scale_said);
}

static int scale_said(const struct json_view *root, bool is_json)
{
    if (is_json)
        return EXIT_CODE_OK;
    double min = report_number(root, "workers_min"), max = report_number(root, "workers_max");
    report_text_print(root, "pointer", stdout);
    printf(": ");
    if (min < max)
        printf("%.0f to ", min);
    report_count_print(max, "worker", stdout);
    if (min < max)
        printf(", now %.0f", report_number(root, "workers_wanted"));
    putchar('\n');
    return EXIT_CODE_OK;
}

/* Digits, and what is behind them. False: it is no number, or too large a one. */
static bool scale_number(const char *text, unsigned long *number, const char **end)
{
    char *behind;
    if (*text < '0' || *text > '9')
        return false;
    *number = strtoul(text, &behind, 10);
    *end = behind;
    return *number <= WORKER_COUNT_MAX;
}

static bool scale_members(const char *word, char *members, size_t bytes)
{
    unsigned long min, max;
    const char *end;
    if (!scale_number(word, &min, &end))
        return false;
    if (*end == '\0') {
        snprintf(members, bytes, ",\"workers\":%lu", min);
        return true;
    }
    if (*end != '-' || !scale_number(end + 1, &max, &end) || *end != '\0' || min > max)
        return false;
    snprintf(members, bytes, ",\"workers\":{\"min\":%lu,\"max\":%lu}", min, max);
    return true;
}

int cmd_restart(int argc, char **argv)
{
    struct scale_values values = {0};
    struct cli_words words;
    int exit_code;
    if (!cli_begin(&restart_command, argc, argv, &values, &words, &exit_code))
        return exit_code;
    const char *pointer = words.count > 0 ? words.items[0] : NULL;
    if (!control_client_pointer_check(restart_command.name, pointer))
        return EXIT_CODE_USAGE;
    char body[CONTROL_CLIENT_BODY_BYTES];
    control_client_body(body, pointer, values.no_wait ? ",\"wait\":false" : ",\"wait\":true");
    return control_client_tell(restart_command.name,
                               &(struct control_client_options){
                                   .path = values.control_path,
                                   .timeout_ms = values.no_wait ? CONTROL_CLIENT_ANSWER_MS : 0},
                               "/control/restart", body, values.json, restart_said);
}

static int restart_said(const struct json_view *root, bool is_json)
{
    double replaced = report_number(root, "replaced"), left = report_number(root, "left");
    if (report_is(root, "result", "started")) {
        if (!is_json)
            puts("begun");
        return EXIT_CODE_OK;
    }
    if (!is_json) {
        report_count_print(replaced, "worker", stdout);
        printf(" replaced, after %.0f ms\n", report_number(root, "ms"));
    }
    if (report_is(root, "result", "done"))
        return EXIT_CODE_OK;
    /* The reason is text of the server's: its own line, however long it is. */
    fprintf(stderr, "millrace: restart: ");
    report_count_print(left, "worker", stderr);
    fprintf(stderr, " not replaced: ");
    report_text_print(root, "reason", stderr);
    fputc('\n', stderr);
    return EXIT_CODE_FAILED;
}
