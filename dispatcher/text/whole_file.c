/* SPDX-License-Identifier: MIT */
/* whole_file.c - the text of a file that is no larger than it may be. */
#include "dispatcher/text/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int whole_file_read(const char *path, size_t bytes_max, char **text, size_t *bytes)
{
    size_t filled = 0;
    ssize_t count = 1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd == -1)
        return -errno;
    char *memory = malloc(bytes_max + 1);
    int rc = memory ? 0 : -ENOMEM;
    while (rc == 0 && count != 0 && filled <= bytes_max) {
        count = read(fd, memory + filled, bytes_max + 1 - filled);
        if (count == -1 && errno != EINTR)
            rc = -errno;
        filled += count > 0 ? (size_t)count : 0;
    }
    close(fd);
    if (rc == 0 && filled > bytes_max)
        rc = -EFBIG;
    if (rc < 0) {
        free(memory);
        return rc;
    }
    *text = memory;
    *bytes = filled;
    return 0;
}
