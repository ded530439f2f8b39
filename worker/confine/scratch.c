/* SPDX-License-Identifier: MIT */
/* scratch.c - what a worker has left is removed, and the next one's folder made. */
#include "worker/confine/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 256u

/* Whoever has left it may still be there, and put a link where a folder was, while we may still do
 * everything: so no name here is a path, and no link is followed. */
static int scratch_enter(int folder_fd, const char *name)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(folder_fd, name, flags);
    if (fd >= 0 || errno != EACCES)
        return fd;
    /* Ours, and not to be read. */
    return fchmodat(folder_fd, name, 0700, AT_SYMLINK_NOFOLLOW) == -1
               ? -1
               : openat(folder_fd, name, flags);
}

/* What cannot be removed stays. */
static void scratch_remove(int folder_fd, const char *name, unsigned depth)
{
    if (unlinkat(folder_fd, name, 0) == 0 || depth == DEPTH_MAX)
        return;
    int fd = scratch_enter(folder_fd, name);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (!folder) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (const struct dirent *entry; (entry = readdir(folder));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            scratch_remove(fd, entry->d_name, depth + 1);
    closedir(folder);
    unlinkat(folder_fd, name, AT_REMOVEDIR);
}

/* All of it, or it is put aside: a tree that is too deep, say. */
static int scratch_clear(const char *path)
{
    char aside[PATH_MAX];
    struct stat file;
    scratch_remove(AT_FDCWD, path, 0);
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
