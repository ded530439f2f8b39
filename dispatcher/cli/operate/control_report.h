/* SPDX-License-Identifier: MIT */
/*
 * control_report.h - what answers of the control socket say, and the difference that a
 * configuration makes, as lines for people.
 */
#ifndef DISPATCHER_CONTROL_REPORT_H
#define DISPATCHER_CONTROL_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "dispatcher/text/json_view.h"

/* NAN: there is no such number. */
double report_number(const struct json_view *object, const char *key);

/* Whether it is this word. */
bool report_is(const struct json_view *object, const char *key, const char *word);

/* Whether the list has any item. */
bool report_has_items(const struct json_view *object, const char *key);

/* Prints the characters of a string, or "-" of anything else, so that they stay on the line. */
void report_text_print(const struct json_view *object, const char *key, FILE *file);

/* "1 run" or "2 runs". */
void report_count_print(double count, const char *noun, FILE *file);

/* Pipelines that were, or would be, added, replaced, removed, changed or kept, aliases that are
 * other ones, and options that need a restart: a line each. */
void report_difference_print(const struct json_view *root, FILE *file);

/* What is wrong, a line each on stderr: mistakes in the configuration as they came, pipelines that
 * could not be served in the name of `command`. Returns how many there are. */
uint32_t report_errors_print(const struct json_view *root, const char *command);

#endif
