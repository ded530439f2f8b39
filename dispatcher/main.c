/* SPDX-License-Identifier: MIT */
/*
 * main.c - where millrace begins.
 */
#include <string.h>

#include "dispatcher/cli/commands.h"
#include "dispatcher/workers/spawner.h"

int main(int argc, char **argv)
{
    /* The server's own child, which nobody starts by hand. */
    if (argc > 0 && strcmp(argv[0], SPAWNER_NAME) == 0)
        return spawner_main(argc, argv);
    return commands_run(argc, argv);
}
