/* SPDX-License-Identifier: MIT */
/*
 * environment_said.h - --env and --env-file become the variables of each pipeline.
 *
 * --env takes [POINTER=]NAME[=VALUE]; NAME alone is this process's own value. --env-file takes
 * [POINTER=]FILE, with NAME=VALUE lines: blanks before the name and a final CR are left out, all
 * else is the value as it stands, without quotes or expansion; empty lines and those that begin
 * with # are skipped. What is said for one pipeline goes before what is said for all, and --env
 * before --env-file.
 */
#ifndef DISPATCHER_ENVIRONMENT_SAID_H
#define DISPATCHER_ENVIRONMENT_SAID_H

#include "dispatcher/config/cli.h"
#include "dispatcher/config/environment.h"
#include "millrace/check.h"

struct config;

#define ENVIRONMENT_FILE_BYTES_MAX (256u * 1024)

/* Reads each file once, and waits for it. 0, -ENOMEM, or -EINVAL with one line in `reason`, in
 * which no value is shown: of a file it has FILE:LINE. */
int environment_said_fill(struct config *config, char reason[CLI_REASON_BYTES]) MUST_USE;

/* Adds NAME[=VALUE]. Results likewise; -EINVAL also when there is no such variable here. */
int environment_said_add(struct environment *environment, const char *text,
                         char reason[CLI_REASON_BYTES]) MUST_USE;

/* Whether it could be added. */
int environment_said_check(const char *text, char reason[CLI_REASON_BYTES]) MUST_USE;

/* Adds what a file has. Results likewise. */
int environment_file_add(struct environment *environment, const char *path,
                         char reason[CLI_REASON_BYTES]) MUST_USE;

#endif
