/* SPDX-License-Identifier: MIT */
/*
 * replay.c - runs a fuzz target on kept inputs, so that any compiler can do it.
 *
 *     fuzz_NAME FILE|FOLDER...
 *
 * Each input, and the empty one first, ends at a page that cannot be read: a read past the end is a
 * crash in every build. The name of the input at hand is printed when the target dies of it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "millrace/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

static void replay_path(const char *path);
static void replay_folder(const char *path);
static void replay_file(const char *path, size_t bytes);
static void replay_bytes(int fd, size_t bytes);
static void give_up(const char *what, const char *path);
static void on_death(int number);

static char current[PATH_MAX] = "(the empty input)";
static unsigned long replayed;

int main(int argc, char **argv)
{
    static const int deadly[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM};

    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    for (size_t i = 0; i < ARRAY_COUNT(deadly); i++) {
        struct sigaction action = {.sa_handler = on_death, .sa_flags = (int)SA_RESETHAND};
        sigaction(deadly[i], &action, NULL);
    }

    replay_bytes(-1, 0);
    for (int i = 1; i < argc; i++)
        replay_path(argv[i]);
    printf("%lu inputs\n", replayed);
    return 0;
}

static void replay_path(const char *path)
{
    struct stat status;

    if (stat(path, &status) == -1)
        give_up("stat", path);
    if (S_ISDIR(status.st_mode))
        replay_folder(path);
    else
        replay_file(path, (size_t)status.st_size);
}

static void replay_folder(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);

    if (count == -1)
        give_up("scandir", path);
    for (int i = 0; i < count; i++) {
        char inner[PATH_MAX];

        snprintf(inner, sizeof(inner), "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            replay_path(inner);
        free(entries[i]);
    }
    free(entries);
}

static void replay_file(const char *path, size_t bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd == -1)
        give_up("open", path);
    snprintf(current, sizeof(current), "%s", path);
    replay_bytes(fd, bytes);
    close(fd);
}

static void replay_bytes(int fd, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t room = (bytes + page - 1) / page * page;
    uint8_t *map =
        mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (map == MAP_FAILED || mprotect(map + room, page, PROT_NONE) == -1)
        give_up("mmap", current);
    uint8_t *data = map + room - bytes;
    if (bytes && read(fd, data, bytes) != (ssize_t)bytes)
        give_up("read", current);
    alarm(10);
    LLVMFuzzerTestOneInput(data, bytes);
    alarm(0);
    munmap(map, room + page);
    replayed++;
}

static void give_up(const char *what, const char *path)
{
    fprintf(stderr, "replay: %s: %s: %s\n", path, what, strerror(errno));
    exit(2);
}

/* Only async-signal-safe calls; SA_RESETHAND lets the signal end the process as it would have. */
static void on_death(int number)
{
    static const char text[] = "replay: died of ";

    if (write(2, text, sizeof(text) - 1) == -1 || write(2, current, strlen(current)) == -1 ||
        write(2, "\n", 1) == -1)
        _exit(3);
    raise(number);
}
