/* SPDX-License-Identifier: MIT */
/*
 * files.h - the files that clients have uploaded: which there are, whose they are, and how many
 * bytes they may take together.
 *
 * What is known of each is in memory, bounded, and read back at the start; the files lie in one
 * folder. The one that was not used for longest goes first when there is no room, and each one when
 * it was not used for --files-ttl. Only the threads of the disk ever wait for it.
 */
#ifndef DISPATCHER_FILES_H
#define DISPATCHER_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/config/config.h"
#include "dispatcher/files/disk.h"
#include "dispatcher/files/disk_file.h"
#include "dispatcher/files/file_signature.h"
#include "dispatcher/reactor/input_memory.h"
#include "dispatcher/reactor/reactor.h"
#include "millrace/check.h"

#define FILE_COUNT_MAX 65536u
#define FILE_BUCKET_COUNT 16384u /* a power of two */
#define FILES_REASON_BYTES 400u
#define INTAKE_COUNT_MAX 64u /* that have a pipe */

struct intake;

struct parts;

/* Whoever has files: a token, by its name. */
struct files_owner {
    char name[TOKEN_NAME_BYTES_MAX + 1];
    uint32_t file_count; /* and uploads */
    struct file *newest;
    struct files_owner *next;
};

/* One that is kept. Owned by the files; it goes with its last user. */
struct file {
    struct file_about about;
    struct files *files;
    struct files_owner *owner;
    uint32_t user_count;                    /* it stays on the disk for them */
    bool is_removed;                        /* nobody finds it any more */
    struct file *next;                      /* of its bucket; of those to be removed */
    struct file *older, *newer;             /* by last use */
    struct file *owner_older, *owner_newer; /* of one owner, by creation */
    struct disk_job removal;
};

/* Owned by the server. All zero but for what files_init() makes, when there is no folder. */
struct files {
    const struct config *config;
    struct reactor *reactor;
    struct input_memory *input; /* which counts buffers and descriptors */
    struct disk disk;
    const char *hash_library; /* by which they are hashed */
    int root_fd;              /* owned, as the next ones; the folder that was said, and is locked */
    int folder_fd;            /* where files lie */
    int runs_fd;              /* what runs are given: it begins empty */
    int parts_fd;             /* of what comes in parts: likewise */
    char *runs_path;          /* owned; of that, from the root */
    bool is_open;             /* every user can get there */
    uint8_t secret[FILE_SECRET_BYTES];
    bool
        is_left; /* a thread still uses it all, and the process has to end without giving it back */

    struct file *buckets[FILE_BUCKET_COUNT];
    struct files_owner *owners;
    struct file *oldest, *newest; /* by last use */
    uint32_t file_count;
    uint64_t bytes;                           /* of those that are kept */
    uint64_t reserved_bytes;                  /* and of uploads */
    struct file *leaving;                     /* to be removed from the disk, when fewer are */
    uint32_t removal_count;                   /* that are being removed */
    struct intake *intakes[INTAKE_COUNT_MAX]; /* by place; each its own owner's */
    uint32_t intake_count, intake_generation;
    struct intake *waiting, *last_waiting; /* for a place, first come first */
    struct timer timer;                    /* when the oldest has not been used for long enough */
    bool has_timer;

    struct parts *parts_oldest, *parts_newest; /* by last use; see parts.h */
    uint32_t parts_count, join_count;          /* those there are; and of these, with the disk */
    uint32_t part_count, part_serial;          /* parts of them all; the last one's */
    struct timer parts_timer; /* when nothing has come of the oldest for long enough */

    uint64_t kept_count, removed_count, failed_count; /* they only grow */
};

struct files_options {
    const struct config *config;
    struct reactor *reactor;
    struct input_memory *input;
};

/* 0 or -ENOMEM; files_finish() in any case. */
int files_init(struct files *files, const struct files_options *options) MUST_USE;

/* Opens the folder, reads what there is and starts the threads, before the loop: it waits. 0, or
 * -errno with `reason`; nothing is done where no folder was said. */
int files_open(struct files *files, char reason[FILES_REASON_BYTES]) MUST_USE;

/* Whether files are kept here. */
static inline bool files_are_on(const struct files *files)
{
    return files->folder_fd >= 0;
}

/* The loop has begun, and goes on with another configuration. */
void files_start(struct files *files);
void files_follow(struct files *files, const struct config *next);
void files_on_timer(struct files *files);

/* The loop has ended, and nothing that takes or sends a file is left. */
void files_finish(struct files *files);

/* Whether everybody may see all of them: there are no tokens, or these share. */
static inline bool files_are_common(const struct files *files)
{
    return files->config->tokens.count == 0 || files->config->tokens_share;
}

/* The file of this id, as far as whoever has this token (NULL: none) may see it; NULL: there is
 * none. */
struct file *files_find(const struct files *files, const char *token, const char *id);

/* Likewise for somebody who may see whichever it is. */
struct file *files_get(const struct files *files, const char *id);

/* The newest of those that he may see, and the one before; NULL: there is none. */
struct file *files_newest(const struct files *files, const char *token);
struct file *files_before(const struct files *files, const struct file *file);

/* Somebody needs it, and does no longer. */
void file_use(struct file *file);
void file_release(struct file *file);

/* Nobody finds it any more. */
void file_remove(struct file *file);

/* ---- for uploads ---------------------------------------------------------------------------- */

/* Room for so many bytes more, for which the oldest that are not in use have to go. 0; -ENOSPC:
 * there is none. */
int files_reserve(struct files *files, uint64_t bytes) MUST_USE;
void files_unreserve(struct files *files, uint64_t bytes);

/* The one of this token, counted; NULL: no memory. */
struct files_owner *files_owner_take(struct files *files, const char *token);
void files_owner_give(struct files *files, struct files_owner *owner);

/* It is on the disk, and found from now on. */
void files_add(struct files *files, struct file *file);

/* For tests: what must always hold. Aborts. */
void files_check(const struct files *files);

#endif
