/* SPDX-License-Identifier: MIT */
/* system_root.c - small files below /sys and /proc. */
#include "dispatcher/devices/system_root.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NUMBER_BYTES 64u

const char *system_root(void)
{
    const char *root = getenv(SYSTEM_ROOT_VARIABLE);
    return root && *root != '\0' ? root : NULL;
}

static int system_read_listed(char *text, size_t room, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));
static int system_read_listed(char *text, size_t room, const char *format, va_list arguments)
{
    char path[SYSTEM_PATH_BYTES];
    const char *root = system_root();
    text[0] = '\0';
    int bytes = snprintf(path, sizeof(path), "%s", root ? root : "");
    if (bytes < 0 || (size_t)bytes >= sizeof(path))
        return -ENAMETOOLONG;
    int more = vsnprintf(path + bytes, sizeof(path) - (size_t)bytes, format, arguments);
    if (more < 0 || (size_t)(bytes + more) >= sizeof(path))
        return -ENAMETOOLONG;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd == -1)
        return -errno;
    /* Such files are given whole, or a page of them at a time. */
    size_t used = 0;
    ssize_t count = 1;
    while (count > 0 && used < room - 1) {
        count = read(fd, text + used, room - 1 - used);
        used += count > 0 ? (size_t)count : 0;
    }
    int rc = count == -1 ? -errno : 0;
    close(fd);
    used = rc < 0 ? 0 : used;
    while (used > 0 && isspace((unsigned char)text[used - 1]))
        used--;
    text[used] = '\0';
    return rc;
}

int system_read(char *text, size_t room, const char *path, ...)
{
    va_list arguments;
    va_start(arguments, path);
    int rc = system_read_listed(text, room, path, arguments);
    va_end(arguments);
    return rc;
}

bool system_read_number(uint64_t *number, const char *path, ...)
{
    char text[NUMBER_BYTES], *end;
    va_list arguments;
    va_start(arguments, path);
    int rc = system_read_listed(text, sizeof(text), path, arguments);
    va_end(arguments);
    if (rc < 0 || !isdigit((unsigned char)text[0]))
        return false;
    unsigned long long read_number = strtoull(text, &end, 10);
    if (*end != '\0')
        return false;
    *number = read_number;
    return true;
}

bool system_find_number(const char *text, const char *word, uint64_t *number)
{
    size_t bytes = strlen(word);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        const char *at = line + bytes;
        if (strncmp(line, word, bytes) != 0 || (*at != ' ' && *at != '\t'))
            continue;
        at += strspn(at, " \t");
        if (!isdigit((unsigned char)*at))
            return false;
        *number = strtoull(at, NULL, 10);
        return true;
    }
    return false;
}
