/* SPDX-License-Identifier: MIT */
/*
 * config_schema.h - a configuration file as a JSON Schema (draft 7, which editors take).
 *
 * It says what config_file.c takes, before ${NAME} is looked up: wherever a value has some, a
 * string may stand.
 */
#ifndef DISPATCHER_CONFIG_SCHEMA_H
#define DISPATCHER_CONFIG_SCHEMA_H

#include <stdio.h>

#include "dispatcher/cli/serve/serve_options.h"

/* `values` hold the defaults. */
void config_schema_print(const struct cli_command *command, const struct serve_values *values,
                         FILE *file);

#endif
