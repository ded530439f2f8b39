/* SPDX-License-Identifier: MIT */
/*
 * own_users.h - users that workers have for themselves: numbers without accounts.
 *
 * The kernel keeps users apart in everything: signals, limits, priorities, files, what is counted.
 * A server that is root gives each of its workers a number of its own from a range that no other
 * process has a number of; the group has the same number. Which range it is, chance decides anew at
 * each start, so nothing should be given to these users but what everybody may have.
 */
#ifndef DISPATCHER_OWN_USERS_H
#define DISPATCHER_OWN_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "millrace/check.h"

struct own_users {
    uid_t first;
    uint32_t count; /* 0: there are none */
};

#define OWN_USERS_REASON_BYTES 320u

/* Whether this process may change users and kill what runs as others: root, with CAP_SETUID,
 * CAP_SETGID and CAP_KILL. */
bool own_users_may_change(void);

/* Chooses a range of `count` (of 32,768 at most) that no process has a number of, and that this
 * namespace of users has. 0, or -EINVAL with one line in `reason`: this process may not change
 * users, or there is no such range. */
int own_users_choose(struct own_users *out, uint32_t count,
                     char reason[OWN_USERS_REASON_BYTES]) MUST_USE;

bool own_users_have(const struct own_users *users, uid_t uid);

/* Whether a user of that number and group can open all of these for reading and, if they are
 * folders, look into them. 0, or -EACCES with one line in `reason` that names the first that it
 * cannot, or -errno: it could not be tried. Starts a process for it, so there must be one
 * thread. */
int own_users_can_read(uid_t uid, const char *const *paths, size_t count,
                       char reason[OWN_USERS_REASON_BYTES]) MUST_USE;

/* Whether a process of which /proc says this lives: one whose first thread has ended before the
 * others is a zombie in name only. */
bool process_lives(char state, unsigned thread_count);

/* The effective user of a process. False: there is no such process, or it is dead. */
bool process_user(pid_t pid, uid_t *out);

#endif
