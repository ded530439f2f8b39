/* SPDX-License-Identifier: MIT */
/* progress.h - how far something is: one line that is redrawn, or a line for each change. */
#ifndef DISPATCHER_PROGRESS_H
#define DISPATCHER_PROGRESS_H

#include <stdbool.h>
#include <stdio.h>

#define PROGRESS_BYTES 400u

struct progress {
    FILE *file; /* borrowed; NULL: nothing is shown */
    bool is_terminal;
    char last[PROGRESS_BYTES]; /* what was shown */
};

struct progress progress_begin(FILE *file);

/* The same again is not shown. The text is ours, it has nothing that moves a cursor. */
void progress_show(struct progress *progress, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Leaves the last one where it stands. */
void progress_end(struct progress *progress);

#endif
