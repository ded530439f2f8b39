/* SPDX-License-Identifier: MIT */
/*
 * paths.h - what is said of files to those who are not to know where this machine keeps them.
 */
#ifndef DISPATCHER_PATHS_H
#define DISPATCHER_PATHS_H

#include <stddef.h>

/* Copies `text` to `out`, which has room for as much, with its NUL, and may be `text` itself. Of
 * absolute paths in it, which begin the text or stand behind a blank or a quote, say, the last part
 * is left: "(/srv/me/words.py:2)" is "(words.py:2)" then. Those that name no folder, relative ones,
 * and what is behind a URL's scheme stay as they are. */
void paths_shorten(char *out, const char *text);

#endif
