/* SPDX-License-Identifier: MIT */
/*
 * environment.h - variables that the workers of one pipeline are given besides those that all are.
 */
#ifndef DISPATCHER_ENVIRONMENT_H
#define DISPATCHER_ENVIRONMENT_H

#include <stddef.h>
#include <stdint.h>

#include "dispatcher/config/cli.h"
#include "millrace/check.h"

/* They fit the request for a process (SPAWN_STRING_COUNT_MAX, SPAWN_TEXT_BYTES_MAX) with all else
 * that is in it. */
#define ENVIRONMENT_COUNT_MAX 128u
#define ENVIRONMENT_BYTES_MAX (64u * 1024) /* of all, each with its final NUL */

/* Names of the server's own, which are refused. */
#define ENVIRONMENT_OWN_PREFIX "MILLRACE_"

/* Zero is empty. Owned by the configuration of the pipeline. */
struct environment {
    char **items; /* count of them, NAME=VALUE each; owned */
    uint32_t count;
    uint32_t bytes;
};

/* Adds NAME=VALUE, with a copy of it. The value may be empty. -EINVAL: it is not of that form (a
 * name has letters, digits and _, and does not begin with a digit), the name is there already or
 * the server's own, or there are too many or too long ones, with one line in `reason`, which shows
 * nothing of the value, nor of what is no name; -ENOMEM. */
int environment_add(struct environment *environment, const char *item,
                    char reason[CLI_REASON_BYTES]) MUST_USE;

/* Likewise, and takes the place of the one of that name. */
int environment_set(struct environment *environment, const char *item,
                    char reason[CLI_REASON_BYTES]) MUST_USE;

/* Likewise with all that another one has. */
int environment_merge(struct environment *environment, const struct environment *other,
                      char reason[CLI_REASON_BYTES]) MUST_USE;
void environment_finish(struct environment *environment);

/* Bytes of the name that `item` begins with; 0: none. */
size_t environment_name_bytes(const char *item);

/* Its own value; NULL: it has none. */
const char *environment_own_value(const struct environment *environment, const char *name);

/* The value that a worker sees: what is said here, else what this process has; NULL: none. */
const char *environment_value(const struct environment *environment, const char *name);

#endif
