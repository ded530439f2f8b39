/* SPDX-License-Identifier: MIT */
/* config_file.c - a file says what the command line could say. */
#include "dispatcher/config/config_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/config/config_alias.h"
#include "dispatcher/config/config_value.h"
#include "dispatcher/config/pointer.h"
#include "dispatcher/text/document.h"
#include "dispatcher/text/whole_file.h"

#define WHERE_BYTES (POINTER_BYTES_MAX + 16)

/* Whose options are read: at the top NULL, below `defaults` "", below a pipeline its pointer. */
struct scope {
    const char *pointer;
    char where[WHERE_BYTES];
};

static void file_top(struct config_value *value);
static void file_pipelines(struct config_value *value, uint32_t node);
static void file_pipeline(struct config_value *value, uint32_t key, uint32_t node);
static void file_options(struct config_value *value, const struct scope *scope, uint32_t node);
static void file_option(struct config_value *value, const struct scope *scope, uint32_t key,
                        uint32_t node);
static void file_key_refuse(struct config_value *value, const struct scope *scope, uint32_t key);
static const struct scope file_scope_top = {.pointer = NULL, .where = ""};

int config_file_read(const struct config_file *file, struct problems *problems)
{
    char *text = NULL;
    size_t bytes = 0;
    problems->file = file->path;
    int rc = whole_file_read(file->path, DOCUMENT_BYTES_MAX, &text, &bytes);
    if (rc == -EFBIG)
        problems_add(problems, (struct document_place){0}, "", "it is larger than %u bytes",
                     DOCUMENT_BYTES_MAX);
    else if (rc < 0)
        problems_add(problems, (struct document_place){0}, "", "%s", strerror(-rc));
    if (rc == 0)
        rc = config_file_take(file, text, bytes, problems);
    free(text);
    return rc == 0 || rc == -ENOMEM ? rc : -EINVAL;
}

int config_file_take(const struct config_file *file, const char *text, size_t bytes,
                     struct problems *problems)
{
    struct document *document;
    struct document_place place;
    char reason[DOCUMENT_REASON_BYTES];
    problems->file = file->path;
    int rc = document_read(text, bytes, &document, &place, reason);
    if (rc < 0) {
        problems_add(problems, place, "", "%s", reason);
        return rc;
    }
    struct config_value value = {.file = file, .document = document, .problems = problems};
    rc = config_value_begin(&value);
    if (rc == 0)
        file_top(&value);
    document_free(document);
    if (rc == 0)
        rc = value.rc;
    return rc < 0 ? rc : problems->count > 0 ? -EINVAL : 0;
}

/* ---- the walk ------------------------------------------------------------------------------ */

/* In the order of the file. */
static void file_top(struct config_value *value)
{
    const struct document *document = value->document;
    if (document_kind_of(document, DOCUMENT_ROOT) != DOCUMENT_MAPPING) {
        problems_add(value->problems, document_place_of(document, DOCUMENT_ROOT), "",
                     "a configuration is keys and their values, like listen: [127.0.0.1:8080]");
        return;
    }
    for (uint32_t i = 0; i < document_count(document, DOCUMENT_ROOT); i++) {
        uint32_t key = document_key(document, DOCUMENT_ROOT, i);
        uint32_t node = document_member(document, DOCUMENT_ROOT, i);
        const char *name = document_text(document, key);
        if (strcmp(name, CONFIG_KEY_PIPELINES) == 0)
            file_pipelines(value, node);
        else if (strcmp(name, CONFIG_KEY_ALIASES) == 0)
            config_aliases_take(value, node);
        else if (strcmp(name, CONFIG_KEY_DEFAULTS) == 0)
            file_options(value, &(struct scope){.pointer = "", .where = CONFIG_KEY_DEFAULTS}, node);
        else
            file_option(value, &file_scope_top, key, node);
    }
    config_aliases_check(value);
}

static void file_pipelines(struct config_value *value, uint32_t node)
{
    const struct document *document = value->document;
    if (document_is_null(document, node))
        return;
    if (document_kind_of(document, node) != DOCUMENT_MAPPING) {
        problems_add(value->problems, document_place_of(document, node), CONFIG_KEY_PIPELINES,
                     "it is pointers and what they are, like me/words:v1: words.so");
        return;
    }
    for (uint32_t i = 0; i < document_count(document, node); i++)
        file_pipeline(value, document_key(document, node, i), document_member(document, node, i));
}

/* SOURCE, or a mapping that has one and options. */
static void file_pipeline(struct config_value *value, uint32_t key, uint32_t node)
{
    const struct document *document = value->document;
    const char *pointer = config_value_keep(value, document_text(document, key));
    struct scope scope = {.pointer = pointer};
    uint32_t source = node;
    if (!pointer)
        return;
    snprintf(scope.where, sizeof scope.where, "%s.%.255s", CONFIG_KEY_PIPELINES, pointer);
    if (!pointer_is_valid(pointer, strlen(pointer))) {
        problems_add(value->problems, document_place_of(document, key), CONFIG_KEY_PIPELINES,
                     "'%.255s' is not a pointer like me/words:v1", pointer);
        return;
    }
    if (document_kind_of(document, node) == DOCUMENT_MAPPING) {
        source = UINT32_MAX;
        for (uint32_t i = 0; i < document_count(document, node); i++)
            if (strcmp(document_text(document, document_key(document, node, i)),
                       CONFIG_KEY_SOURCE) == 0)
                source = document_member(document, node, i);
        file_options(value, &scope, node);
    }
    if (source == UINT32_MAX)
        problems_add(value->problems, document_place_of(document, key), scope.where,
                     "it has no source, like source: words.so");
    else
        config_value_source(value, scope.where, pointer, source);
}

static void file_options(struct config_value *value, const struct scope *scope, uint32_t node)
{
    const struct document *document = value->document;
    if (document_is_null(document, node))
        return;
    if (document_kind_of(document, node) != DOCUMENT_MAPPING) {
        problems_add(value->problems, document_place_of(document, node), scope->where,
                     "it is options and their values, like workers: 2");
        return;
    }
    for (uint32_t i = 0; i < document_count(document, node); i++)
        file_option(value, scope, document_key(document, node, i),
                    document_member(document, node, i));
}

/* The option that says one of the variables which a mapping at this key has; NULL: it has none. */
static const char *file_option_of_variables(const char *key)
{
    if (strcmp(key, CONFIG_KEY_ENVIRONMENT) == 0)
        return "env";
    return strcmp(key, CONFIG_KEY_DEVICE_ENVIRONMENT) == 0 ? "device-env" : NULL;
}

/* {max: 32, wait: 2ms} is what batch-max and batch-wait are. */
static void file_batch(struct config_value *value, const struct scope *scope, uint32_t node)
{
    static const char *const keys[] = {CONFIG_KEY_BATCH_MAX, CONFIG_KEY_BATCH_WAIT, NULL};
    const struct document *document = value->document;
    if (document_kind_of(document, node) != DOCUMENT_MAPPING) {
        problems_add(value->problems, document_place_of(document, node), scope->where,
                     CONFIG_KEY_BATCH " is a mapping like {max: 32, wait: 2ms}");
        return;
    }
    for (uint32_t i = 0; i < document_count(document, node); i++) {
        uint32_t key = document_key(document, node, i);
        const char *name = document_text(document, key), *nearest = cli_nearest(name, keys);
        const char *option = strcmp(name, CONFIG_KEY_BATCH_MAX) == 0    ? "batch-max"
                             : strcmp(name, CONFIG_KEY_BATCH_WAIT) == 0 ? "batch-wait"
                                                                        : NULL;
        if (option)
            config_value_say(value, scope->where, cli_find(value->file->command, option),
                             scope->pointer, document_member(document, node, i));
        else
            problems_add(value->problems, document_place_of(document, key), scope->where,
                         CONFIG_KEY_BATCH ": unknown key \"%.100s\"%s%s%s", name,
                         nearest ? " (nearest: " : "", nearest ? nearest : "", nearest ? ")" : "");
    }
}

static void file_option(struct config_value *value, const struct scope *scope, uint32_t key,
                        uint32_t node)
{
    const char *name = document_text(value->document, key);
    const struct config_file *file = value->file;
    bool is_of_pipeline = scope->pointer && *scope->pointer != '\0';
    if (is_of_pipeline && strcmp(name, CONFIG_KEY_SOURCE) == 0)
        return;
    const char *variables = scope->pointer ? file_option_of_variables(name) : NULL;
    if (variables) {
        config_value_environment(value, scope->where, cli_find(file->command, variables),
                                 scope->pointer, key, node);
        return;
    }
    if (scope->pointer && strcmp(name, CONFIG_KEY_BATCH) == 0) {
        file_batch(value, scope, node);
        return;
    }
    const struct cli_option *option = cli_find_key(file->command, name, scope->pointer != NULL);
    const struct cli_option *other = cli_find_key(file->command, name, scope->pointer == NULL);
    if (option && !option->is_of_command_line && scope->pointer)
        config_value_say(value, scope->where, option, scope->pointer, node);
    else if (option && !option->is_of_command_line)
        config_value_set(value, option, node);
    else if (!other || other->is_of_command_line)
        file_key_refuse(value, scope, key);
    else
        problems_add(value->problems, document_place_of(value->document, key), scope->where,
                     other->by_pipeline
                         ? "%s is said of pipelines: it belongs below " CONFIG_KEY_DEFAULTS
                           ", or below one of them"
                         : "%s is said of the server: it belongs at the top of the file",
                     name);
}

/* The nearest of those that would be taken here. */
static void file_key_refuse(struct config_value *value, const struct scope *scope, uint32_t key)
{
    const struct cli_command *command = value->file->command;
    const char *names[CLI_OPTION_COUNT_MAX + 6] = {NULL};
    const char *name = document_text(value->document, key);
    size_t count = 0;
    for (size_t i = 0; i < command->option_count; i++)
        if (command->options[i].by_pipeline == (scope->pointer != NULL) &&
            !command->options[i].is_of_command_line)
            names[count++] = cli_key(&command->options[i]);
    if (!scope->pointer) {
        names[count++] = CONFIG_KEY_DEFAULTS;
        names[count++] = CONFIG_KEY_PIPELINES;
        names[count++] = CONFIG_KEY_ALIASES;
    } else {
        names[count++] = CONFIG_KEY_ENVIRONMENT;
        names[count++] = CONFIG_KEY_DEVICE_ENVIRONMENT;
        names[count++] = CONFIG_KEY_BATCH;
        if (*scope->pointer != '\0')
            names[count++] = CONFIG_KEY_SOURCE;
    }
    const char *nearest = cli_nearest(name, names);
    problems_add(value->problems, document_place_of(value->document, key), scope->where,
                 "unknown key \"%.100s\"%s%s%s", name, nearest ? " (nearest: " : "",
                 nearest ? nearest : "", nearest ? ")" : "");
}
