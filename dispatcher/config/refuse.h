/* SPDX-License-Identifier: MIT */
/*
 * refuse.h - how what was said on the command line is refused.
 */
#ifndef DISPATCHER_REFUSE_H
#define DISPATCHER_REFUSE_H

#include <errno.h>
#include <stdio.h>

#include "dispatcher/config/cli.h"

/* One line for people, into CLI_REASON_BYTES, and -EINVAL; a macro, so that the analyzer sees that
 * constant. */
#define refuse(reason, ...) (snprintf(reason, CLI_REASON_BYTES, __VA_ARGS__), -EINVAL)

#endif
