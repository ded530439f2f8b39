/* SPDX-License-Identifier: MIT */
/*
 * fuzz_config_file.c - any file: refused with lines that say where, or a configuration that holds
 * together, with and without a command line that goes before it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/cli/serve/serve_options.h"
#include "dispatcher/config/config_file.h"
#include "dispatcher/config/pipeline_options.h"
#include "dispatcher/config/pointer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct serve_values values;

static void values_check(void)
{
    const struct config *config = &values.config;
    mr_assert(config->pipeline_count <= PIPELINE_COUNT_MAX);
    mr_assert(values.listen.count <= LISTEN_COUNT_MAX);
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        const struct pipeline_config *pipeline = &config->pipelines[i];
        mr_assert(pointer_is_valid(pipeline->pointer, strlen(pipeline->pointer)));
        mr_assert(pipeline->source && *pipeline->source != '\0' && pipeline->place.line > 0);
        for (uint32_t k = 0; k < i; k++)
            mr_assert(strcmp(config->pipelines[k].pointer, pipeline->pointer) != 0);
    }
    for (uint32_t i = 0; i < config->said.count; i++)
        mr_assert(config->said.items[i].line > 0 || strcmp(config->said.items[i].value, "3") == 0);
}

static void aliases_check(void)
{
    const struct config *config = &values.config;
    mr_assert(config->alias_count <= ALIAS_COUNT_MAX);
    for (uint32_t i = 0; i < config->alias_count; i++) {
        const struct alias_config *alias = &config->aliases[i];
        uint64_t sum = 0;
        mr_assert(pointer_is_valid(alias->pointer, strlen(alias->pointer)));
        mr_assert(alias->target_count >= 1 && alias->target_count <= ALIAS_TARGET_COUNT_MAX);
        mr_assert((alias->sticky == ALIAS_STICKY_HEADER) == (alias->header != NULL));
        for (uint32_t k = 0; k < alias->target_count; k++) {
            bool is_there = false;
            for (uint32_t p = 0; p < config->pipeline_count; p++)
                is_there |= strcmp(config->pipelines[p].pointer, alias->targets[k].pointer) == 0;
            mr_assert(is_there);
            sum += alias->targets[k].weight;
        }
        mr_assert(sum > 0);
    }
}

static void options_check(void)
{
    char reason[CLI_REASON_BYTES];
    if (pipeline_options_fill(&values.config, reason) < 0)
        return;
    for (uint32_t i = 0; i < values.config.pipeline_count; i++) {
        const struct pipeline_options *options = &values.config.pipelines[i].options;
        mr_assert(options->workers.max >= 1 && options->workers.max <= WORKER_COUNT_MAX);
        mr_assert(options->workers.min <= options->workers.max);
        mr_assert(options->concurrency == 3);
    }
}

static void problems_check(struct problems *problems, int rc)
{
    mr_assert((rc == 0) == (problems->count == 0));
    for (uint32_t i = 0; i < problems->count && i < PROBLEM_COUNT_MAX; i++)
        mr_assert(strncmp(problems->items[i].line, "f.yaml:", 7) == 0);
}

/* Files of variables are not opened: the fuzzer would name some that never end. */
static bool says_files(void)
{
    for (uint32_t i = 0; i < values.config.said.count; i++)
        if (strcmp(values.config.said.items[i].option->name, "env-file") == 0)
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct cli_words words = {0};
    struct problems problems = {0};
    char reason[CLI_REASON_BYTES];
    serve_values_init(&values);
    const struct config_file file = {.path = "f.yaml",
                                     .command = &serve_command,
                                     .words = &words,
                                     .values = &values,
                                     .config = &values.config};
    values.config.said.file = file.path;
    int rc = said_take(&values.config.said, cli_find(&serve_command, "concurrency"), "3", reason);
    mr_assert(rc == 0);
    rc = config_file_take(&file, (const char *)data, bytes, &problems);
    problems_check(&problems, rc);
    values_check();
    if (rc == 0)
        aliases_check();
    if (rc == 0 && !says_files())
        options_check();
    problems_finish(&problems);
    config_finish(&values.config);
    return 0;
}
