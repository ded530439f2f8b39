/* SPDX-License-Identifier: MIT */
/* oom.c - kills for memory, as the control group counts them. */
#include "dispatcher/workers/oom.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_BYTES_MAX 4096u

static bool oom_file_read(const char *path, char text[FILE_BYTES_MAX]);
static uint64_t oom_kill_count(const struct oom_watch *watch);

/* Lines are "number:controllers:group". Version 2 has one without controllers; where the memory
 * controller is still one of version 1, that counts. */
bool oom_path(const char *cgroups, char *path, size_t path_bytes)
{
    bool is_found = false;
    for (const char *line = cgroups; *line != '\0';) {
        int count = (int)strcspn(line, "\n");
        const char *colon = memchr(line, ':', (size_t)count);
        int skipped = colon ? (int)(colon - line) : count;
        int written = 0;
        if (strncmp(line + skipped, ":memory:", 8) == 0)
            written = snprintf(path, path_bytes, "/sys/fs/cgroup/memory%.*s/memory.oom_control",
                               count - skipped - 8, line + skipped + 8);
        else if (!is_found && strncmp(line + skipped, "::", 2) == 0)
            written = snprintf(path, path_bytes, "/sys/fs/cgroup%.*s/memory.events",
                               count - skipped - 2, line + skipped + 2);
        if (written > 0)
            is_found = (size_t)written < path_bytes;
        line += count;
        line += *line == '\n';
    }
    return is_found;
}

void oom_watch_init(struct oom_watch *watch)
{
    char text[FILE_BYTES_MAX];
    *watch = (struct oom_watch){0};
    if (!oom_file_read("/proc/self/cgroup", text) ||
        !oom_path(text, watch->path, sizeof(watch->path)))
        watch->path[0] = '\0';
    watch->seen_count = oom_kill_count(watch);
}

bool oom_watch_look(struct oom_watch *watch)
{
    uint64_t count = oom_kill_count(watch);
    bool has_grown = count > watch->seen_count;
    watch->seen_count = count;
    return has_grown;
}

/* The file as text, cut at FILE_BYTES_MAX; false: it cannot be read. */
static bool oom_file_read(const char *path, char text[FILE_BYTES_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return false;
    ssize_t count = read(fd, text, FILE_BYTES_MAX - 1);
    close(fd);
    text[count > 0 ? count : 0] = '\0';
    return count > 0;
}

/* Both versions have a line "oom_kill N". */
static uint64_t oom_kill_count(const struct oom_watch *watch)
{
    static const char name[] = "\noom_kill ";
    char text[FILE_BYTES_MAX];
    if (watch->path[0] == '\0' || !oom_file_read(watch->path, text))
        return 0;
    const char *found = strstr(text, name);
    return found ? strtoull(found + sizeof(name) - 1, NULL, 10) : 0;
}
