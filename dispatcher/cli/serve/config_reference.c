/* SPDX-License-Identifier: MIT */
/* config_reference.c - the keys of a configuration file, as the tables of docs/configuration.md. */
#include "dispatcher/cli/serve/config_reference.h"

#include "dispatcher/config/config_alias.h"

static void reference_table_print(const struct cli_command *command,
                                  const struct serve_values *values, bool by_pipeline, FILE *file);

void config_reference_print(const struct cli_command *command, const struct serve_values *values,
                            FILE *file)
{
    fputs("## At the top\n\n", file);
    reference_table_print(command, values, false, file);
    fputs("\n## Of pipelines\n\nBelow `defaults`, or below a pipeline.\n\n", file);
    reference_table_print(command, values, true, file);
    fprintf(
        file,
        "\n## Of aliases\n\nBelow one of `aliases`; it may be a POINTER alone, or pipelines and "
        "their weights.\n\n"
        "| key | value | |\n|---|---|---|\n"
        "| `" CONFIG_KEY_TO "` | POINTER, or {POINTER: N, ...}; N 0 to %u, at most %u of them | "
        "the pipeline that its runs go to, or pipelines and how many of the sum of all N go to "
        "each |\n"
        "| `" CONFIG_KEY_STICKY "` | token, or header NAME | runs of one token, or with one "
        "value of this header, go to one pipeline; if not said, each in its turn |\n",
        ALIAS_WEIGHT_MAX, ALIAS_TARGET_COUNT_MAX);
}

static void reference_value_print(const struct cli_option *option, FILE *file)
{
    for (size_t i = 0; option->kind == CLI_CHOICE && option->choices[i]; i++)
        fprintf(file, "%s%s", i > 0 ? ", " : "", option->choices[i]);
    if (option->kind != CLI_CHOICE)
        fputs(option->kind == CLI_FLAG ? "true or false" : cli_value_word(option), file);
    if (option->kind == CLI_LIST || option->is_list_of_json)
        fputs(", or a list", file);
    if (option->kind == CLI_RANGE)
        fputs(", or {min: N, max: N}", file);
}

static void reference_table_print(const struct cli_command *command,
                                  const struct serve_values *values, bool by_pipeline, FILE *file)
{
    fputs("| key | value | |\n|---|---|---|\n", file);
    for (size_t i = 0; i < command->option_count; i++) {
        const struct cli_option *option = &command->options[i];
        char limits[CLI_LIMITS_BYTES];
        if (option->by_pipeline != by_pipeline || option->is_of_command_line)
            continue;
        cli_limits(option, by_pipeline ? (const void *)&values->usual : values, limits);
        fprintf(file, "| `%s` | ", cli_key(option));
        reference_value_print(option, file);
        fprintf(file, "%s%s | %s |\n", *limits ? "; " : "", limits, option->help);
    }
}
