/* SPDX-License-Identifier: MIT */
/*
 * parts.h - files that come in parts: each part is a file of its own in a folder, until the client
 * names them all and a thread puts them together.
 *
 *     open      parts come, in any order, several at once; of one that comes again the last counts
 *     joining   a thread appends one after the other to the file there will be, and removes it
 *     leaving   a thread removes them: nothing came of it
 *
 * A restart drops those there are.
 */
#ifndef DISPATCHER_PARTS_H
#define DISPATCHER_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/files/files.h"
#include "millrace/check.h"

#define PARTS_ID_BYTES 40u /* "upload_", 32 hex digits and the NUL */
#define PARTS_TAG_BYTES IDENTITY_HEX_BYTES
#define PART_NUMBER_MAX 10000u
#define PARTS_COUNT_MAX 1024u       /* files that come so, at once */
#define PARTS_PART_COUNT_MAX 65536u /* parts of them all */
#define PARTS_JOIN_COUNT_MAX 64u    /* that are put together, or removed, at once */

/* How long one is kept while nothing comes of it; --files-ttl if that is less. As long is the URL
 * of a part good. */
#define PARTS_IDLE_S 3600u

struct part {
    uint32_t number;           /* from 1 on */
    uint32_t serial;           /* tells it from others of its number */
    uint64_t bytes;            /* reserved, of one that is whole */
    char tag[PARTS_TAG_BYTES]; /* random: its ETag */
};

enum parts_state {
    PARTS_OPEN = 0,
    PARTS_JOINING,
    PARTS_LEAVING,
    PARTS_OVER, /* it goes with the last of its parts that are on their way */
    PARTS_STATE_COUNT
};

/* Told in the loop, never from within a call. */
struct parts_ops {
    void (*kept)(void *owner, struct file *file);
    void (*failed)(void *owner, int rc); /* -ENOSPC, -EDQUOT or another -errno */
};

/* Owned by the files. */
struct parts {
    char id[PARTS_ID_BYTES];
    enum parts_state state;
    struct files *files;
    struct files_owner *token;
    struct file *file;  /* owned; that they become */
    struct part *parts; /* owned; by number */
    uint32_t count, room;
    uint64_t bytes;      /* of them */
    uint32_t user_count; /* parts on their way */
    uint64_t used_ms;
    struct parts *older, *newer; /* by last use */

    const struct parts_ops *ops;
    void *owner; /* NULL: nobody waits for it */

    struct disk_job job; /* while it is no longer open, with a thread: */
    uint32_t at;         /* the part that is next */
    uint64_t at_bytes;   /* of which so much was taken */
    int fd;              /* of that; -1: not opened */
    int rc;
    bool is_done; /* there is no more to do */
    char *buffer; /* owned */
    struct disk_file disk;
};

/* Begins one for whoever has this token (NULL: none), with a name as clients say it. NULL, and
 * `rc`: -ENOBUFS, there are too many; -ENOMEM. */
struct parts *parts_begin(struct files *files, const char *token, const char *name,
                          size_t name_bytes, int *rc);

/* The open one of this id, whosever it is; NULL: there is none, any more. */
struct parts *parts_get(const struct files *files, const char *id);

/* Whether who has this token (NULL: none) may go on with it. */
bool parts_are_of(const struct parts *parts, const char *token);

/* Somebody asks for it: it stays for a while longer. */
void parts_use(struct parts *parts);

/* The part of this number; NULL: none has come. */
const struct part *parts_find(const struct parts *parts, uint32_t number);

/* They are all there: puts them together. */
void parts_join(struct parts *parts, const struct parts_ops *ops, void *owner);

/* Who waited does not any more. */
void parts_forget(struct parts *parts);

/* Whether as many are being put together as can be. */
bool parts_are_busy(const struct files *files);

/* The timer of the files' parts. */
void parts_on_timer(struct files *files);

/* At the end, when all threads are: what is left is of no use, and the next start removes it. */
void parts_finish(struct files *files);

/* Whether it is "upload_" and 32 hexadecimal digits. */
bool parts_id_is_valid(const char *text);

/* ---- for uploads of one --------------------------------------------------------------------- */

/* Its name in the folder of parts. */
#define PART_NAME_BYTES 64u
void part_name(const struct parts *parts, const struct part *part, char out[PART_NAME_BYTES]);

/* One is on its way, and gets its serial and its tag. 0; -EMFILE: there are as many parts as there
 * may be. */
int parts_enter(struct parts *parts, uint32_t number, struct part *part) MUST_USE;

/* It is whole, on the disk and in the account of what is reserved. The serial of the one that it
 * stands for now, 0: there was none; -ESTALE: nothing is taken any more; -E2BIG: together they are
 * larger than a file may be; -EMFILE, -ENOMEM. */
int64_t parts_add(struct parts *parts, const struct part *part) MUST_USE;

/* That one is on its way no more. */
void parts_leave(struct parts *parts);

#endif
