/* SPDX-License-Identifier: MIT */
/* serve_config.h - options and files become a configuration that can be served. */
#ifndef DISPATCHER_SERVE_CONFIG_H
#define DISPATCHER_SERVE_CONFIG_H

#include "dispatcher/cli/serve/serve_options.h"
#include "millrace/check.h"

/* What the command line said becomes whole: the file of -c, tokens, files of variables, sources and
 * interpreters are looked at, and waited for. Raises the limit on descriptors of this process. An
 * exit code; what is wrong is on stderr. values->config is the caller's to finish in any case. */
int serve_config_fill(struct serve_values *values, const struct cli_words *words) MUST_USE;

#endif
