/* SPDX-License-Identifier: MIT */
/*
 * edition.c - one pipeline in editions that are told apart, for tests of new code and of the log.
 *
 *   edition    COUNT items, MS apart, each the EDITION it was compiled with; with -DBROKEN it does
 *              not start, with -DHANGING never; with -DROOM="PATH" one process at a time
 *   press      prints the bytes that its text has in hexadecimal digits, and a newline
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fcntl.h>
#include <sys/file.h>

#include <millrace/pipeline.h>

#ifndef EDITION
#define EDITION 1
#endif

struct edition {
    int64_t left;
    int64_t pause_ms;
    bool has_paused;
};

static int edition_next(void *state, struct mr_value *out)
{
    struct edition *edition = state;
    if (edition->left == 0)
        return MR_END;
    edition->has_paused = !edition->has_paused && edition->pause_ms > 0;
    if (edition->has_paused)
        return mr_later_ms(out, (uint64_t)edition->pause_ms);
    edition->left--;
    return mr_value_integer(out, EDITION);
}

static int publish(struct mr_call *call)
{
    struct edition *edition = calloc(1, sizeof(*edition));
    if (!edition)
        return mr_fail(call, MR_ERROR_OOM, "out of memory");
    edition->left = mr_arg_integer(call, 0);
    edition->pause_ms = mr_arg_integer(call, 1);
    const struct mr_iterator iterator = {edition, edition_next, free};
    return mr_return_stream(call, &iterator);
}

static int begin(struct mr_call *call)
{
    (void)call;
#ifdef HANGING
    for (;;)
        pause();
#endif
#ifdef ROOM
    /* A device that one process can have, until it ends. */
    int room = open(ROOM, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (flock(room, LOCK_EX | LOCK_NB) == -1)
        return mr_fail(call, MR_ERROR_STARTUP, "there is no room");
#endif
#ifdef BROKEN
    return mr_fail(call, MR_ERROR_STARTUP, "edition %d has no press", EDITION);
#else
    return 0;
#endif
}

MR_PIPELINE(edition)
{
    mr_on_startup(builder, begin);
    mr_variable count = mr_input(builder, MR_INTEGER, .title = "count");
    mr_variable pause_ms = mr_input(builder, MR_INTEGER, .title = "ms");
    mr_output(builder, mr_pipe(builder, publish, MR_STREAM, count, pause_ms));
}

static int print(struct mr_call *call)
{
    const struct mr_object *text = mr_arg(call, 0);
    for (size_t i = 0; i + 1 < text->u.string.count; i += 2) {
        const char digits[] = {text->u.string.bytes[i], text->u.string.bytes[i + 1], '\0'};
        putchar((int)strtoul(digits, NULL, 16));
    }
    putchar('\n');
    return mr_value_integer(mr_return(call), EDITION);
}

MR_PIPELINE(press)
{
    mr_variable text = mr_input(builder, MR_STRING, .title = "text");
    mr_output(builder, mr_pipe(builder, print, MR_INTEGER, text));
}
