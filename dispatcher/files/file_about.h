/* SPDX-License-Identifier: MIT */
/*
 * file_about.h - the small file beside each stored one: lines of a word and its value.
 *
 *     millrace-file 1
 *     owner alice
 *     name photo of a cat.jpg
 *     bytes 48213
 *     sha256 9f86d081884c7d65...
 *     created 1705589076.999664
 */
#ifndef DISPATCHER_FILE_ABOUT_H
#define DISPATCHER_FILE_ABOUT_H

#include <stddef.h>

#include "dispatcher/files/disk_file.h"
#include "millrace/check.h"

#define FILE_ABOUT_BYTES_MAX 1024u
#define FILE_ABOUT_NAME_BYTES (FILE_ID_BYTES + 6u)

/* "<id>.about". */
void file_about_name(const char *id, char out[FILE_ABOUT_NAME_BYTES]);

/* Returns the bytes written. */
size_t file_about_format(const struct file_about *about, char out[FILE_ABOUT_BYTES_MAX]);

/* Reads what that wrote, of the file with this id. 0, or -EINVAL: somebody else wrote it. */
int file_about_parse(const char *id, const char *text, size_t bytes,
                     struct file_about *out) MUST_USE;

#endif
