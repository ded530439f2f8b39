/* SPDX-License-Identifier: MIT */
/*
 * farewell.c - a pipeline that says nothing in its runs, and much when its process ends.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <millrace/pipeline.h>

#define LINE_COUNT 150
#define LINE_BYTES 300

static int silent(struct mr_call *call)
{
    return mr_value_integer(mr_return(call), mr_arg_integer(call, 0));
}

/* More than one read takes, less than a pipe holds: it is all there when the process is gone. */
__attribute__((destructor)) static void say_farewell(void)
{
    static char text[LINE_COUNT * LINE_BYTES + 1];
    for (int i = 0; i < LINE_COUNT; i++)
        snprintf(text + i * LINE_BYTES, LINE_BYTES + 1, "farewell %03d %0*d\n", i, LINE_BYTES - 14,
                 0);
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL); /* for the test to stop the server */
    if (write(STDOUT_FILENO, text, strlen(text)) == -1)
        abort();
}

MR_PIPELINE(farewell)
{
    mr_variable number = mr_input(builder, MR_INTEGER);
    mr_output(builder, mr_pipe(builder, silent, MR_INTEGER, number));
}
