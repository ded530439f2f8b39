/* SPDX-License-Identifier: MIT */
/* token_class.h - the best class that runs of a token may have, --token-class. */
#ifndef DISPATCHER_TOKEN_CLASS_H
#define DISPATCHER_TOKEN_CLASS_H

#include "dispatcher/config/cli.h"
#include "millrace/check.h"

struct config;

/* Whether it is NAME=CLASS, or *=CLASS for all that are not named. 0 or -EINVAL with one line in
 * `reason`. */
int token_class_check(const char *text, char reason[CLI_REASON_BYTES]) MUST_USE;

/* Gives each token its class, once they are read. 0 or -EINVAL likewise: there is no such token. */
int token_classes_fill(struct config *config, char reason[CLI_REASON_BYTES]) MUST_USE;

#endif
