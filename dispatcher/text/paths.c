/* SPDX-License-Identifier: MIT */
/* paths.c - absolute paths lose their folders. */
#include "dispatcher/text/paths.h"

#include <stdbool.h>
#include <string.h>

/* What stands around a path. */
#define BEFORE " \t\n\"'`([{<=,;:"
#define BEHIND " \t\n\"'`)]}>,;:"

static bool paths_is_one(const char *at, char before)
{
    return *at == '/' && at[1] != '/' && strchr(BEHIND, at[1]) == NULL &&
           (before == '\0' || strchr(BEFORE, before) != NULL);
}

/* Where the last part of a path of so many bytes begins; a folder may end in a slash. */
static size_t paths_last_part(const char *path, size_t bytes)
{
    size_t begin = bytes - 1;
    while (path[begin - 1] != '/')
        begin--;
    return begin;
}

void paths_shorten(char *out, const char *text)
{
    char before = '\0';
    while (*text != '\0') {
        size_t bytes = 1;
        if (paths_is_one(text, before)) {
            bytes = strcspn(text, BEHIND);
            size_t skipped = paths_last_part(text, bytes);
            if (skipped > 1) { /* "/tmp" is in no folder */
                text += skipped;
                bytes -= skipped;
            }
        }
        memmove(out, text, bytes);
        out += bytes;
        text += bytes;
        before = text[-1];
    }
    *out = '\0';
}
