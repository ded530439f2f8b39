/* SPDX-License-Identifier: MIT */
/* whole_file.c - the text of a file that is no larger than it may be. */
#include "dispatcher/text/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

static int whole_file_take(int fd, size_t bytes_max, int wait_ms, char *out, size_t *filled);

int whole_file_read_within(const char *path, size_t bytes_max, int wait_ms, char **text,
                           size_t *bytes)
{
    size_t filled = 0;
    /* A pipe that nobody writes to is not waited for here. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd == -1)
        return -errno;
    char *memory = malloc(bytes_max + 1);
    int rc = memory ? whole_file_take(fd, bytes_max, wait_ms, memory, &filled) : -ENOMEM;
    close(fd);
    if (rc < 0) {
        free(memory);
        return rc;
    }
    *text = memory;
    *bytes = filled;
    return 0;
}

int whole_file_read(const char *path, size_t bytes_max, char **text, size_t *bytes)
{
    return whole_file_read_within(path, bytes_max, WHOLE_FILE_WAIT_MS, text, bytes);
}

static int whole_file_take(int fd, size_t bytes_max, int wait_ms, char *out, size_t *filled)
{
    struct pollfd file = {.fd = fd, .events = POLLIN};
    ssize_t count = 1;
    while (count != 0 && *filled <= bytes_max) {
        int ready = poll(&file, 1, wait_ms);
        if (ready == 0)
            return -ETIMEDOUT;
        count = ready == -1 ? -1 : read(fd, out + *filled, bytes_max + 1 - *filled);
        if (count == -1 && errno != EINTR && errno != EAGAIN)
            return -errno;
        *filled += count > 0 ? (size_t)count : 0;
    }
    return *filled > bytes_max ? -EFBIG : 0;
}
