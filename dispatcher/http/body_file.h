/* SPDX-License-Identifier: MIT */
/*
 * body_file.h - a large body as it arrives: a file in memory, which another process can be given.
 *
 * Memory of the heap would have to be moved each time it grows, and copied to be handed over.
 */
#ifndef DISPATCHER_BODY_FILE_H
#define DISPATCHER_BODY_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"

struct conn;
struct loop;

/* A body above this is a file. */
#define BODY_MEMORY_BYTES_MAX (256u * 1024)

/* Puts bytes behind the payload, which is a file from then on. 0, -ENOMEM, or -ENOBUFS: all
 * requests together hold as much, or as many files, as they may. */
int body_file_append(struct loop *loop, struct conn *conn, const char *bytes,
                     size_t count) MUST_USE;

/* Closes the file; what it held is still counted. */
void body_file_close(struct loop *loop, struct conn *conn);

/* Writes all of it to a file of memory. 0 or -ENOMEM. */
int body_file_write(int fd, const void *bytes, size_t count) MUST_USE;

#endif
