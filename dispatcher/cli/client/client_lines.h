/* SPDX-License-Identifier: MIT */
/*
 * client_lines.h - the answer to a run, piece by piece: lines are printed as soon as they are
 * whole.
 */
#ifndef DISPATCHER_CLIENT_LINES_H
#define DISPATCHER_CLIENT_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "dispatcher/cli/client/client_files.h"
#include "dispatcher/reactor/identity.h"
#include "dispatcher/text/text.h"

/* Text of one line; what a chunk can need as JSON several times over. */
#define LINE_BYTES_MAX (512u * 1024 * 1024)

/* Why no more lines are taken. */
enum client_lines_end {
    LINES_OPEN = 0,
    LINES_UNREADABLE, /* a line is not what a run answers; said on stderr */
    LINES_NO_OUTPUT,  /* stdout takes no more; said on stderr */
};

/* Zero but for the first five is a fresh one. Owns its text. */
struct client_lines {
    const char *command; /* in whose name what goes wrong is said */
    FILE *out;
    bool is_terminal;                 /* which is not shown what could steer it */
    bool is_json;                     /* lines as they come, else the values in them */
    const struct client_files *files; /* who saves the files among the values; NULL: nobody */
    struct text line;
    uint64_t output_count;     /* lines with outputs */
    char run_id[RUN_ID_BYTES]; /* of the first line that has one; "": none had */
    bool is_failed;            /* an error came, and was said on stderr */
    /* What was saved of this line and of the one before: the server's path and ours, a NUL behind
     * each. A plain output is on every line of a stream. */
    struct text saved, saved_before;
    enum client_lines_end end;
};

/* Takes the next bytes of an answer with this HTTP status. False: no more of them, see `end`. */
bool client_lines_take(struct client_lines *lines, long status, const char *bytes, size_t count);

/* The answer is at its end. When it is whole, what it says without a last newline counts, too. */
void client_lines_finish(struct client_lines *lines, long status, bool is_whole);

#endif
