/* SPDX-License-Identifier: MIT */
/* disk_file.c - how files come to the disk, whole or not at all. */
#include "dispatcher/files/disk_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dispatcher/files/file_about.h"

void disk_file_init(struct disk_file *file, int folder_fd, const char *id)
{
    *file = (struct disk_file){.folder_fd = folder_fd, .fd = -1};
    snprintf(file->part, sizeof file->part, "part_%s", id + strlen("file_"));
    sha256_init(&file->hash);
}

/* Without a name until it is whole, so that a server that is killed leaves nothing; where the file
 * system has no such files, under one that the next start removes. */
static int disk_file_make(struct disk_file *file)
{
    file->fd = openat(file->folder_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file->fd >= 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
        return -errno;
    file->fd = openat(file->folder_fd, file->part, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (file->fd == -1)
        return -errno;
    file->is_named = true;
    return 0;
}

static int disk_write_all(int fd, const char *bytes, size_t count)
{
    for (size_t at = 0; at < count;) {
        ssize_t written = write(fd, bytes + at, count - at);
        if (written == -1 && errno == EINTR)
            continue;
        if (written <= 0)
            return written == 0 ? -EIO : -errno;
        at += (size_t)written;
    }
    return 0;
}

int disk_file_write(struct disk_file *file, const char *bytes, size_t count)
{
    int rc = file->fd == -1 ? disk_file_make(file) : 0;
    if (rc == 0)
        rc = disk_write_all(file->fd, bytes, count);
    if (rc < 0)
        return rc;
    if (!file->is_part)
        sha256_add(&file->hash, bytes, count);
    file->bytes += count;
    return 0;
}

static void disk_file_close(struct disk_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

void disk_file_drop(struct disk_file *file)
{
    disk_file_close(file);
    if (file->is_named)
        unlinkat(file->folder_fd, file->part, 0);
    file->is_named = false;
}

/* Gives it its name. */
static int disk_file_link(struct disk_file *file, const char *name)
{
    char path[32];
    if (file->is_named) {
        if (renameat(file->folder_fd, file->part, file->folder_fd, name) == -1)
            return -errno;
        file->is_named = false;
        return 0;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", file->fd);
    if (linkat(AT_FDCWD, path, file->folder_fd, name, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    if (errno != ENOENT)
        return -errno;
    /* There is no /proc here. Older kernels let only root do it so. */
    return linkat(file->fd, "", file->folder_fd, name, AT_EMPTY_PATH) == -1 ? -errno : 0;
}

static int disk_file_sync(const struct disk_file *file, int fd)
{
    return !file->is_unsynced && fsync(fd) == -1 ? -errno : 0;
}

/* What is said of it appears whole, too. */
static int disk_about_keep(const struct disk_file *whose, const struct file_about *about)
{
    char text[FILE_ABOUT_BYTES_MAX], name[FILE_ABOUT_NAME_BYTES];
    struct disk_file file;
    const size_t bytes = file_about_format(about, text);
    disk_file_init(&file, whose->folder_fd, about->id);
    file_about_name(about->id, name);
    int rc = disk_file_write(&file, text, bytes);
    if (rc == 0)
        rc = disk_file_sync(whose, file.fd);
    if (rc == 0)
        rc = disk_file_link(&file, name);
    disk_file_drop(&file);
    return rc;
}

int disk_file_keep(struct disk_file *file, struct file_about *about)
{
    int rc = disk_file_write(file, "", 0); /* an empty one is made now */
    /* Whoever is given a link to it reads it, and nobody writes. */
    if (rc == 0 && fchmod(file->fd, 0444) == -1)
        rc = -errno;
    if (rc == 0)
        rc = disk_file_sync(file, file->fd);
    if (rc == 0)
        rc = disk_file_link(file, about->id);
    if (rc < 0) {
        disk_file_drop(file);
        return rc;
    }
    sha256_finish(&file->hash, about->sha256);
    about->bytes = file->bytes;
    rc = disk_about_keep(file, about);
    if (rc == 0)
        rc = disk_file_sync(file, file->folder_fd);
    disk_file_close(file);
    if (rc < 0)
        disk_file_remove(file->folder_fd, about->id);
    return rc;
}

int disk_file_keep_part(struct disk_file *file, const char *name)
{
    int rc = disk_file_write(file, "", 0);
    if (rc == 0)
        rc = disk_file_link(file, name);
    if (rc < 0)
        disk_file_drop(file);
    else
        disk_file_close(file);
    return rc;
}

int disk_file_open(int folder_fd, const char *id)
{
    char name[FILE_ABOUT_NAME_BYTES];
    struct stat file;
    int fd = openat(folder_fd, id, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd == -1)
        return -errno;
    if (fstat(fd, &file) == -1 || !S_ISREG(file.st_mode)) {
        close(fd);
        return -ENOENT;
    }
    file_about_name(id, name);
    utimensat(folder_fd, name, NULL, AT_SYMLINK_NOFOLLOW);
    return fd;
}

void disk_file_remove(int folder_fd, const char *id)
{
    char name[FILE_ABOUT_NAME_BYTES];
    file_about_name(id, name);
    unlinkat(folder_fd, name, 0);
    unlinkat(folder_fd, id, 0);
}
