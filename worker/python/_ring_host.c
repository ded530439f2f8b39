/* SPDX-License-Identifier: MIT */
/*
 * _ring_host.c - runs of Python pipelines: started by a callback, stepped by calling next().
 *
 * The callbacks are methods of one Python object (millrace_worker/_host.py):
 *
 *   file(path)              -> what pipes get of a file among the inputs
 *   given(value)            -> (descriptor, name) of a value that is a file, a text that says why
 *                              it cannot be given, None of one that is none
 *   start(key, id, inputs)  -> [(iterator, owner) or (None, value), ...], or None: it is driven
 *   close(iterator, owner)     ends one output's iterator; raises nothing
 *   finish(key)                the run is over
 *   cancel(key), resume(key)   of driven runs (host.h)
 *   describe(exception)     -> (type, message, traceback or None)
 *   place(iterator)         -> what the message of a value that cannot be sent ends with
 */
#include "worker/python/_ring.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "millrace/protocol.h"
#include "worker/engine/leave.h"
#include "worker/engine/message.h"

/* One output that is an iterator. Memory of the run. */
struct py_stream {
    struct host_py *host;
    PyObject *iterator; /* owned */
    PyObject *owner;    /* what the pipe returned; owned */
    uint64_t chunk_count;
};

/* Of capsules that hold a packed value. */
#define PACKED_NAME "millrace_worker.packed"

static int host_py_start(struct host *host, struct job *job);
static void host_py_finish(struct host *host, struct job *job);
static void host_py_cancel(struct host *host, struct job *job);
static void host_py_resume(struct host *host, struct job *job);
static int host_py_take_outputs(struct host_py *host, struct job *job, PyObject *outputs);

static struct host_py *host_py_of(struct host *host)
{
    return (struct host_py *)(void *)host; /* host is its first member */
}

void host_py_init(struct host_py *host)
{
    host->host = (struct host){
        .start = host_py_start,
        .finish = host_py_finish,
        .cancel = host_py_cancel,
        .resume = host_py_resume,
    };
}

void host_py_say_ready(struct host_py *host)
{
    host->is_serving = true;
    start_report_end(&host->context.report, host->context.attachment.socket);
    int rc = message_send(host->context.attachment.socket, MESSAGE_READY, NULL, 0);
    if (rc != 0)
        leave(WORKER_EXIT_ORPHAN, "READY was not sent: %s", strerror(-rc));
}

void host_py_check_process(const struct host_py *host)
{
    if (host->is_child)
        leave(WORKER_EXIT_ORPHAN, "a forked child came back from the pipeline: it ends here, only "
                                  "the worker itself may go on (os._exit() ends a child)");
}

/* ---- names of runs ------------------------------------------------------------------------- */

#define KEY_SLOT_BITS 16u

uint64_t host_py_key(const struct reply_job *job)
{
    return (uint64_t)job->generation << KEY_SLOT_BITS | job->slot;
}

struct job *host_py_find(struct host_py *host, uint64_t key)
{
    uint64_t slot = key & ((1u << KEY_SLOT_BITS) - 1);
    if (!host->is_serving || slot >= host->engine->slot_count)
        return NULL;
    struct job *job = &host->engine->jobs[slot];
    return job->slot && host_py_key(&job->reply) == key ? job : NULL;
}

/* ---- failures ------------------------------------------------------------------------------ */

bool host_py_set_error(struct host_py *host, PyObject *description)
{
    int type;
    const char *message;
    Py_ssize_t message_bytes;
    PyObject *traceback;
    if (!PyArg_ParseTuple(description, "iy#O", &type, &message, &message_bytes, &traceback))
        return false;
    struct error *error = &host->context.error;
    error_set(error, (enum error_type)type, "%.*s", (int)message_bytes, message);
    if (traceback == Py_None)
        return true;
    char *text;
    Py_ssize_t bytes;
    if (PyBytes_AsStringAndSize(traceback, &text, &bytes) != 0)
        return false;
    Py_INCREF(traceback);
    Py_XDECREF(host->traceback);
    host->traceback = traceback;
    error_set_traceback(error, text, (size_t)bytes);
    return true;
}

void host_py_fail(struct host_py *host)
{
    PyObject *type;
    PyObject *exception;
    PyObject *traceback;
    host_py_check_process(host);
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    if (exception && traceback)
        PyException_SetTraceback(exception, traceback);
    PyObject *description =
        exception ? PyObject_CallMethod(host->callbacks, "describe", "O", exception) : NULL;
    if (!description || !host_py_set_error(host, description)) {
        PyErr_Clear();
        error_set(&host->context.error, ERROR_PIPELINE, "an exception that cannot be described");
    }
    Py_XDECREF(description);
    Py_XDECREF(type);
    Py_XDECREF(exception);
    Py_XDECREF(traceback);
}

void host_py_tell(struct host_py *host, const char *name, const struct job *job)
{
    PyObject *result = PyObject_CallMethod(host->callbacks, name, "K",
                                           (unsigned long long)host_py_key(&job->reply));
    if (!result)
        PyErr_WriteUnraisable(host->callbacks);
    Py_XDECREF(result);
}

/* ---- streams ------------------------------------------------------------------------------- */

/* Says where the generator stood that yielded what cannot be sent. */
static void host_py_add_place(struct host_py *host, PyObject *iterator)
{
    PyObject *text = PyObject_CallMethod(host->callbacks, "place", "O", iterator);
    PyObject *bytes = text ? PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace") : NULL;
    if (bytes)
        error_append(&host->context.error, PyBytes_AsString(bytes));
    Py_XDECREF(bytes);
    Py_XDECREF(text);
    PyErr_Clear();
}

static int host_py_stream_next(void *state, struct mr_value *value)
{
    struct py_stream *stream = state;
    PyObject *item = PyIter_Next(stream->iterator);
    host_py_check_process(stream->host);
    if (!item) {
        if (!PyErr_Occurred())
            return MR_END;
        host_py_fail(stream->host);
        return -ECANCELED;
    }
    int rc = pack_object(stream->host, value, item, "chunk", ++stream->chunk_count);
    Py_DECREF(item);
    if (rc < 0)
        host_py_add_place(stream->host, stream->iterator);
    return rc;
}

static void host_py_stream_close(void *state)
{
    struct py_stream *stream = state;
    struct host_py *host = stream->host;
    PyObject *result =
        PyObject_CallMethod(host->callbacks, "close", "OO", stream->iterator, stream->owner);
    host_py_check_process(host);
    if (!result)
        PyErr_WriteUnraisable(stream->iterator);
    Py_XDECREF(result);
    Py_CLEAR(stream->iterator);
    Py_CLEAR(stream->owner);
}

/* ---- starting ------------------------------------------------------------------------------ */

/* A tuple of Python objects; NULL with an exception. */
static PyObject *host_py_inputs(const struct host_py *host, const struct job *job)
{
    PyObject *inputs = PyTuple_New((Py_ssize_t)job->input_count);
    for (size_t i = 0; inputs && i < job->input_count; i++) {
        PyObject *input = unpack_object(&job->inputs[i], host->callbacks);
        /* Takes the item, also when it fails. */
        if (!input || PyTuple_SetItem(inputs, (Py_ssize_t)i, input) != 0)
            Py_CLEAR(inputs);
    }
    return inputs;
}

PyObject *host_py_begin(struct host_py *host, const char *name, const struct job *job)
{
    PyObject *inputs = host_py_inputs(host, job);
    PyObject *result =
        inputs ? PyObject_CallMethod(host->callbacks, name, "KsO",
                                     (unsigned long long)host_py_key(&job->reply), job->id, inputs)
               : NULL;
    Py_XDECREF(inputs);
    host_py_check_process(host);
    if (!result)
        host_py_fail(host);
    return result;
}

static int host_py_start(struct host *base, struct job *job)
{
    struct host_py *host = host_py_of(base);
    PyObject *outputs = host_py_begin(host, "start", job);
    if (!outputs)
        return -ECANCELED;
    int rc = outputs == Py_None ? HOST_DRIVEN : host_py_take_outputs(host, job, outputs);
    Py_DECREF(outputs);
    buffer_trim(&host->scratch, BUFFER_KEEP_BYTES);
    return rc;
}

/* Packs a plain output, which every line repeats. */
static int host_py_keep(struct host_py *host, struct job *job, PyObject *object, uint32_t index,
                        struct lockstep_output *out)
{
    struct mr_value value;
    value_start_in_buffer(&value, &host->scratch, &host->context.error);
    int rc = pack_object(host, &value, object, "output", (uint64_t)index + 1);
    if (rc < 0)
        return rc;
    size_t bytes = (size_t)(value.at - value.begin);
    uint8_t *copy = arena_take(&job->arena, bytes);
    if (!copy) {
        error_set(&host->context.error, ERROR_OOM, "out of memory for a value of %zu bytes", bytes);
        return -ENOMEM;
    }
    memcpy(copy, value.begin, bytes);
    *out = (struct lockstep_output){.packed = copy, .packed_bytes = bytes};
    return 0;
}

static int host_py_open(struct host_py *host, struct job *job, PyObject *iterator, PyObject *owner,
                        struct lockstep_output *out)
{
    struct py_stream *stream = arena_take(&job->arena, sizeof *stream);
    if (!stream) {
        error_set(&host->context.error, ERROR_OOM, "out of memory");
        return -ENOMEM;
    }
    Py_INCREF(iterator);
    Py_INCREF(owner);
    *stream = (struct py_stream){.host = host, .iterator = iterator, .owner = owner};
    *out = (struct lockstep_output){
        .iterator = {.state = stream, .next = host_py_stream_next, .close = host_py_stream_close},
        .is_stream = true,
        .is_open = true,
    };
    return 0;
}

static int host_py_take_output(struct host_py *host, struct job *job, PyObject *outputs,
                               uint32_t index, struct lockstep_output *out)
{
    PyObject *pair = PyList_GetItem(outputs, (Py_ssize_t)index);
    PyObject *iterator;
    PyObject *object;
    if (!pair || !PyArg_ParseTuple(pair, "OO", &iterator, &object)) {
        host_py_fail(host);
        return -EINVAL;
    }
    if (iterator == Py_None)
        return host_py_keep(host, job, object, index, out);
    return host_py_open(host, job, iterator, object, out);
}

/* All iterators are opened, or none is left open. */
static int host_py_take_outputs(struct host_py *host, struct job *job, PyObject *outputs)
{
    Py_ssize_t size = PyList_Size(outputs);
    if (size <= 0 || size > OUTPUT_COUNT_MAX) {
        PyErr_Clear();
        error_set(&host->context.error, ERROR_PIPELINE, "the run has no outputs, or too many");
        return -EINVAL;
    }
    uint32_t count = (uint32_t)size;
    struct lockstep_output *taken = arena_take(&job->arena, count * sizeof *taken);
    int rc = taken ? 0 : -ENOMEM;
    if (!taken)
        error_set(&host->context.error, ERROR_OOM, "out of memory");
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        rc = host_py_take_output(host, job, outputs, i, &taken[i]);
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        if (!taken[i].is_stream)
            job->plain_outputs |= host->stream_outputs & UINT64_C(1) << i;
    for (uint32_t i = 0; rc != 0 && taken && i < count; i++)
        if (taken[i].is_open)
            host_py_stream_close(taken[i].iterator.state);
    if (rc == 0)
        lockstep_start(&job->lockstep, taken, count);
    return rc;
}

static void host_py_finish(struct host *base, struct job *job)
{
    host_py_tell(host_py_of(base), "finish", job);
}

/* ---- driven runs --------------------------------------------------------------------------- */

static void host_py_cancel(struct host *base, struct job *job)
{
    host_py_tell(host_py_of(base), "cancel", job);
}

static void host_py_resume(struct host *base, struct job *job)
{
    host_py_tell(host_py_of(base), "resume", job);
}

static void host_py_packed_free(PyObject *capsule)
{
    struct buffer *packed = PyCapsule_GetPointer(capsule, PACKED_NAME);
    buffer_finish(packed);
    PyMem_Free(packed);
}

PyObject *host_py_pack(struct host_py *host, struct job *job, PyObject *object, uint64_t number)
{
    struct buffer *packed = PyMem_Calloc(1, sizeof *packed);
    if (!packed)
        return PyErr_NoMemory();
    struct mr_value value;
    context_enter(&host->context, job);
    value_start_in_buffer(&value, packed, &host->context.error);
    int rc = pack_object(host, &value, object, "output", number);
    context_enter(&host->context, NULL);
    packed->used = (size_t)(value.at - value.begin);
    PyObject *capsule = rc < 0 ? NULL : PyCapsule_New(packed, PACKED_NAME, host_py_packed_free);
    if (capsule)
        return capsule;
    buffer_finish(packed);
    PyMem_Free(packed);
    return rc < 0 ? host_py_why(host) : NULL;
}

/* A plain output, which was packed once. */
static int host_py_repeat(struct mr_value *value, PyObject *capsule)
{
    const struct buffer *packed = PyCapsule_GetPointer(capsule, PACKED_NAME);
    return value_raw(value, packed->data, packed->used);
}

PyObject *host_py_why(struct host_py *host)
{
    struct error *error = &host->context.error;
    PyObject *text = PyUnicode_DecodeUTF8(error->text, (Py_ssize_t)error->bytes, "replace");
    error_clear(error);
    return text;
}

int host_py_send_line(struct host_py *host, struct job *job, PyObject *values)
{
    Py_ssize_t count = PyTuple_Size(values);
    if (job->files.is_refused) {
        out_files_explain(&job->files, &host->context.error);
        return -ECANCELED;
    }
    struct mr_value *value = engine_open_line(host->engine, job);
    int rc = value_outputs(value, (uint32_t)count);
    for (Py_ssize_t i = 0; rc >= 0 && i < count; i++) {
        PyObject *item = PyTuple_GetItem(values, i);
        value_expect(value);
        if (item == host->exhausted)
            rc = value_exhausted(value);
        else if (PyCapsule_IsValid(item, PACKED_NAME))
            rc = host_py_repeat(value, item);
        else
            rc = pack_object(host, value, item, "chunk", job->line_count + 1);
    }
    if (rc < 0) {
        engine_abort_line(host->engine);
        return rc;
    }
    job->line_count++;
    return engine_send_line(host->engine, job);
}
