/* SPDX-License-Identifier: MIT */
/*
 * api.c - glue between the table of pipeline.h and the modules that do the work.
 */
#include "worker/native/api.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shm/clock.h"
#include "shm/slot.h"
#include "worker/engine/graph.h"
#include "worker/engine/leave.h"
#include "worker/engine/log_capture.h"
#include "worker/engine/value.h"
#include "worker/engine/waker.h"
#include "worker/native/batch_call.h"
#include "worker/native/device.h"
#include "worker/native/graph_run.h"
#include "worker/native/host_engine.h"
#include "worker/step/step_loop.h"
#include "worker/step/step_run.h"

/* mr_cancelled(), mr_run_id() and mr_log() take no handle, so that helpers of a pipeline can call
 * them from anywhere: this is what they look at. */
static struct context *api_context;

/* enum mr_error and enum error_type are the same words; one is public, one travels. */
_Static_assert((int)MR_ERROR_INPUT == (int)ERROR_INPUT, "error words");
_Static_assert((int)MR_ERROR_PIPELINE == (int)ERROR_PIPELINE, "error words");
_Static_assert((int)MR_ERROR_UNKNOWN == (int)ERROR_UNKNOWN, "error words");
_Static_assert((int)MR_ERROR_UNKNOWN + 1 == (int)ERROR_TYPE_COUNT, "error words");

static size_t api_arg_count(struct mr_call *call)
{
    return call->argument_count;
}

static const struct mr_object *api_arg(struct mr_call *call, size_t index)
{
    if (index >= call->argument_count) {
        fprintf(stderr, "mr_arg: index %zu, and there are %zu arguments\n", index,
                call->argument_count);
        abort();
    }
    return call->arguments[index];
}

static void *api_call_state(struct mr_call *call)
{
    return call->graph->state;
}

/* Of a call among several its run is at hand from now on. */
static struct mr_value *api_call_return(struct mr_call *call)
{
    if (call->job != api_context->current)
        context_enter(api_context, call->job);
    return &call->value;
}

__attribute__((format(printf, 3, 0))) static int
api_call_vfail(struct mr_call *call, enum mr_error error, const char *format, va_list arguments)
{
    error_vset(call->error, (enum error_type)error, format, arguments);
    return -ECANCELED;
}

static void *api_call_alloc(struct mr_call *call, size_t bytes)
{
    void *memory = call->job ? job_alloc(call->job, bytes) : NULL;
    if (!memory && !call->job)
        error_set(call->error, ERROR_PIPELINE, "mr_alloc() in a startup hook, which has no run");
    else if (!memory)
        error_set(call->error, ERROR_OOM,
                  "out of memory: mr_alloc() of %zu bytes, a run has %u in all", bytes,
                  RUN_ALLOC_BYTES_MAX);
    return memory;
}

static struct mr_waker *api_waker_get(struct mr_call *call)
{
    struct job *job = call->job;
    if (!job) {
        error_set(call->error, ERROR_PIPELINE,
                  "mr_waker_get() in a startup hook, which has no run");
        return NULL;
    }
    int rc = job->waker ? 0
                        : waker_create(&job->waker, &api_context->woken, &api_context->attachment,
                                       job->reply.slot, job->reply.generation);
    if (rc != 0) {
        error_set(call->error, rc == -ENOMEM ? ERROR_OOM : ERROR_PIPELINE,
                  "no waker can be had: %s", strerror(-rc));
        return NULL;
    }
    return waker_hold(job->waker);
}

/* A file that was opened, or (a negative errno) was not. */
static int api_give_file(struct mr_value *value, int fd, const char *what, const char *name)
{
    struct job *job = api_context->current;
    if (value->status == 0 && (fd < 0 || !job)) {
        error_set(value->error, ERROR_PIPELINE, "the file %s cannot be sent: %s", what,
                  fd < 0 ? strerror(-fd) : "there is no run");
        value->status = fd < 0 ? fd : -EINVAL;
    }
    if (value->status == 0)
        return out_files_give(&job->files, value, fd, name, NULL);
    if (fd >= 0)
        close(fd);
    return value->status;
}

/* Whoever writes a pipe or a device for a file does not make the worker wait. */
static int api_value_file(struct mr_value *value, const char *path, const char *name)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return api_give_file(value, fd == -1 ? -errno : fd, path, name ? name : path);
}

static int api_value_file_fd(struct mr_value *value, int fd, const char *name)
{
    char what[32];
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    snprintf(what, sizeof what, "of descriptor %d", fd);
    return api_give_file(value, own == -1 ? -errno : own, name ? name : what, name);
}

static int api_later(struct mr_value *value, uint64_t due_ns, int fd, uint32_t events)
{
    if (value->status != 0)
        return value->status;
    value->is_later = true;
    value->due_ns = due_ns;
    value->later_fd = fd;
    value->later_events = events;
    return MR_LATER;
}

static int api_value_later(struct mr_value *value)
{
    return api_later(value, CLOCK_NEVER, -1, 0);
}

static int api_value_later_at_ns(struct mr_value *value, uint64_t monotonic_ns)
{
    return api_later(value, monotonic_ns < CLOCK_NEVER ? monotonic_ns : CLOCK_NEVER - 1, -1, 0);
}

static uint64_t api_in_ms(uint64_t ms)
{
    uint64_t now_ns = clock_now_ns();
    uint64_t ms_max = (CLOCK_NEVER - now_ns) / CLOCK_NS_PER_MS - 1;
    return now_ns + (ms < ms_max ? ms : ms_max) * CLOCK_NS_PER_MS;
}

static int api_value_later_ms(struct mr_value *value, uint64_t ms)
{
    return api_later(value, api_in_ms(ms), -1, 0);
}

/* What open(2) said when it failed is no descriptor. Others the engine looks at. */
static int api_value_later_poll(struct mr_value *value, int fd, short events, uint64_t ms)
{
    if (fd < 0 && value->status == 0) {
        error_set(value->error, ERROR_PIPELINE, "descriptor %d cannot be waited for: %s", fd,
                  strerror(EBADF));
        value->status = -EBADF;
    }
    return api_later(value, api_in_ms(ms), fd, (uint32_t)(uint16_t)events);
}

__attribute__((format(printf, 3, 0))) static int
api_value_vfail(struct mr_value *value, enum mr_error error, const char *format, va_list arguments)
{
    error_vset(value->error, (enum error_type)error, format, arguments);
    if (value->status == 0)
        value->status = -ECANCELED;
    return value->status;
}

static bool api_cancelled(void)
{
    if (batch_call_is_made())
        return batch_call_is_cancelled();
    const struct job *job = api_context->current;
    if (!job)
        return false;
    /* Who asks is alive. */
    slot_progress(job->slot, clock_coarse_ns());
    return slot_cancel_reason(job->slot, job->reply.generation) != 0;
}

static const char *api_run_id(void)
{
    return api_context->current ? api_context->current->id : "";
}

__attribute__((format(printf, 2, 0))) static void api_vlog(enum mr_log_level level,
                                                           const char *format, va_list arguments)
{
    char text[LOG_TEXT_BYTES_MAX + 2];
    int error = errno;
    int wanted = vsnprintf(text, sizeof text - 1, format, arguments);
    if (wanted >= 0) {
        size_t bytes = error_cut(text, (size_t)wanted, LOG_TEXT_BYTES_MAX);
        if (log_capture_is_here()) {
            bool is_known = level >= MR_LOG_DEBUG && level <= MR_LOG_ERROR;
            reply_log(&api_context->reply, is_known ? level : MR_LOG_INFO, text, bytes);
        } else {
            text[bytes++] = '\n';
            ssize_t written = write(STDERR_FILENO, text, bytes);
            (void)written; /* a log line that cannot be written has nowhere else to go */
        }
    }
    errno = error;
}

/* Children and other threads must not touch the socket, and neither has a start of its own. */
static void api_startup_progress(double fraction, const char *text)
{
    if (log_capture_is_here())
        start_report_say(&api_context->report, api_context->attachment.socket, fraction, text);
}

static uint64_t api_step_budget(void)
{
    return attachment_step_budget(&api_context->attachment);
}

static const struct mr_api table = {
    .version = MR_API_VERSION,
    .bytes = sizeof(struct mr_api),

    .builder_input = graph_input,
    .builder_pipe = graph_pipe,
    .builder_output = graph_output,
    .builder_on_startup = graph_on_startup,
    .builder_state = graph_state,

    .arg_count = api_arg_count,
    .arg = api_arg,
    .call_state = api_call_state,
    .call_return = api_call_return,
    .return_stream = call_return_stream,
    .call_vfail = api_call_vfail,

    .value_none = value_none,
    .value_boolean = value_boolean,
    .value_integer = value_integer,
    .value_natural = value_natural,
    .value_fp = value_fp,
    .value_string = value_string,
    .value_vstringf = value_vstringf,
    .value_bytes = value_bytes,
    .value_array = value_array,
    .value_dictionary = value_dictionary,
    .value_object = value_object,
    .value_later_ms = api_value_later_ms,
    .value_later_at_ns = api_value_later_at_ns,
    .value_vfail = api_value_vfail,

    .cancelled = api_cancelled,
    .run_id = api_run_id,
    .vlog = api_vlog,

    .call_alloc = api_call_alloc,

    .waker_get = api_waker_get,
    .waker_hold = waker_hold,
    .waker_release = waker_release,
    .waker_wake = waker_wake,
    .value_later = api_value_later,
    .value_later_poll = api_value_later_poll,

    .builder_input_schema = graph_input_schema,
    .builder_input_files = graph_input_files,

    .value_file = api_value_file,
    .value_file_fd = api_value_file_fd,

    .device = device_own,
    .startup_progress = api_startup_progress,

    .builder_on_preload = graph_on_preload,

    .builder_engine = graph_engine,
    .run_arg_count = host_engine_arg_count,
    .run_arg = host_engine_arg,
    .run_alloc = step_run_alloc,
    .run_set = step_run_set,
    .run_get = step_run_get,
    .run_emit = step_run_emit,
    .run_is_full = step_run_is_full,
    .run_is_cancelled = step_run_is_cancelled,
    .run_finish = step_run_finish,
    .run_vfail = step_run_vfail,
    .engine_vfail = step_engine_vfail,
    .engine_waker = step_loop_waker,
    .step_budget = api_step_budget,

    .builder_pipe_batched = graph_pipe_batched,
    .batch_vfail = batch_call_vfail,
};

const struct mr_api *api_table(struct context *context)
{
    mr_assert(!api_context);
    api_context = context;
    return &table;
}
