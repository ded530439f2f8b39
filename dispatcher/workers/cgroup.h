/* SPDX-License-Identifier: MIT */
/*
 * cgroup.h - a control group (version 2) for each worker whose memory is limited.
 *
 *     FOLDER                  the group this process was started in, delegated to it
 *       millrace-PID          where this process moves: a group with limited groups below has no
 *                             processes of its own
 *       millrace-PID-P-N      for worker N of pipeline P: memory.max, memory.oom.group
 *
 * The worker joins its group itself, as its first step. All of these files are the kernel's:
 * reading and writing them waits for no disk.
 */
#ifndef DISPATCHER_CGROUP_H
#define DISPATCHER_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/workers/oom.h"
#include "millrace/check.h"

#define CGROUP_REASON_BYTES 1024u

/* The folder of this process's group. `mounts` and `groups` are the texts of /proc/self/mountinfo
 * and /proc/self/cgroup. 0, or -ENOENT: there is no version 2, or not where we can see it. */
int cgroup_folder(const char *mounts, const char *groups, char folder[PATH_MAX]) MUST_USE;

/* Finds our group. Results likewise, with one line in `reason`. */
int cgroup_find(char folder[PATH_MAX], char reason[CGROUP_REASON_BYTES]) MUST_USE;

/* Moves this process out of the way, removes what servers left behind that were killed, and lets
 * groups below `folder` have limits. 0, or -errno with
 * one line in `reason` that says what to do. */
int cgroup_prepare(const char *folder, char reason[CGROUP_REASON_BYTES]) MUST_USE;

/* One worker's group, which one process after another joins. */
struct cgroup {
    char path[PATH_MAX];
    uint64_t bytes_max;
    struct oom_watch kills;
};

/* Makes a group below `folder` whose processes together have so much memory, without swap, and are
 * killed together beyond that. 0 with a group that the caller destroys, or -errno with one line in
 * `reason`. */
int cgroup_create(struct cgroup **out, const char *folder, const char *name, uint64_t bytes_max,
                  char reason[CGROUP_REASON_BYTES]) MUST_USE;

/* Removes the group if no process is left in it. NULL is none. */
void cgroup_destroy(struct cgroup *group);

/* Kills whatever is left in the group, in whatever process group and session. */
void cgroup_kill(const struct cgroup *group);

/* True: somebody in it was killed for memory since the last look. */
bool cgroup_has_killed(struct cgroup *group);

#endif
