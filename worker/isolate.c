/* SPDX-License-Identifier: MIT */
/* isolate.c - a Landlock domain that restricts nothing but the way into other processes. */
#include "worker/isolate.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Since version 6, which is newer than the headers at hand. */
#define SCOPE_VERSION 6
#define SCOPE_SIGNAL (UINT64_C(1) << 1)

/* The kernel takes as much of it as it knows, if what it does not know is zero. */
struct ruleset_attributes {
    uint64_t files;
    uint64_t network;
    uint64_t scope;
};

/* A domain must restrict something. Moving files between directories is denied in every domain that
 * does not speak of it, so it is this: restricted, and allowed below /. */
static int allow_files(int ruleset)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = LANDLOCK_ACCESS_FS_REFER};
    rule.parent_fd = open("/", O_PATH | O_CLOEXEC);
    if (rule.parent_fd == -1)
        return -errno;
    long rc = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    int error = rc == -1 ? -errno : 0;
    close(rule.parent_fd);
    return error;
}

int isolate(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version == -1)
        return -errno;
    if (version < 2)
        return -EOPNOTSUPP;
    struct ruleset_attributes attributes = {.files = LANDLOCK_ACCESS_FS_REFER,
                                            .scope = version >= SCOPE_VERSION ? SCOPE_SIGNAL : 0};
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
    if (ruleset == -1)
        return -errno;
    int rc = allow_files(ruleset);
    if (rc == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) == -1)
        rc = -errno;
    close(ruleset);
    return rc;
}
