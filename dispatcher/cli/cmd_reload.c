/* SPDX-License-Identifier: MIT */
/* cmd_reload.c - `millrace reload`: a running server reads its configuration file again. */
#include "dispatcher/cli/commands.h"

#include <stdio.h>

#include "dispatcher/cli/operate/control_client.h"
#include "dispatcher/cli/operate/control_report.h"
#include "dispatcher/config/cli.h"
#include "dispatcher/config/exit_code.h"

struct reload_values {
    const char *control_path;
    bool json;
    bool no_wait;
};

static const struct cli_option options[] = {
    CONTROL_CLIENT_OPTION_PATH(struct reload_values),
    CONTROL_CLIENT_OPTION_JSON(struct reload_values),
    {"no-wait", NULL, CLI_FLAG, CLI_MEMBER(struct reload_values, no_wait),
     .help = "leave when the server has begun"},
};

const struct cli_command reload_command = {
    .name = "reload",
    .words = "",
    .about = "Has a running server read its configuration file again, waits until all that is\n"
             "different is served, and says what was. A file that is wrong changes nothing.",
    .options = options,
    .option_count = ARRAY_COUNT(options),
};

static int reload_said(const struct json_view *root, bool is_json);

int cmd_reload(int argc, char **argv)
{
    struct reload_values values = {0};
    struct cli_words words;
    int exit_code;
    if (!cli_begin(&reload_command, argc, argv, &values, &words, &exit_code))
        return exit_code;
    return control_client_tell(reload_command.name,
                               &(struct control_client_options){
                                   .path = values.control_path,
                                   .timeout_ms = values.no_wait ? CONTROL_CLIENT_ANSWER_MS : 0},
                               "/control/reload",
                               values.no_wait ? "{\"wait\":false}" : "{\"wait\":true}", values.json,
                               reload_said);
}

/* What went wrong is said also to who reads JSON: it is on stderr. */
static int reload_said(const struct json_view *root, bool is_json)
{
    if (report_is(root, "result", "started")) {
        if (!is_json)
            printf("begun\n");
        return EXIT_CODE_OK;
    }
    if (!is_json)
        report_difference_print(root, stdout);
    if (report_errors_print(root, reload_command.name) > 0 || !report_is(root, "result", "done")) {
        cli_fail(report_has_items(root, "errors")
                     ? "reload: nothing has changed, configuration %.0f is served"
                     : "reload: configuration %.0f is served, not all of the file",
                 report_number(root, "generation"));
        return EXIT_CODE_FAILED;
    }
    if (!is_json)
        printf("configuration %.0f is served, after %.0f ms\n", report_number(root, "generation"),
               report_number(root, "ms"));
    return EXIT_CODE_OK;
}
