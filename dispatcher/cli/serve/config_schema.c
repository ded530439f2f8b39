/* SPDX-License-Identifier: MIT */
/* config_schema.c - a configuration file as a JSON Schema. */
#include "dispatcher/cli/serve/config_schema.h"

#include <inttypes.h>
#include <string.h>

#include "dispatcher/config/config_alias.h"
#include "dispatcher/config/config_file.h"
#include "dispatcher/text/text.h"

#define EXPANDS "\\\\$\\\\{" /* as a regular expression, in a string of JSON: it has ${NAME} */
#define VALUES                                                                                     \
    "{\"anyOf\": [{\"type\": [\"string\", \"number\"]}, {\"type\": \"array\", \"items\": "         \
    "{\"type\": [\"string\", \"number\"]}}]}"
/* config/device_mapping.h */
#define DEVICES                                                                                    \
    "{\"type\": \"object\", \"required\": [\"kind\"], \"additionalProperties\": false, "           \
    "\"minProperties\": 1, \"maxProperties\": 2, \"properties\": {\"kind\": {\"type\": "           \
    "\"string\"}, \"count\": {\"type\": [\"integer\", \"string\"]}, \"per\": {\"enum\": "          \
    "[\"numa\", \"core\"]}, \"index\": " VALUES ", \"uuid\": " VALUES "}}"
#define POINTER "{\"type\": \"string\", \"pattern\": \":|" EXPANDS "\"}"

static void schema_options_add(struct text *text, const struct cli_command *command,
                               const struct serve_values *values, bool by_pipeline);
static void schema_option_add(struct text *text, const struct cli_option *option,
                              const void *values);
static void schema_batch_add(struct text *text, const struct cli_command *command);
static void schema_value_add(struct text *text, const struct cli_option *option);
static void schema_number_add(struct text *text, const struct cli_option *option, const char *unit);
static void schema_range_add(struct text *text, const struct cli_option *option);
static void schema_choices_add(struct text *text, const struct cli_option *option);
static void schema_aliases_add(struct text *text);
static void schema_string_add(struct text *text, const char *string);

void config_schema_print(const struct cli_command *command, const struct serve_values *values,
                         FILE *file)
{
    struct text text = {0};
    text_add(&text, "{\"$schema\": \"http://json-schema.org/draft-07/schema#\",\n"
                    "\"title\": \"a configuration of millrace serve\",\n"
                    "\"type\": [\"object\", \"null\"], \"additionalProperties\": false, "
                    "\"properties\": {\n");
    schema_options_add(&text, command, values, false);
    text_add(&text, ",\n\"" CONFIG_KEY_DEFAULTS "\": {\"type\": [\"object\", \"null\"], "
                    "\"description\": \"what holds for pipelines that say nothing else\", "
                    "\"additionalProperties\": false, \"properties\": {\n");
    schema_options_add(&text, command, values, true);
    text_add(&text, "}},\n\"" CONFIG_KEY_PIPELINES "\": {\"type\": [\"object\", \"null\"], "
                    "\"description\": \"by what clients call them: NAME:TAG\", "
                    "\"propertyNames\": {\"pattern\": \":\"}, "
                    "\"additionalProperties\": {\"anyOf\": [{\"type\": \"string\"}, "
                    "{\"$ref\": \"#/definitions/pipeline\"}]}},\n");
    schema_aliases_add(&text);
    text_add(&text,
             "},\n"
             "\"definitions\": {\"weights\": {\"type\": \"object\", \"minProperties\": 1, "
             "\"maxProperties\": %u, \"propertyNames\": {\"pattern\": \":\"}, "
             "\"additionalProperties\": {",
             ALIAS_TARGET_COUNT_MAX);
    schema_number_add(&text, &(struct cli_option){.max = ALIAS_WEIGHT_MAX}, "");
    text_add(&text, "}},\n"
                    "\"pipeline\": {\"type\": \"object\", \"required\": "
                    "[\"" CONFIG_KEY_SOURCE "\"], \"additionalProperties\": false, "
                    "\"properties\": {\n\"" CONFIG_KEY_SOURCE "\": {\"type\": \"string\", "
                    "\"description\": \"SOURCE[:NAME]: a shared object or Python file, seen from "
                    "this one, or a Python module, and the pipeline in it\"},\n");
    schema_options_add(&text, command, values, true);
    text_add(&text, "}}}}\n");
    if (!text.failed)
        fwrite(text.bytes, 1, text.count, file);
    text_finish(&text);
}

static void schema_aliases_add(struct text *text)
{
    text_add(text,
             "\"" CONFIG_KEY_ALIASES "\": {\"type\": [\"object\", \"null\"], "
             "\"description\": \"other pointers of pipelines: where each leads, or to some with "
             "their weights\", \"maxProperties\": %u, \"propertyNames\": {\"pattern\": \":\"}, "
             "\"additionalProperties\": {\"anyOf\": [" POINTER ", "
             "{\"$ref\": \"#/definitions/weights\"}, "
             "{\"type\": \"object\", \"required\": [\"" CONFIG_KEY_TO "\"], "
             "\"additionalProperties\": false, \"properties\": {\"" CONFIG_KEY_TO
             "\": {\"anyOf\": [" POINTER ", {\"$ref\": \"#/definitions/weights\"}]}, "
             "\"" CONFIG_KEY_STICKY "\": {\"type\": \"string\", \"pattern\": "
             "\"^token$|^header +[!#$%%&'*+.^_`|~0-9A-Za-z-]+$|" EXPANDS "\"}}}]}}",
             ALIAS_COUNT_MAX);
}

static void schema_options_add(struct text *text, const struct cli_command *command,
                               const struct serve_values *values, bool by_pipeline)
{
    const void *of = by_pipeline ? (const void *)&values->usual : values;
    bool is_first = true;
    for (size_t i = 0; i < command->option_count; i++) {
        const struct cli_option *option = &command->options[i];
        if (option->by_pipeline != by_pipeline || option->is_of_command_line)
            continue;
        text_add(text, "%s", is_first ? "" : ",\n");
        schema_option_add(text, option, of);
        is_first = false;
    }
    if (by_pipeline) {
        schema_batch_add(text, command);
        text_add(text,
                 ",\n\"" CONFIG_KEY_ENVIRONMENT "\": {\"type\": [\"object\", \"null\"], "
                 "\"description\": \"variables for workers; one without a value is that of the "
                 "server\", \"additionalProperties\": "
                 "{\"type\": [\"string\", \"number\", \"boolean\", \"null\"]}},\n"
                 "\"" CONFIG_KEY_DEVICE_ENVIRONMENT "\": {\"type\": [\"object\", \"null\"], "
                 "\"description\": \"likewise, with {index}, {uuid} and so on of their device in "
                 "them\", \"additionalProperties\": "
                 "{\"type\": [\"string\", \"number\", \"boolean\"]}}");
    }
}

/* The two of a batch, as one. */
static void schema_batch_add(struct text *text, const struct cli_command *command)
{
    text_add(text, ",\n\"" CONFIG_KEY_BATCH "\": {\"type\": \"object\", \"description\": "
                   "\"batch-max and batch-wait in one, like {max: 32, wait: 2ms}\", "
                   "\"additionalProperties\": false, \"properties\": "
                   "{\"" CONFIG_KEY_BATCH_MAX "\": {");
    schema_value_add(text, cli_find(command, "batch-max"));
    text_add(text, "}, \"" CONFIG_KEY_BATCH_WAIT "\": {");
    schema_value_add(text, cli_find(command, "batch-wait"));
    text_add(text, "}}}");
}

static void schema_option_add(struct text *text, const struct cli_option *option,
                              const void *values)
{
    char limits[CLI_LIMITS_BYTES];
    char description[1024];
    cli_limits(option, values, limits);
    snprintf(description, sizeof description, "%s%s%s%s", option->help, *limits ? " (" : "", limits,
             *limits ? ")" : "");
    schema_string_add(text, cli_key(option));
    text_add(text, ": {\"description\": ");
    schema_string_add(text, description);
    text_add(text, ", ");
    if (option->kind == CLI_LIST)
        text_add(text,
                 "\"anyOf\": [{\"type\": [\"string\", \"number\"]}, {\"type\": \"array\", "
                 "\"items\": {\"type\": [\"string\", \"number\"]}}%s]",
                 strcmp(option->name, "devices") == 0 ? ", " DEVICES : "");
    else if (option->is_list_of_json)
        text_add(text, "\"type\": [\"string\", \"array\"]");
    else
        schema_value_add(text, option);
    text_add(text, "}");
}

static void schema_value_add(struct text *text, const struct cli_option *option)
{
    switch (option->kind) {
    case CLI_FLAG:
        text_add(text, "\"type\": \"boolean\"");
        break;
    case CLI_NUMBER:
        schema_number_add(text, option, "");
        break;
    case CLI_RANGE:
        schema_range_add(text, option);
        break;
    case CLI_SIZE:
    case CLI_SIZE_POWER:
        schema_number_add(text, option, "[kKmMgG]?");
        break;
    case CLI_DURATION:
        text_add(text, "\"anyOf\": [{\"const\": 0}, {\"type\": \"string\", \"pattern\": "
                       "\"^(0|[0-9]+([mM]?[sS]|[mM]|[hH]))$|" EXPANDS "\"}]");
        break;
    case CLI_CHOICE:
        schema_choices_add(text, option);
        break;
    case CLI_TEXT:
    case CLI_LIST:
    case CLI_KIND_COUNT:
        text_add(text, "\"type\": [\"string\", \"number\"]");
        break;
    }
}

/* `unit` is a regular expression. */
static void schema_number_add(struct text *text, const struct cli_option *option, const char *unit)
{
    text_add(text,
             "\"anyOf\": [{\"type\": \"integer\", \"minimum\": %" PRIu64 ", \"maximum\": %" PRIu64
             "}, {\"type\": \"string\", \"pattern\": \"^[0-9]+%s$|" EXPANDS "\"}]",
             option->min, option->max, unit);
}

/* One number, or two as a text, or as a mapping. */
static void schema_range_add(struct text *text, const struct cli_option *option)
{
    text_add(text,
             "\"anyOf\": [{\"type\": \"integer\", \"minimum\": 1, \"maximum\": %" PRIu64
             "}, {\"type\": \"string\", \"pattern\": \"^[0-9]+(-[0-9]+)?$|" EXPANDS "\"}, "
             "{\"type\": \"object\", \"required\": [\"min\", \"max\"], "
             "\"additionalProperties\": false, \"properties\": {",
             option->max);
    for (int i = 0; i < 2; i++) {
        text_add(text, "%s\"%s\": {", i > 0 ? ", " : "", i > 0 ? "max" : "min");
        schema_number_add(text, option, "");
        text_add(text, "}");
    }
    text_add(text, "}}]");
}

/* To YAML, 200 is a number, and off is false to some readers of it. */
static void schema_choices_add(struct text *text, const struct cli_option *option)
{
    text_add(text, "\"anyOf\": [{\"enum\": [");
    for (size_t i = 0; option->choices[i]; i++) {
        const char *word = option->choices[i];
        text_add(text, "%s", i > 0 ? ", " : "");
        schema_string_add(text, word);
        if (strspn(word, "0123456789") == strlen(word))
            text_add(text, ", %s", word);
        if (strcmp(word, "off") == 0)
            text_add(text, ", false");
    }
    text_add(text, "]}, {\"type\": \"string\", \"pattern\": \"" EXPANDS "\"}]");
}

static void schema_string_add(struct text *text, const char *string)
{
    text_add_json(text, string, strlen(string));
}
