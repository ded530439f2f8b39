/* SPDX-License-Identifier: MIT */
/*
 * disk_file.h - files in the folder that --files names, and what is known of each; for the start
 * and for threads: all of it may wait for the disk.
 *
 *     stored/                for the server's user alone
 *       file_<32 hex>        what was uploaded, which nobody writes to any more
 *       file_<32 hex>.about  whose it is, its name, size and hash; there after the file, and gone
 *                            before it: what has no such is half a file, and the start removes it
 *       part_<32 hex>        on the way, where the file system has no files without names
 *     parts/                 parts of files that come in parts, see parts.h; empty at the start
 *     runs/                  what runs are given, which workers find if they know its name; empty
 *                            at the start
 */
#ifndef DISPATCHER_DISK_FILE_H
#define DISPATCHER_DISK_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "dispatcher/config/tokens.h"
#include "dispatcher/files/sha256.h"
#include "dispatcher/reactor/identity.h"
#include "dispatcher/text/file_name.h"
#include "millrace/check.h"

#define FILE_ID_BYTES 38u /* "file_", 32 hex digits and the NUL */
#define FILE_HASH_BYTES SHA256_HEX_BYTES

/* What is known of a file, and kept beside it. */
struct file_about {
    char id[FILE_ID_BYTES];
    char owner[TOKEN_NAME_BYTES_MAX + 1]; /* the name of its token; "": there were none */
    char name[FILE_NAME_BYTES_MAX + 1];
    char sha256[FILE_HASH_BYTES];
    uint64_t bytes;
    double created_at, used_at; /* CLOCK_REALTIME, seconds; the second is that of the .about */
};

/* A file on its way to the disk. */
struct disk_file {
    int folder_fd;    /* borrowed */
    int fd;           /* owned; -1: not opened yet, or over */
    bool is_named;    /* it is part_<id> */
    bool is_part;     /* of a file: nobody asks for its hash, or for it after a power cut */
    bool is_unsynced; /* it may be gone after a power cut */
    uint64_t bytes;
    struct sha256 hash;
    char part[FILE_ID_BYTES];
};

/* Opens the folder for one server alone; it is made if it is missing, for its own user. Its
 * descriptor; -EBUSY: another server has it; -EPERM: others may write to it; -errno. */
int disk_folder_open(const char *path) MUST_USE;

/* Opens a folder in it, which has this mode from then on, and is made if it is missing. Its
 * descriptor or -errno. */
int disk_folder_enter(int root_fd, const char *name, mode_t mode) MUST_USE;

/* Moves stored files that lie in the folder itself, as they once did, to where they are looked for.
 * 0 or -errno. */
int disk_folder_move(int root_fd, int folder_fd) MUST_USE;

/* Removes all that is in a folder. 0 or -errno: what lies deeper than 16 folders is -EISDIR. */
int disk_folder_empty(int folder_fd) MUST_USE;

/* Whether every user can go through the folders of this path, which is from the root and has no
 * links in it, to what lies below. */
bool disk_folder_is_open(const char *path);

/* Calls `found` for each whole file of stored/, and removes what is half of one; `lost` for each of
 * those, with the reason. 0 or -errno. */
int disk_folder_read(int folder_fd, void (*found)(void *owner, const struct file_about *about),
                     void (*lost)(void *owner, const char *name, const char *reason),
                     void *owner) MUST_USE;

/* `id` is that of the file there will be. */
void disk_file_init(struct disk_file *file, int folder_fd, const char *id);

/* Puts bytes behind those that are there, and into its hash. 0 or -errno. */
int disk_file_write(struct disk_file *file, const char *bytes, size_t count) MUST_USE;

/* It is whole: fills size and hash of `about`, and when this returns 0 both are there under their
 * names, and on the disk unless `is_unsynced`. -errno: neither is there. In any case it is over. */
int disk_file_keep(struct disk_file *file, struct file_about *about) MUST_USE;

/* Likewise of a part, which gets this name. Results as above. */
int disk_file_keep_part(struct disk_file *file, const char *name) MUST_USE;

/* Nobody wants it. */
void disk_file_drop(struct disk_file *file);

/* Opens a file that is kept, to read it, and notes that it was used. Its descriptor or -errno. */
int disk_file_open(int folder_fd, const char *id) MUST_USE;

/* Removes a file that is kept, or half of one. */
void disk_file_remove(int folder_fd, const char *id);

/* Whether it is "file_" and 32 hexadecimal digits. */
bool file_id_is_valid(const char *text, size_t bytes);

#endif
