/* SPDX-License-Identifier: MIT */
/*
 * file_name.h - the name that a client gives to a file, made harmless: for people to read, and for
 * a folder to hold.
 */
#ifndef DISPATCHER_FILE_NAME_H
#define DISPATCHER_FILE_NAME_H

#include <stddef.h>

#define FILE_NAME_BYTES_MAX 200u

/* Writes what follows the last slash or backslash of `text`, at most so many bytes of whole
 * characters, and a NUL. Dots and blanks in front are left out; what cannot be shown (controls,
 * bytes that are no UTF-8, what turns the direction of reading) becomes '_', and what is nothing
 * then, "file". Of a long name the end, which says what kind it is, stays. */
void file_name_make(const char *text, size_t bytes, char out[FILE_NAME_BYTES_MAX + 1]);

#endif
