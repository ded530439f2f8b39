/* SPDX-License-Identifier: MIT */
/* transfer_view.h - how far a file is on its way, on a terminal. */
#ifndef DISPATCHER_TRANSFER_VIEW_H
#define DISPATCHER_TRANSFER_VIEW_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct transfer_view {
    FILE *file; /* borrowed */
    bool is_terminal;
    /* On the monotonic clock: when this file began (0: none has), and when a line was drawn. */
    uint64_t began_ms, drawn_ms;
};

struct transfer_view transfer_view_begin(FILE *file);

/* A client_told, whose context is a view. A line that is drawn over some times a second, and gone
 * when all is done; what is quick is not shown at all. */
void transfer_view_told(void *view, const char *name, uint64_t done, uint64_t bytes);

#endif
