/* SPDX-License-Identifier: MIT */
/* disk_run.c - folders of runs. */
#include "dispatcher/files/disk_run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES (DISK_RUN_BYTES + 12u + FILE_NAME_BYTES_MAX + 2u)
/* Searched, not listed: also by workers with users of their own. */
#define FOLDER_MODE 0711
#define FILE_MODE 0444

struct disk_run_path {
    char text[PATH_BYTES];
};

static struct disk_run_path disk_run_folder(const struct disk_run_place *place, uint32_t number)
{
    struct disk_run_path path;
    snprintf(path.text, sizeof path.text, "%s/%u", place->folder, number);
    return path;
}

static struct disk_run_path disk_run_file_path(const struct disk_run_place *place,
                                               const struct disk_run_file *files, uint32_t number)
{
    struct disk_run_path path;
    snprintf(path.text, sizeof path.text, "%s/%u/%s", place->folder, number, files[number].name);
    return path;
}

/* Of this mode, whatever the umask. */
static int disk_run_enter(int runs_fd, const char *path)
{
    if (mkdirat(runs_fd, path, FOLDER_MODE) == -1)
        return -errno;
    return fchmodat(runs_fd, path, FOLDER_MODE, 0) == -1 ? -errno : 0;
}

static int disk_run_open(int runs_fd, const char *path, int *fd)
{
    *fd = openat(runs_fd, path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (*fd == -1)
        return -errno;
    return fchmod(*fd, FILE_MODE) == -1 ? -errno : 0;
}

static int disk_run_link(int from_fd, const char *from, int runs_fd, const char *path)
{
    return linkat(from_fd, from, runs_fd, path, 0) == -1 ? -errno : 0;
}

static int disk_run_put(const struct disk_run_place *place, struct disk_run_file *files,
                        uint32_t number)
{
    struct disk_run_file *file = &files[number];
    const struct disk_run_path folder = disk_run_folder(place, number),
                               path = disk_run_file_path(place, files, number);
    int rc = disk_run_enter(place->runs_fd, folder.text);
    if (rc < 0)
        return rc;
    if (file->id[0] != '\0')
        return disk_run_link(place->stored_fd, file->id, place->runs_fd, path.text);
    if (file->same_as == DISK_RUN_NUMBER_NONE)
        return disk_run_open(place->runs_fd, path.text, &file->fd);
    const struct disk_run_path same = disk_run_file_path(place, files, file->same_as);
    return disk_run_link(place->runs_fd, same.text, place->runs_fd, path.text);
}

int disk_run_make(const struct disk_run_place *place, struct disk_run_file *files, uint32_t count,
                  uint32_t *failed)
{
    int rc = disk_run_enter(place->runs_fd, place->folder);
    *failed = DISK_RUN_NUMBER_NONE;
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        rc = disk_run_put(place, files, i);
        if (rc < 0)
            *failed = i;
    }
    return rc;
}

void disk_run_close(struct disk_run_file *files, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (files[i].fd >= 0)
            close(files[i].fd);
        files[i].fd = -1;
    }
}

void disk_run_remove(const struct disk_run_place *place, struct disk_run_file *files,
                     uint32_t count)
{
    disk_run_close(files, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct disk_run_path folder = disk_run_folder(place, i),
                                   path = disk_run_file_path(place, files, i);
        unlinkat(place->runs_fd, path.text, 0);
        unlinkat(place->runs_fd, folder.text, AT_REMOVEDIR);
    }
    unlinkat(place->runs_fd, place->folder, AT_REMOVEDIR);
}
