/* SPDX-License-Identifier: MIT */
/* ps_table.h - the table of `millrace ps`, in 80 columns. */
#ifndef DISPATCHER_PS_TABLE_H
#define DISPATCHER_PS_TABLE_H

#include "dispatcher/cli/operate/live_state.h"
#include "dispatcher/text/text.h"

#define PS_COLUMNS 80u

/* Adds the server, its pipelines with their workers, and its aliases, a line each. A pointer that
 * is too long for its column has a line of its own, whole, in front of the numbers. */
void ps_table_add(struct text *out, const struct live_state *state);

#endif
