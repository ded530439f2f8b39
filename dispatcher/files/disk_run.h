/* SPDX-License-Identifier: MIT */
/*
 * disk_run.h - the folder of one run, with the files that its inputs name; for threads: all of it
 * may wait for the disk.
 *
 *     runs/<32 hex>/<number>/<name>
 *
 * Its name is a secret: whoever has it can read what is in it, and nobody can list the folders. A
 * stored file is linked there, not copied, so it is there to be read and not to be written.
 */
#ifndef DISPATCHER_DISK_RUN_H
#define DISPATCHER_DISK_RUN_H

#include <stddef.h>
#include <stdint.h>

#include "dispatcher/files/disk_file.h"
#include "millrace/check.h"

#define DISK_RUN_BYTES 33u /* 32 hex digits and the NUL */
#define DISK_RUN_NUMBER_NONE UINT32_MAX

/* One of its files. */
struct disk_run_file {
    char id[FILE_ID_BYTES]; /* of the stored one; "": it is made here, to be written */
    uint32_t same_as;       /* of one that is made: it is the same as this one before it */
    char name[FILE_NAME_BYTES_MAX + 1];
    int fd; /* owned: of one that is made, open to be written; -1 */
};

/* Where things are; borrowed. */
struct disk_run_place {
    int stored_fd, runs_fd;
    const char *folder;
};

/* Makes the folder with all that is in it. 0, or -errno, and *failed is the number of the file that
 * cannot be there, or DISK_RUN_NUMBER_NONE; disk_run_remove() in any case. -ENOENT: what is stored
 * is gone. */
int disk_run_make(const struct disk_run_place *place, struct disk_run_file *files, uint32_t count,
                  uint32_t *failed) MUST_USE;

/* Closes those that were made. */
void disk_run_close(struct disk_run_file *files, uint32_t count);

/* Closes and removes all of it that is there. */
void disk_run_remove(const struct disk_run_place *place, struct disk_run_file *files,
                     uint32_t count);

#endif
