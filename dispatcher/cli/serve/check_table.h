/* SPDX-License-Identifier: MIT */
/* check_table.h - a pipeline's variables as `millrace check` shows them to people. */
#ifndef DISPATCHER_CHECK_TABLE_H
#define DISPATCHER_CHECK_TABLE_H

#include "dispatcher/config/manifest.h"
#include "dispatcher/inputs/variables.h"

/* Prints to stdout what the pipeline of this source takes and gives: a line for each variable, with
 * its limits, and below an input a line for each field that its schema has. All text in them is the
 * worker's, and moves no cursor. */
void check_table_print(const char *source, const struct variables *variables);

/* Prints what its manifest says of it for people, a line each. */
void check_table_manifest_print(const struct manifest *manifest);

#endif
