/* SPDX-License-Identifier: MIT */
/* log_filter.h - which lines of a log are of one pipeline, or of one run, by their fields. */
#ifndef DISPATCHER_LOG_FILTER_H
#define DISPATCHER_LOG_FILTER_H

#include <stdbool.h>

#include "dispatcher/cli/operate/log_line.h"

struct log_filter {
    const char *pipeline, *run; /* what the fields must be; NULL: anything */
    bool passes;                /* did the last event pass? At first: would a block without one? */
};

struct log_filter log_filter_make(const char *pipeline, const char *run);

/* Whether the next line passes: an event by its fields, a block as its event did; that a part of
 * the log was left out always passes. */
bool log_filter_take(struct log_filter *filter, const struct log_line *line);

#endif
