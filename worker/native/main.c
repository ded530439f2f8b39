/* SPDX-License-Identifier: MIT */
/*
 * main.c - millrace-worker: executes one pipeline for one dispatcher.
 *
 *   options -> confine -> process -> attach -> load -> HELLO -> start up -> READY -> engine -> exit
 *
 * With --preload it is a template instead: it runs the hooks that are said, says READY, and each of
 * its copies goes on from there, with an attachment of its own.
 *
 * With -- PROGRAM it becomes that one once it is confined: the interpreter of a Python pipeline.
 *
 * Started by millrace serve alone. What goes wrong before HELLO is said in a FAILED message when
 * there is a socket to say it on, else on stderr; the exit code tells the kind (protocol.h).
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "millrace/protocol.h"
#include "worker/confine/confine.h"
#include "worker/confine/strict.h"
#include "worker/engine/context.h"
#include "worker/engine/engine.h"
#include "worker/engine/fatal_signal.h"
#include "worker/engine/hello.h"
#include "worker/engine/leave.h"
#include "worker/engine/log_capture.h"
#include "worker/engine/message.h"
#include "worker/engine/process.h"
#include "worker/native/batch_loop.h"
#include "worker/native/device.h"
#include "worker/native/host_engine.h"
#include "worker/native/host_so.h"
#include "worker/native/options.h"
#include "worker/step/step_loop.h"
#include "worker/template/forkable.h"
#include "worker/template/template.h"

/* A command line that only a person could have written. */
#define MAIN_EXIT_USAGE 64

/* Pipeline code may use these until the last instruction of the process. */
static struct context context;
static struct host_so host;
static struct host_engine host_engine;
static struct step_loop loop;
static struct batch_loop batches;

static void main_attach(void)
{
    char reason[256];
    if (attachment_init(&context.attachment, reason, sizeof reason) != 0)
        leave(WORKER_EXIT_ATTACH, "%s", reason);
    error_clear(&context.error);
    reply_init(&context.reply, &context.attachment, &context.error);
    fatal_signal_watch(&context.attachment.segment.header->crash);
    reply_compare_builds(&context.reply);
}

/* Sends FAILED and leaves; where the dispatcher is gone too, that is said. */
static _Noreturn void main_fail(enum worker_exit code)
{
    log_capture_flush();
    start_report_end(&context.report, context.attachment.socket);
    int rc = message_send_failed(context.attachment.socket, &context.error);
    if (rc != 0)
        leave(code, "%s (not sent: %s)", context.error.text, strerror(-rc));
    _Exit((int)code);
}

static void main_say_hello(void)
{
    start_report_flush(&context.report, context.attachment.socket);
    int rc = hello_send(context.attachment.socket, &host.graph, host.name,
                        context.attachment.segment.options.slot_count);
    if (rc == -EMSGSIZE) {
        error_set(&context.error, ERROR_STARTUP,
                  "titles, descriptions and choices of pipeline %s are too long together",
                  host.name);
        main_fail(WORKER_EXIT_LOAD);
    }
    if (rc != 0)
        leave(WORKER_EXIT_ORPHAN, "HELLO was not sent: %s", strerror(-rc));
}

/* The hooks that this process has to run, of a template's mode or of those that are left. */
static void main_run_hooks(bool preloads, bool starts_up)
{
    if ((preloads && host_so_preload(&host) != 0) || (starts_up && host_so_start_up(&host) != 0))
        main_fail(WORKER_EXIT_STARTUP);
}

static void main_say_ready(void)
{
    start_report_end(&context.report, context.attachment.socket);
    int rc = message_send(context.attachment.socket, MESSAGE_READY, NULL, 0);
    if (rc != 0)
        leave(WORKER_EXIT_ORPHAN, "READY was not sent: %s", strerror(-rc));
}

/* Returns in each of its copies, as a worker that has said HELLO and has a part of its start
 * behind it. */
static void main_be_template(const struct options *options, char *confine)
{
    char reason[FORKABLE_REASON_BYTES];
    struct newborn newborn;
    main_run_hooks(true, options->preload == PRELOAD_STARTUP);
    malloc_trim(0);
    if (forkable_check(&context.attachment.epoll, 1, reason) < 0) {
        error_set(&context.error, ERROR_STARTUP, "%s", reason);
        main_fail(WORKER_EXIT_UNFORKABLE);
    }
    log_capture_flush();
    fflush(NULL); /* what waits in a buffer would be written by each copy */
    main_say_ready();
    template_serve(&(struct template_options){.socket = context.attachment.socket,
                                              .parent = options->parent,
                                              .confine = confine},
                   &newborn);
    newborn_settle(&newborn);
    device_read();
    close(context.attachment.epoll);
    reply_finish(&context.reply);
    context = (struct context){.current = NULL};
    main_attach();
    log_capture_go_on();
    main_say_hello();
}

/* The hooks of a pipeline that is an engine may have its waker, hence in this order. */
static void main_serve_engine(enum preload preload)
{
    host_engine_init(&host_engine, &host.graph, &context.error);
    if (step_loop_init(&loop, &context, &host_engine.host) != 0)
        leave(WORKER_EXIT_ATTACH, "out of memory");
    main_run_hooks(preload == PRELOAD_NONE, preload != PRELOAD_STARTUP);
    step_loop_say_capacity(&loop);
    main_say_ready();
    step_loop_run(&loop);
    step_loop_finish(&loop);
}

/* Of the first worker: the others would say the same. */
static void main_doubt_batches(const struct options *options)
{
    const char *index = getenv("MILLRACE_WORKER_INDEX");
    const char *doubt =
        batch_limits_doubt(&options->batch, host.graph.batched_count > 0, options->is_batch_asked,
                           context.attachment.segment.options.slot_count);
    if (doubt && index && strcmp(index, "0") == 0)
        reply_log(&context.reply, MR_LOG_WARNING, doubt, strlen(doubt));
}

static void main_serve_batches(const struct batch_limits *limits)
{
    if (batch_loop_init(&batches, &context, &host.graph, limits) != 0)
        leave(WORKER_EXIT_ATTACH, "out of memory");
    main_say_ready();
    batch_loop_run(&batches);
    batch_loop_finish(&batches);
}

static void main_serve(const struct options *options)
{
    enum preload preload = options->preload;
    main_doubt_batches(options);
    if (host.graph.has_engine) {
        main_serve_engine(preload);
        return;
    }
    main_run_hooks(preload == PRELOAD_NONE, preload != PRELOAD_STARTUP);
    if (host.graph.batched_count > 0) {
        main_serve_batches(&options->batch);
        return;
    }
    struct engine engine;
    if (engine_init(&engine, &context, &host.host) != 0)
        leave(WORKER_EXIT_ATTACH, "out of memory");
    main_say_ready();
    engine_run(&engine);
    engine_finish(&engine);
}

int main(int argc, char **argv)
{
    struct options options;
    static char *confine; /* as it was said: to be read cuts it; for copies, as long as they live */
    int rc = options_parse(&options, argc, argv);
    if (rc != 0)
        return rc > 0 ? WORKER_EXIT_OK : MAIN_EXIT_USAGE;
    if (options.preload != PRELOAD_NONE && options.confine && !(confine = strdup(options.confine)))
        leave(WORKER_EXIT_ATTACH, "out of memory");
    confine_enter(&(struct confine_options){.parent = options.parent,
                                            .cgroup = options.cgroup,
                                            .own_user = options.own_user,
                                            .user_is_shared = options.user_is_shared,
                                            .scratch = options.scratch,
                                            .device_nodes = options.device_nodes,
                                            .text = options.confine,
                                            .is_template = options.preload != PRELOAD_NONE,
                                            .binding = options.binding});
    if (options.program)
        confine_exec(options.program);
    process_prepare(options.index);
    if (options.preload != PRELOAD_NONE) {
        template_name();
        unsetenv("MILLRACE_WORKER_INDEX"); /* it would be that of one worker in all */
    }
    device_read();
    if (options.is_strict)
        strict_enter();
    main_attach();
    if (log_capture_start(&context.reply) != 0)
        leave(WORKER_EXIT_ATTACH, "out of memory");
    if (host_so_load(&host, &context, options.source, options.name) != 0)
        main_fail(WORKER_EXIT_LOAD);
    main_say_hello();
    if (options.preload != PRELOAD_NONE)
        main_be_template(&options, confine);
    if (!options.is_check)
        main_serve(&options);
    host_so_finish(&host);
    log_capture_flush();
    reply_finish(&context.reply);
    return WORKER_EXIT_OK;
}
