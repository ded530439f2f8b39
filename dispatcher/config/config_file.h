/* SPDX-License-Identifier: MIT */
/*
 * config_file.h - a file says what the command line could say.
 *
 *     listen: [127.0.0.1:8080]
 *     defaults: {workers: 1}
 *     pipelines:
 *       me/words:v1: {source: words.so, workers: 2}
 *       me/model:v1: model.py:pipeline
 *     aliases:
 *       me/words:prod: me/words:v1
 *
 * Its keys are the rows of the command's table of options: those for one pipeline below `defaults`
 * (for all) or below a pipeline, all others at the top. docs/configuration.md has it all.
 *
 * Paths begin at the folder of the file. ${NAME} in a value is a variable of this process, and $${
 * is ${. What the command line says goes before the file.
 */
#ifndef DISPATCHER_CONFIG_FILE_H
#define DISPATCHER_CONFIG_FILE_H

#include "dispatcher/config/cli.h"
#include "dispatcher/config/config.h"
#include "dispatcher/config/problems.h"
#include "millrace/check.h"

/* Keys of a file that are no options. */
#define CONFIG_KEY_DEFAULTS "defaults"
#define CONFIG_KEY_PIPELINES "pipelines"
#define CONFIG_KEY_ALIASES "aliases"
#define CONFIG_KEY_SOURCE "source"
#define CONFIG_KEY_ENVIRONMENT "environment"
#define CONFIG_KEY_DEVICE_ENVIRONMENT "device-environment"
#define CONFIG_KEY_BATCH "batch"
#define CONFIG_KEY_BATCH_MAX "max"
#define CONFIG_KEY_BATCH_WAIT "wait"

/* What a file is read into: the command's table, what the command line gave of it, the values that
 * its rows name (of those for one pipeline: config->said), and the configuration, which also owns
 * the texts. */
struct config_file {
    const char *path;
    const struct cli_command *command;
    const struct cli_words *words;
    void *values;
    struct config *config;
};

/* Waits for the file. 0; -EINVAL: `problems` say what is wrong; -ENOMEM likewise. */
int config_file_read(const struct config_file *file, struct problems *problems) MUST_USE;

/* The same with the text of a file, whatever its path. */
int config_file_take(const struct config_file *file, const char *text, size_t bytes,
                     struct problems *problems) MUST_USE;

#endif
