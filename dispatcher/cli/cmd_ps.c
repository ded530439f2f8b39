/* SPDX-License-Identifier: MIT */
/* cmd_ps.c - `millrace ps`: the pipelines and workers of a running server. */
#include "dispatcher/cli/commands.h"

#include <stdio.h>
#include <string.h>

#include "dispatcher/cli/operate/control_client.h"
#include "dispatcher/cli/operate/live_state.h"
#include "dispatcher/cli/operate/ps_table.h"
#include "dispatcher/config/cli.h"
#include "dispatcher/config/exit_code.h"

struct ps_values {
    const char *control_path;
    bool json;
};

static const struct cli_option options[] = {
    CONTROL_CLIENT_OPTION_PATH(struct ps_values),
    CONTROL_CLIENT_OPTION_JSON(struct ps_values),
};

const struct cli_command ps_command = {
    .name = "ps",
    .words = "",
    .about = "Shows the pipelines of a running server with their workers, and its aliases.",
    .options = options,
    .option_count = ARRAY_COUNT(options),
};

static int ps_said(const struct json_view *root, bool is_json);

int cmd_ps(int argc, char **argv)
{
    struct ps_values values = {0};
    struct cli_words words;
    int exit_code;
    if (!cli_begin(&ps_command, argc, argv, &values, &words, &exit_code))
        return exit_code;
    return control_client_tell(
        ps_command.name,
        &(struct control_client_options){.path = values.control_path,
                                         .timeout_ms = CONTROL_CLIENT_ANSWER_MS},
        CONTROL_CLIENT_STATE, NULL, values.json, ps_said);
}

static int ps_said(const struct json_view *root, bool is_json)
{
    struct live_state state;
    struct text table = {0};
    if (is_json)
        return EXIT_CODE_OK;
    int rc = live_state_read(&state, root);
    if (rc < 0) {
        cli_fail("ps: %s", live_state_error(rc));
        return EXIT_CODE_FAILED;
    }
    ps_table_add(&table, &state);
    if (table.failed)
        cli_fail("ps: no memory");
    else
        fwrite(table.bytes, 1, table.count, stdout);
    int exit_code = table.failed ? EXIT_CODE_FAILED : EXIT_CODE_OK;
    text_finish(&table);
    live_state_finish(&state);
    return exit_code;
}
