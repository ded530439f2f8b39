/* SPDX-License-Identifier: MIT */
/* killer.c - finds the children of the server in /proc, and kills one of them. */
#include "tests/soak/killer.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/soak/plan.h"

#define VICTIM_COUNT_MAX 64u

static size_t file_read(const char *path, char *text, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count = fd == -1 ? 0 : read(fd, text, room - 1);
    if (fd != -1)
        close(fd);
    text[count > 0 ? count : 0] = '\0';
    return count > 0 ? (size_t)count : 0;
}

/* Its command line names the pipeline; one that is dead or not exec'ed yet has none. */
static bool serves(pid_t pid, const char *pointer)
{
    char path[64], line[4096];
    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    size_t count = file_read(path, line, sizeof(line));
    return memmem(line, count, pointer, strlen(pointer) + 1) != NULL;
}

static void kill_one(struct killer *killer, uint64_t *random)
{
    char path[64], children[4096];
    pid_t victims[VICTIM_COUNT_MAX];
    uint32_t count = 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)killer->server_pid,
             (int)killer->server_pid);
    file_read(path, children, sizeof(children));
    for (char *at = children, *end; count < VICTIM_COUNT_MAX; at = end) {
        pid_t pid = (pid_t)strtol(at, &end, 10);
        if (end == at)
            break;
        if (serves(pid, killer->pointer))
            victims[count++] = pid;
    }
    if (count == 0)
        return;
    kill(victims[random_below(random, count)], SIGKILL);
    killer->kill_count++;
}

void killer_tick(struct killer *killer, uint64_t now_ms, uint64_t *random)
{
    for (; killer->kills_per_second > 0 && now_ms >= killer->next_ms;
         killer->next_ms += 1000 / killer->kills_per_second)
        kill_one(killer, random);
}
