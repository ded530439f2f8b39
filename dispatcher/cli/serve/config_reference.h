/* SPDX-License-Identifier: MIT */
/* config_reference.h - the keys of a configuration file, as the tables of docs/configuration.md. */
#ifndef DISPATCHER_CONFIG_REFERENCE_H
#define DISPATCHER_CONFIG_REFERENCE_H

#include <stdio.h>

#include "dispatcher/cli/serve/serve_options.h"

/* `values` hold the defaults. */
void config_reference_print(const struct cli_command *command, const struct serve_values *values,
                            FILE *file);

#endif
