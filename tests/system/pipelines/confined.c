/* SPDX-License-Identifier: MIT */
/*
 * confined.c - pipelines that try one thing each, and tell how far they came.
 *
 *   call    a system call with four numbers: "ok" or the errno's name
 *   file    opens a path with these flags: likewise
 *   limit   the soft and the hard limit of this number
 *   deathsig  the signal that it gets when its parent dies
 *   crash   reads address 0
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <millrace/pipeline.h>

static int answer(struct mr_call *call, long result)
{
    return mr_value_stringf(mr_return(call), "%s", result == -1 ? strerrorname_np(errno) : "ok");
}

static int call_number(struct mr_call *call)
{
    long numbers[5];
    for (size_t i = 0; i < 5; i++)
        numbers[i] = (long)mr_arg_integer(call, i);
    return answer(call, syscall(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]));
}

static int open_file(struct mr_call *call)
{
    int fd = open(mr_arg_string(call, 0), (int)mr_arg_integer(call, 1), 0600);
    int rc = answer(call, fd);
    if (fd != -1)
        close(fd);
    return rc;
}

static int read_limit(struct mr_call *call)
{
    struct rlimit limit;
    if (getrlimit((int)mr_arg_integer(call, 0), &limit) == -1)
        return answer(call, -1);
    return mr_value_stringf(mr_return(call), "%lld %lld", (long long)limit.rlim_cur,
                            (long long)limit.rlim_max);
}

static int read_death_signal(struct mr_call *call)
{
    int number = -1;
    prctl(PR_GET_PDEATHSIG, &number);
    return mr_value_stringf(mr_return(call), "%d", number);
}

static int crash(struct mr_call *call)
{
    int *nowhere = NULL;
    __asm__("" : "+r"(nowhere)); /* the compiler does not see that it is 0 */
    return mr_value_integer(mr_return(call), *nowhere);
}

MR_PIPELINE(call)
{
    mr_variable numbers[5];
    for (int i = 0; i < 5; i++)
        numbers[i] = mr_input(builder, MR_INTEGER);
    mr_output(builder, mr_pipe(builder, call_number, MR_STRING, numbers[0], numbers[1], numbers[2],
                               numbers[3], numbers[4]));
}

MR_PIPELINE(file)
{
    mr_variable path = mr_input(builder, MR_STRING);
    mr_variable flags = mr_input(builder, MR_INTEGER);
    mr_output(builder, mr_pipe(builder, open_file, MR_STRING, path, flags));
}

MR_PIPELINE(limit)
{
    mr_variable number = mr_input(builder, MR_INTEGER);
    mr_output(builder, mr_pipe(builder, read_limit, MR_STRING, number));
}

MR_PIPELINE(deathsig)
{
    mr_variable nothing = mr_input(builder, MR_INTEGER);
    mr_output(builder, mr_pipe(builder, read_death_signal, MR_STRING, nothing));
}

MR_PIPELINE(crash)
{
    mr_output(builder, mr_pipe(builder, crash, MR_INTEGER, mr_input(builder, MR_INTEGER)));
}
