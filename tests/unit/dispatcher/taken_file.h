/* SPDX-License-Identifier: MIT */
/* taken_file.h - a configuration file's text, taken into values of its own, for tests. */
#ifndef TEST_TAKEN_FILE_H
#define TEST_TAKEN_FILE_H

#include <string.h>

#include "dispatcher/cli/serve/serve_options.h"
#include "dispatcher/config/config_file.h"

static struct serve_values values;
static struct cli_words words;
static struct problems problems;

static inline int make(void **state)
{
    (void)state;
    serve_values_init(&values);
    words = (struct cli_words){0};
    return 0;
}

static inline int drop(void **state)
{
    (void)state;
    problems_finish(&problems);
    config_finish(&values.config);
    return 0;
}

/* As `path`, whose folder paths begin at. */
static inline int take_as(const char *path, const char *text)
{
    const struct config_file file = {.path = path,
                                     .command = &serve_command,
                                     .words = &words,
                                     .values = &values,
                                     .config = &values.config};
    values.config.said.file = path;
    return config_file_take(&file, text, strlen(text), &problems);
}

#endif
