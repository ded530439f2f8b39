/* SPDX-License-Identifier: MIT */
/* own_users.c - a range of users that nobody has, and what such a user can read. */
#include "dispatcher/config/own_users.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLICE_COUNT 32768u
#define TRIES_MAX 64u

/* Where ranges are taken from, in this order. The first is given to nobody by any convention: it
 * lies between what containers of systemd get and what its portable images get. The second, for
 * namespaces of 65,536 users, is what systemd gives to services with DynamicUser=. Both are listed
 * in systemd's UIDS-GIDS page. */
static const struct own_users homes[] = {
    {1879048192, 2147352576 - 1879048192},
    {61184, 65520 - 61184},
};

static bool users_is_free(const struct own_users *range);
static _Noreturn void try_as(uid_t uid, const char *const *paths, size_t count);

bool own_users_may_change(void)
{
    static const int needed[] = {CAP_SETUID, CAP_SETGID, CAP_KILL};
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (geteuid() != 0 || syscall(SYS_capget, &header, data) == -1)
        return false;
    for (size_t i = 0; i < ARRAY_COUNT(needed); i++)
        if ((data[CAP_TO_INDEX(needed[i])].effective & CAP_TO_MASK(needed[i])) == 0)
            return false;
    return true;
}

bool own_users_have(const struct own_users *users, uid_t uid)
{
    return uid >= users->first && uid - users->first < users->count;
}

/* ---- processes and namespaces -------------------------------------------------------------- */

bool process_lives(char state, unsigned thread_count)
{
    return (state != 'Z' && state != 'X') || thread_count > 1;
}

bool process_user(pid_t pid, uid_t *out)
{
    char path[40], line[160];
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    bool is_found = false;
    char state = 'R';
    unsigned thread_count = 1;
    /* Not the owner of the file, which is root for processes that keep secrets. */
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "State: %c", &state) != 1 &&
            sscanf(line, "Threads: %u", &thread_count) != 1)
            is_found |= sscanf(line, "Uid: %*u %u", out) == 1;
    if (file)
        fclose(file);
    return is_found && process_lives(state, thread_count);
}

int own_users_choose(struct own_users *out, uint32_t count, char reason[OWN_USERS_REASON_BYTES])
{
    mr_assert(count > 0);
    if (!own_users_may_change()) {
        snprintf(reason, OWN_USERS_REASON_BYTES,
                 "only root can do that, with CAP_SETUID, CAP_SETGID and CAP_KILL");
        return -EINVAL;
    }
    for (size_t i = 0; i < ARRAY_COUNT(homes) && count <= SLICE_COUNT; i++) {
        uint32_t slice = homes[i].count < SLICE_COUNT ? homes[i].count : SLICE_COUNT;
        for (uint32_t k = 0; k < TRIES_MAX && count <= slice; k++) {
            uint32_t number;
            if (getrandom(&number, sizeof(number), 0) != sizeof(number))
                break;
            struct own_users range = {homes[i].first + number % (homes[i].count / slice) * slice,
                                      count};
            if (users_is_free(&range)) {
                *out = range;
                return 0;
            }
        }
    }
    snprintf(reason, OWN_USERS_REASON_BYTES,
             "no %u numbers of users are free: this namespace of users has %u to %u not", count,
             homes[0].first, homes[0].first + homes[0].count - 1);
    return -EINVAL;
}

static bool users_is_in_use(const struct own_users *range)
{
    bool is_found = false;
    DIR *folder = opendir("/proc");
    struct dirent *entry;
    while (folder && !is_found && (entry = readdir(folder)) != NULL) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        uid_t uid;
        is_found = pid > 0 && process_user(pid, &uid) && own_users_have(range, uid);
    }
    if (folder)
        closedir(folder);
    return is_found;
}

/* Whether one line of the namespace's map has all of the range. */
static bool users_is_mapped(const char *path, const struct own_users *range)
{
    FILE *file = fopen(path, "re");
    unsigned long long first, outside, count;
    bool is_found = false;
    while (file && !is_found && fscanf(file, "%llu %llu %llu", &first, &outside, &count) == 3)
        is_found = range->first >= first && range->first + range->count <= first + count;
    if (file)
        fclose(file);
    return is_found;
}

static bool users_is_free(const struct own_users *range)
{
    return users_is_mapped("/proc/self/uid_map", range) &&
           users_is_mapped("/proc/self/gid_map", range) && !users_is_in_use(range);
}

/* ---- what such a user can read ------------------------------------------------------------- */

int own_users_can_read(uid_t uid, const char *const *paths, size_t count,
                       char reason[OWN_USERS_REASON_BYTES])
{
    mr_assert(count < UINT8_MAX);
    int status;
    pid_t pid = fork();
    if (pid == 0)
        try_as(uid, paths, count);
    if (pid == -1 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
        WEXITSTATUS(status) == UINT8_MAX) {
        snprintf(reason, OWN_USERS_REASON_BYTES, "no process can be user %u", uid);
        return -EPERM;
    }
    if (WEXITSTATUS(status) == 0)
        return 0;
    snprintf(reason, OWN_USERS_REASON_BYTES, "%.200s", paths[WEXITSTATUS(status) - 1]);
    return -EACCES;
}

/* In a process of its own: which of the paths it cannot read, counted from 1; 0 for none. */
static _Noreturn void try_as(uid_t uid, const char *const *paths, size_t count)
{
    gid_t gid = uid;
    if (setgroups(1, &gid) == -1 || setresgid(gid, gid, gid) == -1 ||
        setresuid(uid, uid, uid) == -1)
        _exit(UINT8_MAX);
    for (size_t i = 0; i < count; i++) {
        struct stat file;
        bool is_folder = stat(paths[i], &file) == 0 && S_ISDIR(file.st_mode);
        if (access(paths[i], is_folder ? R_OK | X_OK : R_OK) == -1)
            _exit((int)i + 1);
    }
    _exit(0);
}
