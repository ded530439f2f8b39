/* SPDX-License-Identifier: MIT */
/*
 * worker_limits.h - the resource limits of workers, seen from those of the server.
 *
 * Some of what they limit is counted for all processes of a user together, while each is held to
 * its own limit. So those of workers are below the server's: whatever a worker takes, it is refused
 * more before the server is (docs/operations.md).
 */
#ifndef DISPATCHER_WORKER_LIMITS_H
#define DISPATCHER_WORKER_LIMITS_H

#include <stdio.h>

#include "dispatcher/config/cli.h"
#include "millrace/check.h"

struct config;
struct confinement;

/* Whether the limits that were asked for can be had. 0, or -EINVAL with one line in `reason`. */
int worker_limits_check(const struct confinement *confinement,
                        char reason[CLI_REASON_BYTES]) MUST_USE;

/* As lines of millrace/confine.h. Without a configuration (NULL) there is one worker. */
void worker_limits_print(const struct config *config, const struct confinement *confinement,
                         FILE *file);

#endif
