/* SPDX-License-Identifier: MIT */
/* scratch.c - what a worker has left is removed, and the next one's folder made. */
#include "worker/confine/scratch.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_FOLDER_COUNT 16
/* A folder that could not be read is opened, and looked into in the next round. */
#define ROUND_COUNT 8

static int scratch_on_entry(const char *path, const struct stat *file, int kind, struct FTW *at)
{
    (void)file, (void)at;
    if (kind == FTW_DNR)
        chmod(path, 0700); /* it is a folder, and no link */
    else if (kind == FTW_DP)
        rmdir(path);
    else
        unlink(path);
    return 0;
}

/* All of it, or it is put aside: a tree so deep that no path leads to its end, say. */
static int scratch_clear(const char *path)
{
    char aside[PATH_MAX];
    struct stat file;
    for (int i = 0; i < ROUND_COUNT; i++) {
        if (lstat(path, &file) == -1)
            return errno == ENOENT ? 0 : -errno;
        nftw(path, scratch_on_entry, OPEN_FOLDER_COUNT, FTW_DEPTH | FTW_PHYS);
    }
    if (lstat(path, &file) == -1)
        return errno == ENOENT ? 0 : -errno;
    if (snprintf(aside, sizeof aside, "%s.left.%d", path, (int)getpid()) >= (int)sizeof aside)
        return -ENAMETOOLONG;
    return rename(path, aside) == -1 ? -errno : 0;
}

int scratch_make(struct scratch *out, const char *folder, const char *name, const struct user *user)
{
    if (snprintf(out->path, sizeof out->path, "%s/%s", folder, name) >= (int)sizeof out->path)
        return -ENAMETOOLONG;
    int rc = scratch_clear(out->path);
    if (rc == 0 && mkdir(out->path, 0700) == -1)
        rc = -errno;
    if (rc == 0 && user->has_uid && chown(out->path, user->uid, user->gid) == -1)
        rc = -errno;
    if (rc == 0 && setenv("TMPDIR", out->path, 1) == -1)
        rc = -errno;
    return rc;
}
