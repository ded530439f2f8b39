/* SPDX-License-Identifier: MIT */
/*
 * main.c - where millrace begins.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/cli/commands.h"
#include "dispatcher/devices/scanner.h"
#include "dispatcher/fetcher/fetcher.h"
#include "dispatcher/reader/reader.h"
#include "dispatcher/server/signals.h"
#include "dispatcher/workers/spawner.h"

/* A server that is told to stop ends with 0, however early that comes: the loader calls this first
 * of all, when libraries are there and have not been initialised. The other commands are ended by
 * signals like any program. */
__attribute__((no_sanitize("address", "thread", "undefined"))) static void
main_first(int argc, char **argv, char **variables)
{
    (void)variables;
    if (argc > 1 && strcmp(argv[1], "serve") == 0)
        signals_hold();
}

__attribute__((section(".preinit_array"), used)) static void (*const first)(int, char **,
                                                                            char **) = main_first;

/* Where stdin, stdout or stderr is closed, whatever is opened next would get its number, and what
 * is printed would go there. So each is a file that is open the other way round: to use it is the
 * same error as without it. */
static void main_fill_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) == -1)
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv)
{
    main_fill_descriptors();
    /* The server's own children, which nobody starts by hand. */
    if (argc > 0 && strcmp(argv[0], SPAWNER_NAME) == 0)
        return spawner_main(argc, argv);
    if (argc > 0 && strcmp(argv[0], READER_NAME) == 0)
        return reader_main(argc, argv);
    if (argc > 0 && strcmp(argv[0], FETCHER_NAME) == 0)
        return fetcher_main(argc, argv);
    if (argc > 0 && strcmp(argv[0], SCANNER_NAME) == 0)
        return scanner_main(argc, argv);
    return commands_run(argc, argv);
}
