/* SPDX-License-Identifier: MIT */
/* cmd_config.c - `millrace config`: prints what a configuration file can say. */
#include "dispatcher/cli/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/cli/serve/config_reference.h"
#include "dispatcher/cli/serve/config_schema.h"
#include "dispatcher/cli/serve/serve_options.h"
#include "dispatcher/config/cli.h"
#include "dispatcher/config/exit_code.h"

static const char *const words_known[] = {"schema", "reference", NULL};

const struct cli_command config_command = {
    .name = "config",
    .words = "schema|reference",
    .about = "Prints what a configuration file of serve can say: as a JSON Schema, which editors\n"
             "take, or as the tables of docs/configuration.md.",
    .words_are = CLI_WORDS_CHOICES,
    .word_choices = words_known,
    .word_count_min = 1,
    .word_count_max = 1,
};

static const struct {
    const char *word;
    void (*print)(const struct cli_command *of, const struct serve_values *values, FILE *file);
} forms[] = {
    {"schema", config_schema_print},
    {"reference", config_reference_print},
};

int cmd_config(int argc, char **argv)
{
    struct cli_words words;
    int exit_code;
    char unused;
    if (!cli_begin(&config_command, argc, argv, &unused, &words, &exit_code))
        return exit_code;
    struct serve_values *values = malloc(sizeof *values);
    if (!values) {
        cli_fail("config: no memory");
        return EXIT_CODE_FAILED;
    }
    serve_values_init(values);
    exit_code = EXIT_CODE_USAGE;
    for (size_t i = 0; i < ARRAY_COUNT(forms); i++) {
        if (strcmp(forms[i].word, words.items[0]) != 0)
            continue;
        forms[i].print(&serve_command, values, stdout);
        exit_code = EXIT_CODE_OK;
    }
    if (exit_code != EXIT_CODE_OK)
        cli_fail("config: %s is neither schema nor reference", words.items[0]);
    config_finish(&values->config);
    free(values);
    return exit_code;
}
