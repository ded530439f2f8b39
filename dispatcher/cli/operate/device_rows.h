/* SPDX-License-Identifier: MIT */
/*
 * device_rows.h - what `millrace devices` shows: what was found here, and what a server says of it.
 */
#ifndef DISPATCHER_DEVICE_ROWS_H
#define DISPATCHER_DEVICE_ROWS_H

#include <stdbool.h>
#include <stddef.h>

#include "dispatcher/cli/operate/live_state.h"
#include "dispatcher/devices/scan.h"
#include "millrace/check.h"

struct device_row {
    struct device device;
    const struct live_device *live; /* borrowed; NULL: no server says anything of it */
};

/* Devices as they were found, then those that only the server knows, as counted ones are. */
struct device_rows {
    struct device_row *list; /* owned */
    size_t count;
    bool has_server;
};

/* Of scans that have ended; `live` NULL: no server answers. 0 or -ENOMEM; device_rows_finish()
 * after 0. */
int device_rows_make(struct device_rows *out, const struct scan *scans, size_t scan_count,
                     const struct live_state *live) MUST_USE;
void device_rows_finish(struct device_rows *rows);

#endif
