/* SPDX-License-Identifier: MIT */
/*
 * body_file.h - a large body as it arrives: a file in memory, which another process can be given.
 *
 * Memory of the heap would have to be moved each time it grows, and copied to be handed over.
 */
#ifndef DISPATCHER_BODY_FILE_H
#define DISPATCHER_BODY_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/config/config.h"
#include "millrace/check.h"

struct conn;
struct loop;

/* A body above this is a file. */
#define BODY_MEMORY_BYTES_MAX (256u * 1024)

/* Puts bytes behind the payload, which is a file from then on. 0, -ENOMEM, or -ENOBUFS: all
 * requests together hold as much, or as many files, as they may. */
int body_file_append(struct loop *loop, struct conn *conn, const char *bytes,
                     size_t count) MUST_USE;

/* Somebody else has the file: it is closed here, and what it holds is still counted. */
void body_file_hand_over(struct loop *loop, struct conn *conn);

/* Nobody wants the payload any more. */
void body_file_drop(struct loop *loop, struct conn *conn);

/* ---- files that go --------------------------------------------------------------------------- */

/* To free the memory of a large file takes milliseconds, so it is done a part in each pass; until
 * then it counts for what requests hold. */
struct body_file {
    int fd;
    bool is_sealed;         /* so it goes in one piece */
    uint64_t bytes;         /* what is left in it */
    uint64_t counted_bytes; /* likewise in loop->input_bytes */
};

/* Owned by the loop. */
struct body_files {
    struct body_file items[BODY_FILE_COUNT_MAX];
    uint32_t count;
};

/* Takes the file over, one of loop->body_file_count, and its `counted_bytes` of loop->input_bytes.
 */
void body_files_add(struct loop *loop, const struct body_file *file);

/* Frees a part. True: there is more. */
bool body_files_free(struct loop *loop);

/* Closes them all. */
void body_files_finish(struct body_files *files);

/* Writes all of it to a file of memory. 0 or -ENOMEM. */
int body_file_write(int fd, const void *bytes, size_t count) MUST_USE;

#endif
