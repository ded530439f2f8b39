/* SPDX-License-Identifier: MIT */
/* ranks_said.h - what was said of tenants and affinity becomes the sources of each pipeline. */
#ifndef DISPATCHER_RANKS_SAID_H
#define DISPATCHER_RANKS_SAID_H

#include "dispatcher/config/cli.h"
#include "millrace/check.h"

struct config;

/* Also the headers of all. 0, -ENOMEM, or -EINVAL with one line in `reason`. */
int ranks_said_fill(struct config *config, char reason[CLI_REASON_BYTES]) MUST_USE;

#endif
