/* SPDX-License-Identifier: MIT */
/*
 * cmd_serve.c - `millrace serve`: options and files become a configuration, and that is served.
 */
#include "dispatcher/cli/commands.h"

#include <stdlib.h>

#include "dispatcher/cli/serve/serve_again.h"
#include "dispatcher/cli/serve/serve_config.h"
#include "dispatcher/config/exit_code.h"
#include "dispatcher/server/serve.h"
#include "dispatcher/server/signals.h"

int cmd_serve(int argc, char **argv)
{
    signals_begin();
    struct serve_values *values = malloc(sizeof *values);
    struct serve_words said;
    if (!values || serve_words_keep(&said, argc, argv) < 0) {
        cli_fail("serve: no memory");
        free(values);
        return EXIT_CODE_FAILED;
    }
    serve_values_init(values);
    struct cli_words words;
    int exit_code;
    if (cli_begin(&serve_command, argc, argv, values, &words, &exit_code)) {
        exit_code = serve_config_fill(values, &words);
        if (exit_code == EXIT_CODE_OK)
            exit_code = serve(&values->config,
                              values->config_path
                                  ? &(struct config_source){.read = serve_again, .owner = &said}
                                  : NULL);
    }
    config_finish(&values->config);
    serve_words_finish(&said);
    free(values);
    return exit_code;
}
