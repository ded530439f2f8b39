/* SPDX-License-Identifier: MIT */
/* user.c - user, group, supplementary groups; afterwards everything is looked at again. */
#include "worker/confine/user.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static bool user_parse_id(const char *text, char end, uint32_t *out, const char **rest);
static bool user_parse_groups(struct user *out, const char *text);
static void user_give_output(const struct user *user);
static const char *user_find_remainder(const struct user *user);

bool user_parse(struct user *out, const char *key, const char *text)
{
    const char *rest;
    if (strcmp(key, "uid") == 0)
        return out->has_uid = user_parse_id(text, '\0', &out->uid, &rest) && out->uid != 0;
    if (strcmp(key, "gid") == 0)
        return out->has_gid = user_parse_id(text, '\0', &out->gid, &rest);
    if (strcmp(key, "groups") == 0)
        return user_parse_groups(out, text);
    if (strcmp(key, "home") != 0)
        return false;
    out->home = text;
    return true;
}

struct user user_own(uid_t uid)
{
    return (struct user){.has_uid = true,
                         .has_gid = true,
                         .uid = uid,
                         .gid = uid,
                         .groups = {uid},
                         .group_count = 1,
                         .home = "/"};
}

/* By a process that is the user's itself, which the kernel then leaves out of "everybody". */
void user_clear(uid_t uid)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (setresuid(uid, uid, uid) == 0)
            kill(-1, SIGKILL);
        _exit(0);
    }
    while (pid > 0 && waitpid(pid, NULL, 0) == -1 && errno == EINTR)
        continue;
}

int user_become(const struct user *user, char *reason, size_t reason_bytes)
{
    if (!user->has_uid)
        return 0;
    user_give_output(user);
    const char *step = NULL;
    if (setgroups(user->group_count, user->groups) == -1)
        step = "setgroups";
    else if (setresgid(user->gid, user->gid, user->gid) == -1)
        step = "setresgid";
    else if (setresuid(user->uid, user->uid, user->uid) == -1)
        step = "setresuid";
    /* Who has changed his user may hold secrets of the one before, so the kernel gives /proc/self
     * to root and writes no core file. We hold none: nothing but ourselves was loaded yet. */
    else if (prctl(PR_SET_DUMPABLE, 1) == -1)
        step = "PR_SET_DUMPABLE";
    else if (user->home && *user->home != '\0' && setenv("HOME", user->home, 1) == -1)
        step = "setenv";
    if (step) {
        int rc = -errno;
        snprintf(reason, reason_bytes, "%s to user %u, group %u: %s", step, user->uid, user->gid,
                 strerror(-rc));
        return rc;
    }
    const char *remainder = user_find_remainder(user);
    if (!remainder)
        return 0;
    snprintf(reason, reason_bytes, "it became user %u, and kept %s", user->uid, remainder);
    return -EPERM;
}

/* An id that ends at `end`, or at the end of the text. The last number means "none" to the
 * kernel. */
static bool user_parse_id(const char *text, char end, uint32_t *out, const char **rest)
{
    char *stop;
    errno = 0;
    unsigned long long number = strtoull(text, &stop, 10);
    bool is_sound = *text >= '0' && *text <= '9' && errno == 0 && (*stop == '\0' || *stop == end) &&
                    number < UINT32_MAX;
    if (is_sound) {
        *out = (uint32_t)number;
        *rest = *stop == '\0' ? stop : stop + 1;
    }
    return is_sound;
}

static bool user_parse_groups(struct user *out, const char *text)
{
    size_t count = 0;
    while (*text != '\0' && count < CONFINE_GROUP_COUNT_MAX)
        if (!user_parse_id(text, ',', &out->groups[count++], &text))
            return false;
    out->group_count = count;
    return count > 0 && *text == '\0';
}

/* What opens /dev/stdout or /dev/stderr opens these again, and then asks whose they are. */
static void user_give_output(const struct user *user)
{
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
        struct stat file;
        if (fstat(fd, &file) == 0 && S_ISFIFO(file.st_mode) &&
            fchown(fd, user->uid, user->gid) == -1)
            continue; /* then it cannot open them, as before */
    }
}

static bool user_has_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, data) == -1)
        return true;
    for (size_t i = 0; i < ARRAY_COUNT(data); i++)
        if ((data[i].effective | data[i].permitted | data[i].inheritable) != 0)
            return true;
    return false;
}

/* NULL, or what is left of the user before. */
static const char *user_find_remainder(const struct user *user)
{
    uid_t uids[3];
    gid_t gids[3];
    gid_t groups[CONFINE_GROUP_COUNT_MAX];
    if (getresuid(&uids[0], &uids[1], &uids[2]) == -1 ||
        getresgid(&gids[0], &gids[1], &gids[2]) == -1)
        return "its identity";
    for (int i = 0; i < 3; i++) {
        if (uids[i] != user->uid)
            return "its user";
        if (gids[i] != user->gid)
            return "its group";
    }
    if (getgroups(CONFINE_GROUP_COUNT_MAX, groups) != (int)user->group_count)
        return "its supplementary groups";
    if (setresuid((uid_t)-1, 0, (uid_t)-1) != -1)
        return "a way back to root";
    return user_has_capabilities() ? "its capabilities" : NULL;
}
