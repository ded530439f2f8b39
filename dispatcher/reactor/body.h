/* SPDX-License-Identifier: MIT */
/*
 * body.h - a body as it arrives: in memory, and a large one in a file of memory, which another
 * process can be given.
 *
 * Memory of the heap would have to be moved each time it grows, and copied to be handed over.
 */
#ifndef DISPATCHER_BODY_H
#define DISPATCHER_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/reactor/input_memory.h"
#include "millrace/check.h"

/* A body above this is a file. */
#define BODY_MEMORY_BYTES_MAX (256u * 1024)

/* Zero is empty. */
struct body {
    struct input_buffer kept; /* its bytes and what is counted for them; no data, of a file */
    int fd;                   /* owned; of a file */
    bool is_file;
};

/* Puts bytes behind it; of all of them there will be at most `bytes_max`. 0, -ENOMEM, or -ENOBUFS:
 * all requests together hold as much, or as many files, as they may. */
int body_append(struct body *body, struct input_memory *memory, const char *data, size_t bytes,
                size_t bytes_max) MUST_USE;

/* Somebody else has its file: that is closed here, and what it holds is still counted. */
void body_hand_over(struct body *body, struct input_memory *memory);

/* Nobody wants it any more: it is empty. */
void body_drop(struct body *body, struct input_memory *memory);

/* Closes and frees it at the end, when nothing is counted any more. */
void body_finish(struct body *body);

/* Writes all of it to a file of memory. 0 or -ENOMEM. */
int body_write(int fd, const void *data, size_t bytes) MUST_USE;

#endif
