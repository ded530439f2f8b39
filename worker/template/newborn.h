/* SPDX-License-Identifier: MIT */
/*
 * newborn.h - what a copy of a template does first of all, to be a worker.
 */
#ifndef WORKER_NEWBORN_H
#define WORKER_NEWBORN_H

#include <stddef.h>

#include "millrace/limits.h"
#include "millrace/protocol.h"
#include "worker/template/template.h"

/* A FORK message as it came. */
struct fork_request {
    struct message header;
    struct message_fork fork;
    char text[MESSAGE_BYTES_MAX];
    size_t text_bytes;
    int fds[START_FD_COUNT]; /* owned; -1 where none came */
};

/* In the copy: its descriptors get their numbers, it waits for GO, has a process group of its own,
 * and gives up what a worker does, beside what the template gave up. Sends FAILED and leaves when
 * it cannot. */
void newborn_become(const struct template_options *options, struct fork_request *request,
                    struct newborn *out);

#endif
