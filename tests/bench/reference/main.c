/* SPDX-License-Identifier: MIT */
/*
 * main.c - the servers that millrace is compared with; each does as little as its design allows.
 *
 *     reference gathered              one process, lines gathered into large sends
 *     reference single                one process, a send for each line
 *     reference pipe                  a worker process behind a pipe, lines gathered
 *     reference pipe-batched          the same, and the worker holds values back to gather them,
 * too reference canned LINES BYTES    always the same answer, straight from the page cache
 *
 * Prints the port it listens on, on 127.0.0.1, and serves until it is killed.
 */
#include <stdlib.h>
#include <string.h>

#include "millrace/check.h"
#include "tests/bench/reference/canned.h"
#include "tests/bench/reference/sources.h"

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    if (argc == 2 && strcmp(mode, "gathered") == 0)
        server_run(source_gathered());
    if (argc == 2 && strcmp(mode, "single") == 0)
        server_run(source_single());
    if (argc == 2 && strcmp(mode, "pipe") == 0)
        server_run(source_pipe(false));
    if (argc == 2 && strcmp(mode, "pipe-batched") == 0)
        server_run(source_pipe(true));
    if (argc == 4 && strcmp(mode, "canned") == 0)
        canned_run(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
    fprintf(stderr,
            "usage: reference gathered | single | pipe | pipe-batched | canned LINES BYTES\n");
    return 2;
}
