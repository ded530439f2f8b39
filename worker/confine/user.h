/* SPDX-License-Identifier: MIT */
/*
 * user.h - the process becomes another user's, for good.
 */
#ifndef WORKER_USER_H
#define WORKER_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "millrace/check.h"
#include "millrace/confine.h"

struct user {
    bool has_uid, has_gid; /* both, or neither */
    uid_t uid;
    gid_t gid;
    gid_t groups[CONFINE_GROUP_COUNT_MAX];
    size_t group_count;
    const char *home; /* NULL: nothing was said; "": as it was */
};

/* Sets what `key` names. True: it is a key of these, and the text is sound. */
bool user_parse(struct user *out, const char *key, const char *text);

/* One with this number, a group of the same number, no other groups, and no folder of its own. */
struct user user_own(uid_t uid);

/* Kills every process of this user: what is left of the worker before that had the same. This one
 * must not be the user's yet, and must be root. */
void user_clear(uid_t uid);

/* Becomes that user, if there is one, and makes sure that there is no way back. PR_SET_PDEATHSIG is
 * forgotten by that. 0, or -errno with a sentence in `reason`. */
int user_become(const struct user *user, char *reason, size_t reason_bytes) MUST_USE;

#endif
