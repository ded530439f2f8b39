/* SPDX-License-Identifier: MIT */
/*
 * system_root.h - small files below /sys and /proc, or below a folder that stands for the whole
 * system: a test's, or that of a host as a container sees it.
 */
#ifndef DISPATCHER_SYSTEM_ROOT_H
#define DISPATCHER_SYSTEM_ROOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"

/* The variable that names the folder, in which are sys/ and proc/. */
#define SYSTEM_ROOT_VARIABLE "MILLRACE_SYSTEM_ROOT"
#define SYSTEM_PATH_BYTES 1024u

/* The folder; NULL: it is the system itself. */
const char *system_root(void);

/* The text of a file, as much of it as there is room for, without blanks at its end; `path` begins
 * with /sys or /proc. 0 or -errno; then the text is "". */
int system_read(char *text, size_t room, const char *path, ...) MUST_USE
    __attribute__((format(printf, 3, 4)));

/* The number that such a file is. False: there is none. */
bool system_read_number(uint64_t *number, const char *path, ...) MUST_USE
    __attribute__((format(printf, 2, 3)));

/* The number behind a word at the beginning of a line; false: no line begins so. */
bool system_find_number(const char *text, const char *word, uint64_t *number) MUST_USE;

#endif
