/* SPDX-License-Identifier: MIT */
/* devices_table.h - what `millrace devices` prints: a table for people, JSON for programs. */
#ifndef DISPATCHER_DEVICES_TABLE_H
#define DISPATCHER_DEVICES_TABLE_H

#include <stddef.h>

#include "dispatcher/cli/operate/device_rows.h"
#include "dispatcher/devices/scan.h"
#include "dispatcher/text/text.h"

/* Adds a line for each device, with how it is and who has it where a server says so; and one for
 * each device and each kind of the scans, which have ended, of which there is something to say.
 * Kinds that are not here are told of only where nothing is. */
void devices_table_add(struct text *out, const struct device_rows *rows, const struct scan *scans,
                       size_t scan_count);

/* Likewise all of it as one line of JSON; what is not known is null. */
void devices_json_add(struct text *out, const struct device_rows *rows, const struct scan *scans,
                      size_t scan_count);

#endif
