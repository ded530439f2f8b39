/* SPDX-License-Identifier: MIT */
/*
 * fds.h - how many descriptors this process has open: a test counts before and after.
 */
#ifndef TESTS_DISPATCHER_FDS_H
#define TESTS_DISPATCHER_FDS_H

#include <dirent.h>

#include "millrace/check.h"

/* The one that counts is among them, each time. */
static inline int fds_count(void)
{
    DIR *folder = opendir("/proc/self/fd");
    mr_assert(folder != NULL);
    int count = 0;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

#endif
