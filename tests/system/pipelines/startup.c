/* SPDX-License-Identifier: MIT */
/*
 * startup.c - pipelines that start late or never, for system tests.
 *
 *   patient    is ready once the file "go" lies in TMPDIR
 *   broken     its startup hook fails, and says why
 *   crashing   its startup hook ends by SIGABRT
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <millrace/pipeline.h>

static int answer(struct mr_call *call)
{
    return mr_value_stringf(mr_return(call), "started");
}

static int wait_for_go(struct mr_call *call)
{
    char path[4096];
    (void)call;
    snprintf(path, sizeof(path), "%s/go", getenv("TMPDIR"));
    while (access(path, F_OK) == -1)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    return 0;
}

MR_PIPELINE(patient)
{
    mr_on_startup(builder, wait_for_go);
    mr_output(builder, mr_pipe(builder, answer, MR_STRING));
}

static int complain(struct mr_call *call)
{
    return mr_fail(call, MR_ERROR_STARTUP, "no model in %s", "/nowhere");
}

MR_PIPELINE(broken)
{
    mr_on_startup(builder, complain);
    mr_output(builder, mr_pipe(builder, answer, MR_STRING));
}

static int give_up(struct mr_call *call)
{
    (void)call;
    abort();
}

MR_PIPELINE(crashing)
{
    mr_on_startup(builder, give_up);
    mr_output(builder, mr_pipe(builder, answer, MR_STRING));
}
