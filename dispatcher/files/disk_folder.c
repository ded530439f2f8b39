/* SPDX-License-Identifier: MIT */
/* disk_folder.c - the folder of files at the start: what is whole is found, what is not goes. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dispatcher/files/disk_file.h"
#include "dispatcher/files/file_about.h"

#define ABOUT_SUFFIX ".about"
#define DEPTH_MAX 16u /* of what is removed */

struct folder_reading {
    int fd;
    void (*found)(void *owner, const struct file_about *about);
    void (*lost)(void *owner, const char *name, const char *reason);
    void *owner;
};

int disk_folder_open(const char *path)
{
    struct stat folder;
    /* Workers with users of their own go through it to what their runs are given. */
    if (mkdir(path, 0711) == -1 && errno != EEXIST)
        return -errno;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd == -1)
        return -errno;
    int rc = flock(fd, LOCK_EX | LOCK_NB) == -1 ? -errno : 0;
    if (rc == 0 && fstat(fd, &folder) == -1)
        rc = -errno;
    if (rc == 0 && (folder.st_mode & (S_IWGRP | S_IWOTH)))
        rc = -EPERM; /* it may be somebody's, or everybody's: its mode is not ours to change */
    if (rc == 0)
        return fd;
    close(fd);
    return rc == -EWOULDBLOCK ? -EBUSY : rc;
}

bool disk_folder_is_open(const char *path)
{
    struct stat folder;
    char part[PATH_MAX];
    const size_t bytes = strlen(path);
    if (*path != '/' || bytes >= sizeof part)
        return false;
    for (size_t i = 1; i <= bytes; i++) {
        if (i < bytes && path[i] != '/')
            continue;
        snprintf(part, sizeof part, "%.*s", (int)i, path);
        if (stat(part, &folder) == -1 || !(folder.st_mode & S_IXOTH))
            return false;
    }
    return true;
}

/* Why it is not whole; NULL: it is. */
static const char *folder_about_read(int folder_fd, const char *id, struct file_about *about)
{
    char name[FILE_ABOUT_NAME_BYTES], text[FILE_ABOUT_BYTES_MAX];
    struct stat said, file;
    file_about_name(id, name);
    int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd == -1)
        return errno == ENOENT ? "its upload did not end" : strerror(errno);
    ssize_t bytes =
        fstat(fd, &said) == 0 && S_ISREG(said.st_mode) ? read(fd, text, sizeof text) : -1;
    close(fd);
    if (bytes < 0 || file_about_parse(id, text, (size_t)bytes, about) < 0)
        return "what is said of it cannot be read";
    if (fstatat(folder_fd, id, &file, AT_SYMLINK_NOFOLLOW) == -1 || !S_ISREG(file.st_mode))
        return "the file itself is missing";
    if ((uint64_t)file.st_size != about->bytes)
        return "it has another size than it had";
    about->used_at = (double)said.st_mtim.tv_sec + (double)said.st_mtim.tv_nsec / 1e9;
    return NULL;
}

static void folder_entry_read(const struct folder_reading *reading, const char *name)
{
    struct file_about about;
    char id[FILE_ID_BYTES];
    const size_t bytes = strlen(name), suffix = sizeof ABOUT_SUFFIX - 1;
    const char *reason = NULL;
    if (bytes == FILE_ID_BYTES - 1 && strncmp(name, "part_", 5) == 0) {
        unlinkat(reading->fd, name, 0);
        reading->lost(reading->owner, name, "its upload did not end");
        return;
    }
    const bool is_about =
        bytes == FILE_ID_BYTES - 1 + suffix && strcmp(name + bytes - suffix, ABOUT_SUFFIX) == 0;
    if (!file_id_is_valid(name, is_about ? bytes - suffix : bytes))
        return; /* none of ours */
    snprintf(id, sizeof id, "%.*s", (int)FILE_ID_BYTES - 1, name);
    if (is_about) {
        if (faccessat(reading->fd, id, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            return; /* it is found by its other name */
        reason = "the file itself is missing";
    } else {
        reason = folder_about_read(reading->fd, id, &about);
    }
    if (!reason) {
        reading->found(reading->owner, &about);
        return;
    }
    disk_file_remove(reading->fd, id);
    reading->lost(reading->owner, id, reason);
}

/* Calls `entry` for all that is in a folder. 0 or -errno. */
static int folder_each(int folder_fd, int (*entry)(void *owner, int folder_fd, const char *name),
                       void *owner)
{
    int rc = 0;
    int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (!folder) {
        rc = -errno;
        if (fd >= 0)
            close(fd);
        return rc;
    }
    for (const struct dirent *at; rc == 0 && (at = readdir(folder));)
        if (strcmp(at->d_name, ".") != 0 && strcmp(at->d_name, "..") != 0)
            rc = entry(owner, folder_fd, at->d_name);
    closedir(folder);
    return rc;
}

static int folder_on_read(void *owner, int folder_fd, const char *name)
{
    (void)folder_fd;
    folder_entry_read(owner, name);
    return 0;
}

int disk_folder_read(int folder_fd, void (*found)(void *owner, const struct file_about *about),
                     void (*lost)(void *owner, const char *name, const char *reason), void *owner)
{
    struct folder_reading reading = {folder_fd, found, lost, owner};
    return folder_each(folder_fd, folder_on_read, &reading);
}

/* ---- folders in the folder ------------------------------------------------------------------ */

int disk_folder_enter(int root_fd, const char *name, mode_t mode)
{
    if (mkdirat(root_fd, name, mode) == -1 && errno != EEXIST)
        return -errno;
    int fd = openat(root_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd == -1)
        return -errno;
    if (fchmod(fd, mode) == 0) /* whatever the umask */
        return fd;
    int rc = -errno;
    close(fd);
    return rc;
}

static int folder_on_move(void *owner, int root_fd, const char *name)
{
    const int folder_fd = *(const int *)owner;
    const size_t bytes = strlen(name), suffix = sizeof ABOUT_SUFFIX - 1;
    const bool is_about =
        bytes == FILE_ID_BYTES - 1 + suffix && strcmp(name + bytes - suffix, ABOUT_SUFFIX) == 0;
    if (bytes == FILE_ID_BYTES - 1 && strncmp(name, "part_", 5) == 0)
        return unlinkat(root_fd, name, 0) == -1 ? -errno : 0;
    if (!file_id_is_valid(name, is_about ? bytes - suffix : bytes))
        return 0; /* none of ours */
    if (!is_about && fchmodat(root_fd, name, 0444, 0) == -1)
        return -errno;
    return renameat(root_fd, name, folder_fd, name) == -1 ? -errno : 0;
}

int disk_folder_move(int root_fd, int folder_fd)
{
    int rc = folder_each(root_fd, folder_on_move, &folder_fd);
    if (rc == 0 && (fsync(folder_fd) == -1 || fsync(root_fd) == -1))
        rc = -errno;
    return rc;
}

static int folder_on_empty(void *owner, int folder_fd, const char *name)
{
    uint32_t depth = *(const uint32_t *)owner + 1;
    if (unlinkat(folder_fd, name, 0) == 0)
        return 0;
    if (errno != EISDIR || depth > DEPTH_MAX)
        return -errno;
    int fd = openat(folder_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd == -1)
        return -errno;
    int rc = folder_each(fd, folder_on_empty, &depth);
    close(fd);
    return rc == 0 && unlinkat(folder_fd, name, AT_REMOVEDIR) == -1 ? -errno : rc;
}

int disk_folder_empty(int folder_fd)
{
    uint32_t depth = 0;
    return folder_each(folder_fd, folder_on_empty, &depth);
}
