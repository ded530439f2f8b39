/* SPDX-License-Identifier: MIT */
/*
 * log_file.h - the file that the log goes to instead of stderr, and its reopening when somebody
 * moved it away.
 *
 * Opened at the start, where it may take its time. Reopened through io_uring: the loop goes on
 * meanwhile, and so does the log, in the old file; what is being written is finished there. When
 * the new one cannot be opened the old one is kept, and says so. A FIFO is opened without waiting
 * for its reader: until there is one it takes what fits into it.
 *
 *   STEADY --reopen--> OPENING --ENXIO--> OPENING_FIFO --done--> OPENED --written--> STEADY
 */
#ifndef DISPATCHER_LOG_FILE_H
#define DISPATCHER_LOG_FILE_H

#include <stdbool.h>

#include "dispatcher/reactor/log.h"
#include "dispatcher/reactor/uring.h"
#include "millrace/check.h"

enum log_file_state {
    LOG_FILE_STEADY = 0,
    LOG_FILE_OPENING,
    LOG_FILE_OPENING_FIFO, /* it is one, and nobody reads it */
    LOG_FILE_OPENED,       /* the old one has still to take what is being written */
    LOG_FILE_STATE_COUNT
};

/* Owns the log's descriptor where there is a path. Zero is none. */
struct log_file {
    char *path; /* owned: the kernel reads it; NULL: the log goes to stderr */
    enum log_file_state state;
    bool is_asked_again; /* while it was being opened */
    bool was_cancelled;  /* a write that the old one did not take, which the new one gets */
    int next_fd;         /* OPENED: the new one */
};

/* Opens the file at the end of which lines are added, and makes it if there is none, with mode
 * 0640; `log` goes there from now on. May wait for a disk. 0, -ENOMEM or -errno. */
int log_file_open(struct log_file *file, struct log *log, const char *path) MUST_USE;

/* Begins to open it again; without a path nothing is done. */
void log_file_reopen(struct log_file *file, struct uring *uring);

/* It is open, as `result`, or cannot be: -errno. */
void log_file_on_open(struct log_file *file, struct log *log, struct uring *uring, int32_t result);

/* A write of the log has ended. */
void log_file_on_written(struct log_file *file, struct log *log, struct uring *uring);

/* Closes it; the log has nowhere to go. */
void log_file_finish(struct log_file *file, struct log *log);

#endif
