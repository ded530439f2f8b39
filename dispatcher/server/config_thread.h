/* SPDX-License-Identifier: MIT */
/*
 * config_thread.h - a configuration is read in a thread of its own, so that the loop need not wait.
 *
 * Files, users and interpreters are looked for as at the start, which may wait for a disk. The
 * thread shares nothing with the loop but what it was begun with and its result, which the loop
 * takes when the thread has ended.
 */
#ifndef DISPATCHER_CONFIG_THREAD_H
#define DISPATCHER_CONFIG_THREAD_H

#include <stdbool.h>
#include <stdio.h>

#include "dispatcher/config/config.h"
#include "dispatcher/reactor/uring.h"
#include "millrace/check.h"

/* Where a configuration comes from. */
struct config_source {
    /* Reads it whole, from this file instead of the one that was said (NULL). 0, and *out, memory
     * of malloc(), is the caller's; or a negative errno. What is wrong is written to `complaints`,
     * a line each. Called in a thread of its own, never twice at once. */
    int (*read)(void *owner, const char *path, struct config **out, FILE *complaints);
    void *owner;
};

struct config_reading;

/* Begins to read, from the file of this path, which is copied, or the one that was said (NULL);
 * `event_fd`, an eventfd that stays the caller's, becomes readable at the end. 0, or -errno. */
int config_reading_begin(struct config_reading **out, const struct config_source *source,
                         const char *path, int event_fd) MUST_USE;

/* What came of it, once the eventfd is readable. `complaints` ("": none; NULL: no memory) is the
 * caller's to free in any case, and the configuration if there is one. */
int config_reading_end(struct config_reading *reading, struct config **out,
                       char **complaints) MUST_USE;

/* For a process that ends: waits so long. True: config_reading_end() does not wait any more; false:
 * the thread is left alone, and what it has is lost. */
bool config_reading_wait(struct config_reading *reading, int timeout_ms) MUST_USE;

#endif
