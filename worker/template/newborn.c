/* SPDX-License-Identifier: MIT */
/* newborn.c - descriptors, the word to begin, and confinement of a copy. */
#include "worker/template/newborn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "shm/descriptors.h"
#include "worker/engine/leave.h"
#include "worker/engine/process.h"

/* Of one worker: those that tell of its device. */
#define NEWBORN_VARIABLE_COUNT_MAX 64u

static void newborn_place_descriptors(struct fork_request *request);
static void newborn_wait(void);
static void newborn_open_again(void);
static const char *newborn_texts_read(struct fork_request *request,
                                      const char *texts[MESSAGE_FORK_TEXT_COUNT],
                                      struct newborn *out);

void newborn_become(const struct template_options *options, struct fork_request *request,
                    struct newborn *out)
{
    const char *texts[MESSAGE_FORK_TEXT_COUNT];
    newborn_place_descriptors(request);
    newborn_wait();
    if (setpgid(0, 0) == -1)
        leave(WORKER_EXIT_ATTACH, "setpgid: %s", strerror(errno));
    newborn_open_again();
    const char *mistake = newborn_texts_read(request, texts, out);
    struct confine_options confined = {.parent = options->parent, .text = options->confine};
    const char *cores = texts[0], *memory_nodes = texts[1];
    if (!mistake && *cores != '\0' && binding_parse(&confined.binding.cores, cores) < 0)
        mistake = "cores";
    if (!mistake && *memory_nodes != '\0' &&
        binding_parse(&confined.binding.memory_nodes, memory_nodes) < 0)
        mistake = "memory nodes";
    if (mistake)
        leave(WORKER_EXIT_PROTOCOL, "what this worker is to be cannot be understood: %s", mistake);
    if (request->fork.flags & FORK_HAS_DEVICE_NODES)
        confined.device_nodes = texts[2];
    confine_copy(&confined);
}

/* Those of the template had the same numbers; what came is above them. */
static void newborn_place_descriptors(struct fork_request *request)
{
    for (size_t i = 0; i < START_FD_COUNT; i++) {
        int number = start_fd_number((enum start_fd)i);
        if (dup3(request->fds[i], number, number > STDERR_FILENO ? O_CLOEXEC : 0) == -1)
            leave(WORKER_EXIT_ATTACH, "descriptor %d: %s", number, strerror(errno));
        descriptor_close(&request->fds[i]);
    }
}

/* Until the dispatcher knows of this process, which it may not do for long: it is killed with the
 * template till then. */
static void newborn_wait(void)
{
    struct message go;
    ssize_t bytes;
    do {
        bytes = recv(WORKER_FD_SOCKET, &go, sizeof go, 0);
    } while (bytes == -1 && errno == EINTR);
    if (bytes == 0)
        leave(WORKER_EXIT_ORPHAN, "the dispatcher vanished");
    if (bytes != sizeof go || go.kind != MESSAGE_GO)
        leave(WORKER_EXIT_PROTOCOL, "it was not told to go");
}

/* A file of /proc says what it says of the process that opened it. */
static bool newborn_is_shared(int fd, int flags)
{
    struct stat file;
    struct statfs system;
    return fstat(fd, &file) == 0 && S_ISREG(file.st_mode) && flags != -1 &&
           (flags & (O_ACCMODE | O_PATH)) == O_RDONLY && fstatfs(fd, &system) == 0 &&
           system.f_type != PROC_SUPER_MAGIC;
}

/* Where a file is read is a place that all who have the descriptor from one another move together:
 * from here on this copy has one of its own. */
static void newborn_open_file_again(int fd, const char *path)
{
    int flags = fcntl(fd, F_GETFL);
    if (!newborn_is_shared(fd, flags))
        return;
    int own = open(path, (flags & (O_DIRECT | O_NOATIME | O_NONBLOCK)) | O_RDONLY | O_CLOEXEC);
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (own == -1 || at == -1 || lseek(own, at, SEEK_SET) == -1 ||
        dup3(own, fd, fcntl(fd, F_GETFD) & FD_CLOEXEC ? O_CLOEXEC : 0) == -1)
        leave(WORKER_EXIT_ATTACH, "a file that is read cannot be opened again: %s",
              strerror(errno));
    close(own);
}

static void newborn_open_again(void)
{
    char path[32];
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        leave(WORKER_EXIT_ATTACH, "/proc/self/fd: %s", strerror(errno));
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        int fd = entry->d_name[0] == '.' ? -1 : (int)strtol(entry->d_name, NULL, 10);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (fd >= WORKER_FD_COUNT)
            newborn_open_file_again(fd, path);
    }
    closedir(folder);
}

/* The texts, and a list of the variables. NULL, or what is wrong with them. */
static const char *newborn_texts_read(struct fork_request *request,
                                      const char *texts[MESSAGE_FORK_TEXT_COUNT],
                                      struct newborn *out)
{
    static const char *variables[NEWBORN_VARIABLE_COUNT_MAX];
    uint32_t count = 0;
    *out = (struct newborn){.index = request->fork.index,
                            .variables = variables,
                            .variable_count = request->fork.variable_count};
    if (out->variable_count > NEWBORN_VARIABLE_COUNT_MAX)
        return "too many variables";
    for (const char *at = request->text; at < request->text + request->text_bytes;
         at += strlen(at) + 1) {
        if (count >= MESSAGE_FORK_TEXT_COUNT + out->variable_count)
            return "too many texts";
        if (count < MESSAGE_FORK_TEXT_COUNT)
            texts[count] = at;
        else
            variables[count - MESSAGE_FORK_TEXT_COUNT] = at;
        count++;
    }
    return count < MESSAGE_FORK_TEXT_COUNT + out->variable_count ? "too few texts" : NULL;
}

/* ---- what is its own ----------------------------------------------------------------------- */

/* What the template drew is drawn by all of its copies, unless they begin elsewhere. */
static void newborn_seed(void)
{
    unsigned seeds[2];
    if (getrandom(seeds, sizeof seeds, 0) != (ssize_t)sizeof seeds)
        return;
    srandom(seeds[0]); /* and rand(3), which is the same */
    srand48((long)seeds[1]);
}

void newborn_settle(const struct newborn *newborn)
{
    process_show_index(newborn->index);
    newborn_seed();
    for (uint32_t i = 0; i < newborn->variable_count; i++) {
        const char *equals = strchr(newborn->variables[i], '=');
        char *name = equals
                         ? strndup(newborn->variables[i], (size_t)(equals - newborn->variables[i]))
                         : NULL;
        if (!name || setenv(name, equals + 1, 1) == -1)
            leave(WORKER_EXIT_ATTACH, "setenv: %s", strerror(errno));
        free(name);
    }
}
