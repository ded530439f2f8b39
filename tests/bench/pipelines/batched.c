/* SPDX-License-Identifier: MIT */
/*
 * batched.c - a call takes FIXED_US + n * ITEM_US microseconds (of the environment), n being the
 * runs in it, asleep: as a device would take it.
 */
#include <stdlib.h>
#include <time.h>

#include <millrace/pipeline.h>

static long microseconds(const char *name)
{
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : 0;
}

static int compute(struct mr_call *const *calls, size_t count)
{
    long us = microseconds("FIXED_US") + (long)count * microseconds("ITEM_US");
    nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL);
    for (size_t i = 0; i < count; i++)
        mr_value_integer(mr_return(calls[i]), mr_arg_integer(calls[i], 0));
    return 0;
}

MR_PIPELINE(batched)
{
    mr_variable number = mr_input(builder, MR_INTEGER);
    mr_output(builder, mr_pipe_batched(builder, compute, MR_INTEGER, number));
}
