/* SPDX-License-Identifier: MIT */
/*
 * library.h - a library that is loaded when it is needed: with the thirty libraries that libcurl
 * needs, it takes longer than everything else that a start does, and most servers never use it.
 */
#ifndef DISPATCHER_LIBRARY_H
#define DISPATCHER_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

#define LIBRARY_CURL "libcurl.so.4"

/* A function by its name, and where in a table of pointers it goes. Of neighbours with one place
 * the first counts that the library has: older ones have other names. */
struct library_function {
    const char *name;
    size_t offset;
};

/* Loads the library, which stays loaded, and fills the table. NULL, or why not, as words that
 * live until the next call. */
const char *library_load(const char *library, const struct library_function *functions,
                         size_t count, void *table);

/* Likewise with functions that it need not have: their places get NULL. */
const char *library_load_some(const char *library, const struct library_function *functions,
                              size_t count, void *table);

/* Whether these words for why not mean that there is no such file. */
bool library_is_missing(const char *library, const char *why);

#endif
