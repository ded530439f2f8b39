/* SPDX-License-Identifier: MIT */
/* cgroup.c - a control group (version 2) for each worker whose memory is limited. */
#include "dispatcher/workers/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX 65536u /* of mountinfo; the groups' own files are a line or two */
#define LINE_BYTES_MAX 1024u

#define GROUP_NAME "millrace-"
#define GROUP_NAME_BYTES 64u

static int cgroup_value_write(const char *folder, const char *name, const char *value);
static bool cgroup_has_word(const char *folder, const char *name, const char *word);
static void cgroup_stale_remove(const char *folder);
static int cgroup_server_move(const char *folder);
static int cgroup_path_join(char path[PATH_MAX], const char *folder, const char *name);
static int cgroup_limits_set(const struct cgroup *group);

/* One line for people, and the result. */
__attribute__((format(printf, 3, 4))) static int refuse(int rc, char reason[CGROUP_REASON_BYTES],
                                                        const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, CGROUP_REASON_BYTES, format, arguments);
    va_end(arguments);
    return rc;
}

/* ---- where it is --------------------------------------------------------------------------- */

/* The next word of a line, and its length; NULL at the line's end. */
static const char *cgroup_word_next(const char *at, size_t *bytes)
{
    at += *bytes;
    at += strspn(at, " ");
    *bytes = strcspn(at, " \n");
    return *bytes > 0 ? at : NULL;
}

/* Words of a line of mountinfo, which is "ID PARENT DEVICE ROOT POINT OPTIONS [FIELD...] -
 * TYPE". */
struct mount {
    const char *root, *point;
    size_t root_bytes, point_bytes;
};

/* True: it is a mount of version 2. */
static bool cgroup_mount_parse(const char *line, struct mount *out)
{
    size_t bytes = 0;
    const char *word = line;
    bool is_past_fields = false;
    *out = (struct mount){"", "", 0, 0};
    for (int i = 0; (word = cgroup_word_next(word, &bytes)) != NULL; i++) {
        if (is_past_fields)
            return bytes == strlen("cgroup2") && strncmp(word, "cgroup2", bytes) == 0;
        if (i == 3) {
            out->root = word;
            out->root_bytes = bytes;
        } else if (i == 4) {
            out->point = word;
            out->point_bytes = bytes;
        }
        is_past_fields = i > 4 && bytes == 1 && *word == '-';
    }
    return false;
}

static const char *cgroup_line_after(const char *line)
{
    line += strcspn(line, "\n");
    return line + (*line == '\n');
}

int cgroup_folder(const char *mounts, const char *groups, char folder[PATH_MAX])
{
    while (*groups != '\0' && strncmp(groups, "0::", 3) != 0)
        groups = cgroup_line_after(groups);
    if (*groups == '\0')
        return -ENOENT;
    const char *group = groups + 3;
    size_t group_bytes = strcspn(group, "\n");
    for (; *mounts != '\0'; mounts = cgroup_line_after(mounts)) {
        struct mount mount;
        if (!cgroup_mount_parse(mounts, &mount))
            continue;
        /* What is mounted may be a group above ours, as in a container. */
        size_t above = mount.root_bytes == 1 ? 0 : mount.root_bytes;
        if (group_bytes < above || strncmp(group, mount.root, above) != 0 ||
            (group_bytes > above && group[above] != '/'))
            continue;
        bool is_top = group_bytes == above || strncmp(group + above, "/\n", 2) == 0;
        int bytes = snprintf(folder, PATH_MAX, "%.*s%.*s", (int)mount.point_bytes, mount.point,
                             is_top ? 0 : (int)(group_bytes - above), group + above);
        return bytes < PATH_MAX ? 0 : -ENOENT;
    }
    return -ENOENT;
}

/* The file as text, cut at `room`; false: it cannot be read. */
static bool cgroup_file_read(const char *path, char *text, size_t room)
{
    size_t filled = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return false;
    ssize_t count;
    while (filled < room - 1 && (count = read(fd, text + filled, room - 1 - filled)) > 0)
        filled += (size_t)count;
    close(fd);
    text[filled] = '\0';
    return filled > 0;
}

int cgroup_find(char folder[PATH_MAX], char reason[CGROUP_REASON_BYTES])
{
    static char mounts[FILE_BYTES_MAX];
    static char groups[FILE_BYTES_MAX];
    if (!cgroup_file_read("/proc/self/mountinfo", mounts, sizeof(mounts)) ||
        !cgroup_file_read("/proc/self/cgroup", groups, sizeof(groups)) ||
        cgroup_folder(mounts, groups, folder) != 0)
        return refuse(-ENOENT, reason, "control groups of version 2 are not mounted");
    return 0;
}

/* ---- what is in it ------------------------------------------------------------------------- */

int cgroup_prepare(const char *folder, char reason[CGROUP_REASON_BYTES])
{
    static const char advice[] =
        "Delegate=memory in its unit, or systemd-run --scope -p Delegate=yes";
    if (!cgroup_has_word(folder, "cgroup.controllers", "memory"))
        return refuse(-ENOTSUP, reason, "the control group %.512s cannot limit memory (%s)", folder,
                      advice);
    cgroup_stale_remove(folder);
    if (cgroup_has_word(folder, "cgroup.subtree_control", "memory"))
        return 0;
    int rc = cgroup_server_move(folder);
    if (rc == 0)
        rc = cgroup_value_write(folder, "cgroup.subtree_control", "+memory");
    if (rc == -EBUSY)
        return refuse(rc, reason, "the control group %.512s has other processes, too (%s)", folder,
                      advice);
    if (rc < 0)
        return refuse(rc, reason, "the control group %.512s is not ours to divide: %s (%s)", folder,
                      strerror(-rc), advice);
    return 0;
}

int cgroup_create(struct cgroup **out, const char *folder, const char *name, uint64_t bytes_max,
                  char reason[CGROUP_REASON_BYTES])
{
    struct cgroup *group = calloc(1, sizeof(*group));
    if (!group)
        return refuse(-ENOMEM, reason, "no memory");
    group->bytes_max = bytes_max;
    int rc = cgroup_path_join(group->path, folder, name);
    if (rc == 0)
        rc = cgroup_path_join(group->kills.path, group->path, "memory.events");
    if (rc == 0 && mkdir(group->path, 0755) == -1 && errno != EEXIST)
        rc = -errno;
    if (rc == 0)
        rc = cgroup_limits_set(group);
    if (rc < 0) {
        refuse(rc, reason, "the control group %.512s: %s", group->path, strerror(-rc));
        cgroup_destroy(group);
        return rc;
    }
    (void)oom_watch_look(&group->kills); /* of a server before us */
    *out = group;
    return 0;
}

void cgroup_destroy(struct cgroup *group)
{
    if (group)
        (void)rmdir(group->path); /* what is not empty, the next start removes */
    free(group);
}

void cgroup_kill(const struct cgroup *group)
{
    (void)cgroup_value_write(group->path, "cgroup.kill", "1"); /* from Linux 5.14 on */
}

bool cgroup_has_killed(struct cgroup *group)
{
    return oom_watch_look(&group->kills);
}

static int cgroup_path_join(char path[PATH_MAX], const char *folder, const char *name)
{
    int bytes = snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return bytes < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int cgroup_value_write(const char *folder, const char *name, const char *value)
{
    char path[PATH_MAX];
    int rc = cgroup_path_join(path, folder, name);
    if (rc < 0)
        return rc;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd == -1)
        return -errno;
    size_t bytes = strlen(value);
    ssize_t count = write(fd, value, bytes);
    rc = count == -1 ? -errno : (size_t)count == bytes ? 0 : -EIO;
    close(fd);
    return rc;
}

/* Whether the file is a list that has this word. */
static bool cgroup_has_word(const char *folder, const char *name, const char *word)
{
    char path[PATH_MAX];
    char text[LINE_BYTES_MAX];
    if (cgroup_path_join(path, folder, name) < 0 || !cgroup_file_read(path, text, sizeof(text)))
        return false;
    size_t bytes = 0;
    for (const char *at = text; (at = cgroup_word_next(at, &bytes)) != NULL;)
        if (bytes == strlen(word) && strncmp(at, word, bytes) == 0)
            return true;
    return false;
}

/* Groups of servers that are no more; one that is not empty stays. */
static void cgroup_stale_remove(const char *folder)
{
    char path[PATH_MAX];
    DIR *entries = opendir(folder);
    const struct dirent *entry;
    while (entries && (entry = readdir(entries)) != NULL) {
        if (strncmp(entry->d_name, GROUP_NAME, strlen(GROUP_NAME)) != 0)
            continue;
        long pid = strtol(entry->d_name + strlen(GROUP_NAME), NULL, 10);
        if (pid > 0 && kill((pid_t)pid, 0) == -1 && errno == ESRCH &&
            cgroup_path_join(path, folder, entry->d_name) == 0)
            (void)rmdir(path);
    }
    if (entries)
        closedir(entries);
}

/* Moves this process into a group of its own below the folder. */
static int cgroup_server_move(const char *folder)
{
    char own[PATH_MAX];
    char name[GROUP_NAME_BYTES];
    snprintf(name, sizeof(name), GROUP_NAME "%d", (int)getpid());
    int rc = cgroup_path_join(own, folder, name);
    if (rc == 0 && mkdir(own, 0755) == -1 && errno != EEXIST)
        rc = -errno;
    return rc < 0 ? rc : cgroup_value_write(own, "cgroup.procs", "0");
}

static int cgroup_limits_set(const struct cgroup *group)
{
    char number[32];
    snprintf(number, sizeof(number), "%llu", (unsigned long long)group->bytes_max);
    int rc = cgroup_value_write(group->path, "memory.max", number);
    if (rc == 0)
        rc = cgroup_value_write(group->path, "memory.oom.group", "1");
    if (rc < 0)
        return rc;
    rc = cgroup_value_write(group->path, "memory.swap.max", "0");
    return rc == -ENOENT ? 0 : rc; /* a kernel without swap */
}
