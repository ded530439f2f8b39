/* SPDX-License-Identifier: MIT */
/* forkable.c - what /proc says of this process: threads, children, descriptors, mappings. */
#include "worker/template/forkable.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "millrace/protocol.h"

/* Who waits for a thread is told of its end before it is gone, which is looked at so often. */
#define THREADS_LOOK_MS 2
#define THREADS_LOOKS_MAX 100u

/* Files of the kernel that have no state of their own for each process. */
static const char *const harmless_devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random",
                                               "/dev/urandom"};

/* Parts of drivers that are loaded when somebody asks which devices there are, and which remember
 * the answer: nothing of it holds in a copy. */
static const char *const drivers[] = {
    "/libcuda.so",       "/libnvidia-opencl.so", "/libGLX_nvidia.so", "/libvulkan_",
    "/libze_intel_gpu.", "/libamdocl64.",        "/libpocl.so",
};

static int forkable_check_threads(char *reason);
static int forkable_check_children(char *reason);
static int forkable_check_descriptors(const int *own, size_t own_count, char *reason);
static int forkable_check_mappings(char *reason);
static void forkable_quiesce(void);

int forkable_check(const int *own, size_t own_count, char reason[static FORKABLE_REASON_BYTES])
{
    int rc = forkable_check_threads(reason);
    if (rc == 0)
        rc = forkable_check_children(reason);
    if (rc == 0)
        rc = forkable_check_descriptors(own, own_count, reason);
    return rc < 0 ? rc : forkable_check_mappings(reason);
}

__attribute__((format(printf, 2, 3))) static int forkable_refuse(char *reason, const char *format,
                                                                 ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, FORKABLE_REASON_BYTES, format, arguments);
    va_end(arguments);
    return -EBUSY;
}

/* ---- threads and children ------------------------------------------------------------------ */

/* A folder of folders has a link from each of them, beside its own two. */
unsigned forkable_thread_count(void)
{
    struct stat folder;
    if (stat("/proc/self/task", &folder) == -1 || folder.st_nlink < 3)
        return 0;
    return (unsigned)folder.st_nlink - 2;
}

unsigned forkable_threads_await(void)
{
    unsigned count = forkable_thread_count();
    for (unsigned i = 0; i < THREADS_LOOKS_MAX && count > 1; i++) {
        poll(NULL, 0, THREADS_LOOK_MS);
        count = forkable_thread_count();
    }
    return count;
}

static int forkable_check_threads(char *reason)
{
    if (forkable_thread_count() > 1)
        forkable_quiesce();
    unsigned count = forkable_threads_await();
    if (count == 1)
        return 0;
    return count == 0 ? forkable_refuse(reason, "/proc does not say how many threads it has")
                      : forkable_refuse(reason, "it has %u threads", count);
}

/* The pool of OpenBLAS, which numpy starts when it is imported, is one that ends before each fork
 * and begins again when it is next used. The copy that is made of ourselves for that ends at
 * once. */
static void forkable_quiesce(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    if (pid > 0)
        while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
            continue;
}

/* They would be children of nobody who waits for them, and be talked to by all copies. */
static int forkable_check_children(char *reason)
{
    char path[64], text[32];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1) /* a kernel without CONFIG_PROC_CHILDREN */
        return 0;
    ssize_t bytes = read(fd, text, sizeof text - 1);
    close(fd);
    return bytes > 0
               ? forkable_refuse(reason, "it has started a process: %ld", strtol(text, NULL, 10))
               : 0;
}

/* ---- descriptors --------------------------------------------------------------------------- */

static bool forkable_is_harmless(const char *path)
{
    for (size_t i = 0; i < ARRAY_COUNT(harmless_devices); i++)
        if (strcmp(path, harmless_devices[i]) == 0)
            return true;
    return false;
}

static bool forkable_is_own(int fd, const int *own, size_t own_count)
{
    for (size_t i = 0; i < own_count; i++)
        if (fd == own[i])
            return true;
    return fd < WORKER_FD_COUNT;
}

/* A file that is read each copy opens again (newborn.c), and of one that each write appends to a
 * descriptor may be shared; of one that is written at a place, or that has another end, it may
 * not. */
static bool forkable_may_share(int fd, const char *path)
{
    struct stat file;
    int flags = fcntl(fd, F_GETFL);
    if (flags == -1 || fstat(fd, &file) == -1)
        return true; /* it is gone */
    if (S_ISDIR(file.st_mode))
        return true;
    if (S_ISREG(file.st_mode))
        return (flags & O_ACCMODE) == O_RDONLY || flags & (O_APPEND | O_PATH);
    return S_ISCHR(file.st_mode) && forkable_is_harmless(path);
}

static int forkable_check_descriptor(int fd, char *reason)
{
    char link[32], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, path, sizeof path - 1);
    path[bytes > 0 ? bytes : 0] = '\0';
    if (forkable_may_share(fd, path))
        return 0;
    return forkable_refuse(reason, "it has opened %.150s", path);
}

static int forkable_check_descriptors(const int *own, size_t own_count, char *reason)
{
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return forkable_refuse(reason, "/proc does not say what it has opened");
    int rc = 0;
    for (const struct dirent *entry; rc == 0 && (entry = readdir(folder)) != NULL;) {
        int fd = entry->d_name[0] == '.' ? -1 : (int)strtol(entry->d_name, NULL, 10);
        if (fd >= 0 && fd != dirfd(folder) && !forkable_is_own(fd, own, own_count))
            rc = forkable_check_descriptor(fd, reason);
    }
    closedir(folder);
    return rc;
}

/* ---- mappings ------------------------------------------------------------------------------ */

/* Memory that all copies write is no memory of their own; that of the segment is not copied. */
static int forkable_check_mapping(const char *rights, const char *path, char *reason)
{
    if (rights[1] == 'w' && rights[3] == 's' && strncmp(path, "/memfd:millrace", 15) != 0)
        return forkable_refuse(reason, "it has memory that its copies would write together: %.120s",
                               path);
    for (size_t i = 0; i < ARRAY_COUNT(drivers); i++)
        if (strstr(path, drivers[i]))
            return forkable_refuse(reason, "it has asked a driver for devices: %.150s", path);
    return 0;
}

static int forkable_check_mappings(char *reason)
{
    char *line = NULL;
    size_t room = 0;
    FILE *file = fopen("/proc/self/maps", "re");
    if (!file)
        return forkable_refuse(reason, "/proc does not say what it has mapped");
    int rc = 0;
    while (rc == 0 && getline(&line, &room, file) > 0) {
        /* ADDRESS RIGHTS OFFSET DEVICE INODE   PATH */
        char rights[5] = "", path[PATH_MAX] = "";
        if (sscanf(line, "%*s %4s %*s %*s %*s %4095[^\n]", rights, path) >= 1)
            rc = forkable_check_mapping(rights, path, reason);
    }
    free(line);
    fclose(file);
    return rc;
}
