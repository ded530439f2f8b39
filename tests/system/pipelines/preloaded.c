/* SPDX-License-Identifier: MIT */
/* preloaded.c - says by which process its hooks were run; and a template that tells lies. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <millrace/pipeline.h>
#include <millrace/protocol.h>

static pid_t preloaded_by, started_by;

static int preload(struct mr_call *call)
{
    (void)call;
    preloaded_by = getpid();
    mr_log(MR_LOG_INFO, "preloaded");
    return 0;
}

static int start(struct mr_call *call)
{
    (void)call;
    started_by = getpid();
    return preloaded_by != 0 ? 0 : -1;
}

static int fail(struct mr_call *call)
{
    return mr_fail(call, MR_ERROR_PIPELINE, "no such weights");
}

static int facts(struct mr_call *call)
{
    const char *what = mr_arg_string(call, 0);
    struct mr_value *value = mr_return(call);
    if (strcmp(what, "crash") == 0)
        abort();
    mr_value_dictionary(value, 4);
    mr_value_string(value, "pid", 3);
    mr_value_integer(value, getpid());
    mr_value_string(value, "preloaded", 9);
    mr_value_integer(value, preloaded_by);
    mr_value_string(value, "started", 7);
    mr_value_integer(value, started_by);
    mr_value_string(value, "random", 6);
    return mr_value_integer(value, random());
}

/* Tells the dispatcher of a copy before it may be asked for one. */
static int tell_lies(struct mr_call *call)
{
    struct {
        struct message header;
        struct message_forked forked;
    } packet = {.header = {.magic = MESSAGE_MAGIC,
                           .version = PROTOCOL_VERSION,
                           .kind = MESSAGE_FORKED,
                           .bytes = sizeof packet.forked},
                .forked = {.place = 0, .generation = 1, .pid = getppid()}};
    (void)call;
    return send(WORKER_FD_SOCKET, &packet, sizeof packet, 0) == -1 ? -1 : 0;
}

static void define(struct mr_builder *builder)
{
    mr_variable what = mr_input(builder, MR_STRING, .title = "what");
    mr_output(builder, mr_pipe(builder, facts, MR_DICTIONARY, what));
}

MR_PIPELINE(honest)
{
    mr_on_startup(builder, start);
    mr_on_preload(builder, preload);
    define(builder);
}

MR_PIPELINE(failing)
{
    mr_on_preload(builder, fail);
    define(builder);
}

MR_PIPELINE(lying)
{
    mr_on_preload(builder, tell_lies);
    define(builder);
}
