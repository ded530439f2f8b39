/* SPDX-License-Identifier: MIT */
/*
 * worker_owner.h - whose processes workers are: --worker-user, and what is so if nothing is said.
 *
 * Workers of a server that is root have users of their own, each another one; those of any other
 * server are that server's user's.
 */
#ifndef DISPATCHER_WORKER_OWNER_H
#define DISPATCHER_WORKER_OWNER_H

#include <sys/types.h>

#include "dispatcher/config/cli.h"
#include "millrace/check.h"

struct config;
struct own_users;
struct pipeline_config;

/* Decides it for every pipeline, and chooses the users; sources and programs must be known. 0, or
 * -EINVAL with one line in `reason`: what was asked for cannot be, or such a user cannot read what
 * it is to load. */
int worker_owners_decide(struct config *config, char reason[CLI_REASON_BYTES]) MUST_USE;

/* Whether this user, of a group of the same number, can read what its worker loads. 0, or -EINVAL
 * with one line in `reason` that names what it cannot. The interpreter of a Python pipeline must be
 * known. */
int worker_owner_check(uid_t uid, const struct pipeline_config *pipeline,
                       char reason[CLI_REASON_BYTES]) MUST_USE;

#endif
