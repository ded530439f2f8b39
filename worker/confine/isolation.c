/* SPDX-License-Identifier: MIT */
/* isolation.c - the rules of a worker's Landlock domain, and what every worker needs of the
 * files. */
#include "worker/confine/isolation.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What is newer than the headers at hand. */
#define ACCESS_FS_TRUNCATE (UINT64_C(1) << 14)
#define ACCESS_NET_BIND (UINT64_C(1) << 0)
#define ACCESS_NET_CONNECT (UINT64_C(1) << 1)
#define SCOPE_ABSTRACT_SOCKET (UINT64_C(1) << 0)
#define SCOPE_SIGNAL (UINT64_C(1) << 1)
#define RULE_NET_PORT 2

/* The version with which each came. */
enum { VERSION_ANY = 2, VERSION_TRUNCATE = 3, VERSION_NETWORK = 4, VERSION_SCOPE = 6 };

#define READING                                                                                    \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
/* Without MAKE_CHAR and MAKE_BLOCK, which nobody is allowed who is restricted. */
#define WRITING                                                                                    \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                               \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |  \
     LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM |   \
     ACCESS_FS_TRUNCATE)
#define MAKING_DEVICES (LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK)
/* What there is to allow of something that is no folder. */
#define OF_A_FILE                                                                                  \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |   \
     ACCESS_FS_TRUNCATE)

/* The kernel takes as much of it as it knows, if what it does not know is zero. */
struct ruleset_attributes {
    uint64_t files;
    uint64_t network;
    uint64_t scope;
};

struct port_attributes {
    uint64_t access;
    uint64_t port;
};

/* Programs and libraries, their settings, the kernel's own; what is not there is left out. */
static const char *const usual_reads[] = {
    "/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc", "/proc", "/sys", "/run/systemd/resolve",
};

/* Devices without a state, and memory with a name. */
static const char *const usual_devices[] = {
    "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/shm",
};

/* What drivers of graphics cards open. A worker that is told which of it is its own, gets that. */
static const char *const usual_cards[] = {"/dev/dri", "/dev/kfd", "/dev/nvidia*"};

static bool isolation_add_path(const char **paths, size_t *count, const char *path);
static bool isolation_add_port(struct isolation *out, const char *text);
static int isolation_allow_files(int ruleset, const struct isolation *isolation, uint64_t handled);
static int isolation_allow_ports(int ruleset, const struct isolation *isolation);
static long isolation_version_needed(const struct isolation *isolation);
static struct ruleset_attributes isolation_attributes(const struct isolation *isolation,
                                                      long version);
static long isolation_landlock_version(void);

bool isolation_parse(struct isolation *out, const char *key, const char *text)
{
    if (strcmp(key, "read") == 0)
        return isolation_add_path(out->reads, &out->read_count, text);
    if (strcmp(key, "write") == 0)
        return isolation_add_path(out->writes, &out->write_count, text);
    if (strcmp(key, "inputs") == 0)
        return (out->inputs = text) && *text != '\0';
    if (strcmp(key, "connect") == 0)
        return isolation_add_port(out, text);
    if (strcmp(key, "restrict") != 0)
        return false;
    bool *restricts = NULL;
    if (strcmp(text, "reading") == 0)
        restricts = &out->restricts_reading;
    else if (strcmp(text, "writing") == 0)
        restricts = &out->restricts_writing;
    else if (strcmp(text, "connecting") == 0)
        restricts = &out->restricts_connecting;
    return restricts && (*restricts = true);
}

bool isolation_keeps_signals(void)
{
    return isolation_landlock_version() >= VERSION_SCOPE;
}

int isolation_enter(const struct isolation *isolation, char *reason, size_t reason_bytes)
{
    long version = isolation_landlock_version();
    if (version < isolation_version_needed(isolation)) {
        snprintf(reason, reason_bytes, "Landlock: this kernel has version %ld, needed is %ld",
                 version == -1 ? 0 : version, isolation_version_needed(isolation));
        return -EOPNOTSUPP;
    }
    struct ruleset_attributes attributes = isolation_attributes(isolation, version);
    int rc = 0;
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0);
    if (ruleset == -1)
        rc = -errno;
    if (rc == 0)
        rc = isolation_allow_files(ruleset, isolation, attributes.files);
    if (rc == 0)
        rc = isolation_allow_ports(ruleset, isolation);
    if (rc == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) == -1)
        rc = -errno;
    if (ruleset != -1)
        close(ruleset);
    if (rc < 0)
        snprintf(reason, reason_bytes, "Landlock: %s", strerror(-rc));
    return rc;
}

static bool isolation_add_path(const char **paths, size_t *count, const char *path)
{
    if (*count == CONFINE_PATH_COUNT_MAX || *path == '\0')
        return false;
    paths[(*count)++] = path;
    return true;
}

static bool isolation_add_port(struct isolation *out, const char *text)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || number == 0 || number > UINT16_MAX ||
        out->port_count == CONFINE_PORT_COUNT_MAX)
        return false;
    out->ports[out->port_count++] = (uint16_t)number;
    return true;
}

/* Allows what is at `path` and below. What cannot be reached, the worker could not use either. */
static int isolation_allow_path(int ruleset, const char *path, uint64_t access)
{
    struct stat file;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd == -1)
        return errno == ENOENT || errno == EACCES || errno == ENOTDIR || errno == ELOOP ? 0
                                                                                        : -errno;
    int rc = fstat(fd, &file) == -1 ? -errno : 0;
    struct landlock_path_beneath_attr rule = {
        .allowed_access = S_ISDIR(file.st_mode) ? access : access & OF_A_FILE, .parent_fd = fd};
    if (rc == 0 && rule.allowed_access != 0 &&
        syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == -1)
        rc = -errno;
    close(fd);
    return rc;
}

static int isolation_allow_paths(int ruleset, const char *const *paths, size_t count,
                                 uint64_t access)
{
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = isolation_allow_path(ruleset, paths[i], access);
    return rc;
}

static int isolation_allow_nodes(int ruleset, const char *nodes, uint64_t access)
{
    char path[PATH_MAX];
    int rc = 0;
    while (*nodes != '\0' && rc == 0) {
        size_t bytes = strcspn(nodes, ":");
        if (bytes >= sizeof path)
            return -ENAMETOOLONG;
        snprintf(path, sizeof path, "%.*s", (int)bytes, nodes);
        rc = isolation_allow_path(ruleset, path, access);
        nodes += bytes + (nodes[bytes] == ':');
    }
    return rc;
}

static int isolation_allow_cards(int ruleset, uint64_t access)
{
    glob_t found = {0};
    int rc = 0;
    for (size_t i = 0; i < ARRAY_COUNT(usual_cards) && rc == 0; i++)
        if (glob(usual_cards[i], i > 0 ? GLOB_APPEND : 0, NULL, &found) == GLOB_NOSPACE)
            rc = -ENOMEM;
    for (size_t i = 0; i < found.gl_pathc && rc == 0; i++)
        rc = isolation_allow_path(ruleset, found.gl_pathv[i], access);
    globfree(&found);
    return rc;
}

static int isolation_allow_devices(int ruleset, const struct isolation *isolation, uint64_t access)
{
    int rc = isolation_allow_paths(ruleset, usual_devices, ARRAY_COUNT(usual_devices), access);
    if (rc < 0)
        return rc;
    return isolation->device_nodes ? isolation_allow_nodes(ruleset, isolation->device_nodes, access)
                                   : isolation_allow_cards(ruleset, access);
}

/* Folders of the kernel's own files. */
static bool isolation_is_kernels(const char *name)
{
    return strcmp(name, "proc") == 0 || strcmp(name, "sys") == 0;
}

/* Whoever may write all files may not write those of other processes in /proc, which belong to the
 * same user: the score by which the kernel chooses whom to kill for memory is one of them. Nor
 * those of control groups in /sys, which do where the server was given its group: one word there
 * stops or ends all that are in it. Rules can only allow, so everything below / but these is
 * allowed, and of /proc what is our own. Where / cannot be read, all stays allowed. */
static int isolation_allow_writes(int ruleset, bool guards_proc)
{
    char path[1 + NAME_MAX + 1];
    struct dirent *entry;
    DIR *root = guards_proc ? opendir("/") : NULL;
    if (!root)
        return isolation_allow_path(ruleset, "/", LANDLOCK_ACCESS_FS_WRITE_FILE);
    int rc = isolation_allow_path(ruleset, "/proc/self", LANDLOCK_ACCESS_FS_WRITE_FILE);
    while (rc == 0 && (entry = readdir(root)) != NULL) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || isolation_is_kernels(name))
            continue;
        snprintf(path, sizeof path, "/%s", name);
        rc = isolation_allow_path(ruleset, path, LANDLOCK_ACCESS_FS_WRITE_FILE);
    }
    closedir(root);
    return rc;
}

static int isolation_allow_files(int ruleset, const struct isolation *isolation, uint64_t handled)
{
    /* Moving files between folders is denied in every domain that does not speak of it: so it is
     * restricted, and allowed below /. Files that are not to be moved are kept from it by what
     * making and removing them takes. */
    int rc = isolation_allow_path(ruleset, "/", LANDLOCK_ACCESS_FS_REFER);
    uint64_t reading = isolation->restricts_reading ? handled & READING : 0;
    uint64_t writing = isolation->restricts_writing ? handled & WRITING : 0;
    if (rc == 0 && !isolation->restricts_writing)
        rc = isolation_allow_writes(ruleset, isolation->guards_proc);
    if (rc == 0 && reading != 0) {
        rc = isolation_allow_paths(ruleset, usual_reads, ARRAY_COUNT(usual_reads), reading);
        if (rc == 0)
            rc = isolation_allow_paths(ruleset, isolation->reads, isolation->read_count, reading);
        if (rc == 0 && isolation->inputs)
            rc = isolation_allow_path(ruleset, isolation->inputs,
                                      reading & LANDLOCK_ACCESS_FS_READ_FILE);
    }
    if (rc == 0 && (reading | writing) != 0) {
        rc = isolation_allow_devices(ruleset, isolation, reading | writing);
        if (rc == 0)
            rc = isolation_allow_paths(ruleset, isolation->writes, isolation->write_count,
                                       reading | writing);
        if (rc == 0 && isolation->scratch)
            rc = isolation_allow_path(ruleset, isolation->scratch, reading | writing);
    }
    return rc;
}

static int isolation_allow_ports(int ruleset, const struct isolation *isolation)
{
    for (size_t i = 0; i < isolation->port_count && isolation->restricts_connecting; i++) {
        struct port_attributes rule = {ACCESS_NET_CONNECT, isolation->ports[i]};
        if (syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0) == -1)
            return -errno;
    }
    return 0;
}

static long isolation_version_needed(const struct isolation *isolation)
{
    if (isolation->restricts_connecting)
        return VERSION_NETWORK;
    /* Before, files could be emptied that may not be written. */
    return isolation->restricts_writing ? VERSION_TRUNCATE : VERSION_ANY;
}

static struct ruleset_attributes isolation_attributes(const struct isolation *isolation,
                                                      long version)
{
    struct ruleset_attributes attributes = {.files = LANDLOCK_ACCESS_FS_REFER |
                                                     LANDLOCK_ACCESS_FS_WRITE_FILE};
    if (isolation->restricts_reading)
        attributes.files |= READING;
    if (isolation->restricts_writing)
        attributes.files |= WRITING | MAKING_DEVICES;
    if (isolation->restricts_connecting)
        attributes.network = ACCESS_NET_BIND | ACCESS_NET_CONNECT;
    if (version >= VERSION_SCOPE)
        attributes.scope = SCOPE_SIGNAL | SCOPE_ABSTRACT_SOCKET;
    return attributes;
}

/* -1: there is none. */
static long isolation_landlock_version(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}
