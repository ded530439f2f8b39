/* SPDX-License-Identifier: MIT */
/* whole_file.h - the text of a file that is no larger than it may be. */
#ifndef DISPATCHER_WHOLE_FILE_H
#define DISPATCHER_WHOLE_FILE_H

#include <stddef.h>

#include "millrace/check.h"

#define WHOLE_FILE_WAIT_MS 60000

/* Also of what can be read like a file, a pipe for example; waits so long for each piece of it. 0,
 * and *text is the caller's, with room for one byte more; -EFBIG: there are more than `bytes_max`;
 * -ETIMEDOUT: nothing came, as of a pipe whose writer has gone for good; -errno. */
int whole_file_read_within(const char *path, size_t bytes_max, int wait_ms, char **text,
                           size_t *bytes) MUST_USE;

/* Likewise, for WHOLE_FILE_WAIT_MS. */
int whole_file_read(const char *path, size_t bytes_max, char **text, size_t *bytes) MUST_USE;

#endif
