/* SPDX-License-Identifier: MIT */
/*
 * worker_user.h - the user whom workers are to be, looked up once, at the start.
 */
#ifndef DISPATCHER_WORKER_USER_H
#define DISPATCHER_WORKER_USER_H

#include <stdio.h>
#include <sys/types.h>

#include "dispatcher/config/cli.h"
#include "millrace/check.h"
#include "millrace/confine.h"

struct worker_user {
    uid_t uid;
    gid_t gid;
    gid_t groups[CONFINE_GROUP_COUNT_MAX];
    int group_count;
    char *home; /* owned; NULL: not known */
};

/* Looks up NAME[:GROUP], each a name or a number. 0, or -EINVAL with one line in `reason`: not
 * known, root, or this process may not change users. The caller calls finish() after a success. */
int worker_user_find(struct worker_user *out, const char *text,
                     char reason[CLI_REASON_BYTES]) MUST_USE;
void worker_user_finish(struct worker_user *user);

/* As lines of millrace/confine.h. */
void worker_user_print(const struct worker_user *user, FILE *file);

#endif
