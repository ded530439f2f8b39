/* SPDX-License-Identifier: MIT */
/*
 * _ring.c - the extension millrace_worker._ring: the functions that its Python half calls.
 *
 * Everything here runs under the interpreter's lock, which is given back only while the process
 * sleeps. A forked copy of the process (forget()) does nothing any more.
 */
#include "worker/python/_ring.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "millrace/protocol.h"
#include "shm/clock.h"
#include "shm/slot.h"
#include "worker/confine/strict.h"
#include "worker/engine/fatal_signal.h"
#include "worker/engine/leave.h"
#include "worker/engine/message.h"
#include "worker/engine/process.h"

/* User code may use it until the last instruction of the process. */
static struct host_py host;

static PyObject *ring_none(void)
{
    Py_INCREF(Py_None);
    return Py_None;
}

static void *ring_give_lock_back(void)
{
    return PyEval_SaveThread();
}

/* Handlers of signals that user code set run now, as we may sleep for long. */
static void ring_take_lock(void *state)
{
    PyEval_RestoreThread(state);
    if (PyErr_CheckSignals() != 0)
        PyErr_Print(); /* which ends the process when that was SystemExit */
}

/* ---- starting ------------------------------------------------------------------------------ */

static PyObject *ring_attach(PyObject *module, PyObject *arguments)
{
    (void)module;
    unsigned int index;
    int is_strict;
    if (!PyArg_ParseTuple(arguments, "Ip", &index, &is_strict))
        return NULL;
    process_prepare(index);
    if (is_strict)
        strict_enter();
    host_py_init(&host);
    host_py_attach(&host);
    /* What C code prints leaves at the end of its line, not when 4096 bytes have gathered. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    return ring_none();
}

void host_py_attach(struct host_py *joining)
{
    struct context *context = &joining->context;
    char reason[256];
    if (attachment_init(&context->attachment, reason, sizeof reason) != 0)
        leave(WORKER_EXIT_ATTACH, "%s", reason);
    if (attachment_add_wake(&context->attachment) != 0)
        leave(WORKER_EXIT_ATTACH, "eventfd: %s", strerror(errno));
    context->attachment.lock = (struct attachment_lock){ring_give_lock_back, ring_take_lock};
    error_clear(&context->error);
    reply_init(&context->reply, &context->attachment, &context->error);
    fatal_signal_watch(&context->attachment.segment.header->crash);
    reply_compare_builds(&context->reply);
}

/* template(parent, confine, fds): template_py_serve() */
static PyObject *ring_template(PyObject *module, PyObject *arguments)
{
    (void)module;
    long parent;
    const char *confine;
    PyObject *fds;
    if (!PyArg_ParseTuple(arguments, "lzO!", &parent, &confine, &PyList_Type, &fds))
        return NULL;
    return template_py_serve(&host, parent, confine, fds);
}

/* fatal_signal_ask(number, where_number, fd) of fatal_signal.h */
static PyObject *ring_fatal_signal_ask(PyObject *module, PyObject *arguments)
{
    (void)module;
    union {
        PyObject *(*function)(void);
        const void *address;
    } inside = {.function = PyErr_Occurred};
    struct fatal_signal_interpreter interpreter = {.inside = inside.address};
    if (!PyArg_ParseTuple(arguments, "iii", &interpreter.number, &interpreter.where_number,
                          &interpreter.fd))
        return NULL;
    fatal_signal_ask(&interpreter);
    return ring_none();
}

/* fatal_signal_leave_out(file) likewise */
static PyObject *ring_fatal_signal_leave_out(PyObject *module, PyObject *arguments)
{
    (void)module;
    const char *file;
    if (!PyArg_ParseTuple(arguments, "y", &file))
        return NULL;
    fatal_signal_leave_out(file);
    return ring_none();
}

/* progress(fraction, text): how far the start is; a fraction below 0 is not known. Nothing once it
 * is over. */
static PyObject *ring_progress(PyObject *module, PyObject *arguments)
{
    (void)module;
    double fraction;
    const char *text;
    if (!PyArg_ParseTuple(arguments, "dy", &fraction, &text))
        return NULL;
    if (!host.is_child && host.context.attachment.segment.header)
        start_report_say(&host.context.report, host.context.attachment.socket, fraction, text);
    return ring_none();
}

static PyObject *ring_hello(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *name;
    PyObject *inputs;
    PyObject *outputs;
    if (!PyArg_ParseTuple(arguments, "UO!O!", &name, &PyList_Type, &inputs, &PyList_Type,
                          &outputs) ||
        hello_send_py(&host, name, inputs, outputs) != 0)
        return NULL;
    return ring_none();
}

/* Sends FAILED and leaves; where the dispatcher is gone too, that is said. */
static PyObject *ring_fail(PyObject *module, PyObject *arguments)
{
    (void)module;
    int code;
    PyObject *description;
    if (!PyArg_ParseTuple(arguments, "iO!", &code, &PyTuple_Type, &description) ||
        !host_py_set_error(&host, description))
        return NULL;
    start_report_end(&host.context.report, host.context.attachment.socket);
    int rc = message_send_failed(host.context.attachment.socket, &host.context.error);
    if (rc != 0)
        leave((enum worker_exit)code, "%s (not sent: %s)", host.context.error.text, strerror(-rc));
    _exit(code);
}

static void ring_take_callbacks(PyObject *callbacks)
{
    Py_INCREF(callbacks);
    Py_XDECREF(host.callbacks);
    host.callbacks = callbacks;
}

/* serve(callbacks): READY, and then runs. True when it is over, False when turn() goes on. */
static PyObject *ring_serve(PyObject *module, PyObject *callbacks)
{
    (void)module;
    ring_take_callbacks(callbacks);
    if (engine_init(&host.plain, &host.context, &host.host) != 0)
        return PyErr_NoMemory();
    host.engine = &host.plain;
    host_py_say_ready(&host);
    engine_run(host.engine);
    return PyBool_FromLong(!host.engine->has_driven);
}

/* serve_engine(callbacks, capacity): READY, and then runs of an engine until all is over. It takes
 * so many at once; 0: as many as come. */
static PyObject *ring_serve_engine(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *callbacks;
    int capacity;
    if (!PyArg_ParseTuple(arguments, "Oi", &callbacks, &capacity))
        return NULL;
    ring_take_callbacks(callbacks);
    return step_py_serve(&host, capacity);
}

/* step_budget(): what the operator says of it; 0: nothing, or there is no worker here. */
static PyObject *ring_step_budget(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    uint64_t units = host.engine ? attachment_step_budget(&host.context.attachment) : 0;
    return PyLong_FromUnsignedLongLong(units);
}

/* ---- runs of an engine --------------------------------------------------------------------- */

/* run_emit(key, value): False when the run is full, or its value cannot be sent. */
static PyObject *ring_run_emit(PyObject *module, PyObject *arguments)
{
    (void)module;
    return step_py_emit(&host, arguments);
}

static PyObject *ring_run_is_full(PyObject *module, PyObject *key)
{
    (void)module;
    return step_py_is_full(&host, key);
}

static PyObject *ring_run_is_cancelled(PyObject *module, PyObject *key)
{
    (void)module;
    return step_py_is_cancelled(&host, key);
}

/* run_end(key, description): None when it completed */
static PyObject *ring_run_end(PyObject *module, PyObject *arguments)
{
    (void)module;
    return step_py_end(&host, arguments);
}

/* wake(): the engine may have something to do. From any thread. */
static PyObject *ring_wake(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    step_py_wake(&host);
    return ring_none();
}

/* ---- turns --------------------------------------------------------------------------------- */

/* turn(): never waits. None when all is over, else the seconds until the next turn is due, -1 when
 * only fileno() becoming readable makes it due. */
static PyObject *ring_turn(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    uint64_t due_ns;
    host_py_check_process(&host);
    host.is_turning = true;
    if (!engine_turn(host.engine, &due_ns))
        return ring_none();
    if (due_ns == CLOCK_NEVER)
        return PyFloat_FromDouble(-1.0);
    uint64_t now_ns = clock_now_ns();
    return PyFloat_FromDouble(
        due_ns <= now_ns ? 0.0 : (double)(due_ns - now_ns) / (double)CLOCK_NS_PER_S);
}

/* Between turns the doorbell is armed for what was waited for at the end of the last. */
static void ring_make_turn_due(void)
{
    if (host.is_turning)
        attachment_wake(&host.context.attachment);
}

/* Waiting for room in the ring leaves the doorbell disarmed. */
static void ring_check_bell(uint64_t wait_count)
{
    if (host.context.reply.wait_count != wait_count)
        ring_make_turn_due();
}

static PyObject *ring_fileno(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    return PyLong_FromLong(host.context.attachment.epoll);
}

/* The driven run of this key that may send; NULL with an exception. */
static struct job *ring_driven(unsigned long long key)
{
    host_py_check_process(&host);
    struct job *job = host_py_find(&host, key);
    if (job && job->is_driven && job->state == JOB_DRIVEN && !job->is_cancel_told)
        return job;
    PyErr_SetString(PyExc_RuntimeError, "the run is over, or waits");
    return NULL;
}

/* pack(key, value, number): a plain output, by its number from 1, to be repeated by each line; or a
 * text that says why it cannot be sent. */
static PyObject *ring_pack(PyObject *module, PyObject *arguments)
{
    (void)module;
    unsigned long long key, number;
    PyObject *object;
    if (!PyArg_ParseTuple(arguments, "KOK", &key, &object, &number))
        return NULL;
    struct job *job = ring_driven(key);
    return job ? host_py_pack(&host, job, object, number) : NULL;
}

/* line(key, values): True when it was sent, False when resume() will follow, or a text that says
 * why it cannot be sent. */
static PyObject *ring_line(PyObject *module, PyObject *arguments)
{
    (void)module;
    unsigned long long key;
    PyObject *values;
    if (!PyArg_ParseTuple(arguments, "KO!", &key, &PyTuple_Type, &values))
        return NULL;
    struct job *job = ring_driven(key);
    if (!job)
        return NULL;
    uint64_t wait_count = host.context.reply.wait_count;
    int rc = host_py_send_line(&host, job, values);
    ring_check_bell(wait_count);
    if (rc == 0)
        ring_make_turn_due(); /* now a window is waited for, too */
    if (rc >= 0)
        return PyBool_FromLong(rc);
    return host_py_why(&host);
}

/* end(key, description, plain): ends a driven run, with None when it completed. `plain` has a bit
 * for each output that was no stream. False when its line waits: to be asked again after resume()
 * or cancel(). */
static PyObject *ring_end(PyObject *module, PyObject *arguments)
{
    (void)module;
    unsigned long long key;
    PyObject *description;
    unsigned long long plain;
    if (!PyArg_ParseTuple(arguments, "KOK", &key, &description, &plain))
        return NULL;
    host_py_check_process(&host);
    struct job *job = host_py_find(&host, key);
    if (!job || !job->is_driven || job->state == JOB_NONE)
        Py_RETURN_TRUE; /* over already */
    if (job->state != JOB_DRIVEN)
        Py_RETURN_FALSE;
    if (description != Py_None && !host_py_set_error(&host, description))
        return NULL;
    job->plain_outputs = plain & host.stream_outputs;
    uint64_t wait_count = host.context.reply.wait_count;
    engine_end_driven(host.engine, job);
    ring_check_bell(wait_count);
    Py_RETURN_TRUE;
}

/* ---- batched pipes ------------------------------------------------------------------------- */

/* batch(count_max, wait_ms): what is known of one pipe, for the next four. */
static PyObject *ring_batch(PyObject *module, PyObject *arguments)
{
    (void)module;
    return batch_py_create(&host, arguments);
}

/* batch_come(batch): a call waits for it from now on; the time, in nanoseconds. */
static PyObject *ring_batch_come(PyObject *module, PyObject *batch)
{
    (void)module;
    return batch_py_come(batch);
}

/* batch_due(batch, waiting, settled, oldest, newest): an int, so many of the calls that wait are to
 * be made now; a float, seconds until it is to be asked again; None, not before something changes.
 * Settled are runs that wait or have passed the pipe; the times are those of the first and of the
 * last that waits. */
static PyObject *ring_batch_due(PyObject *module, PyObject *arguments)
{
    (void)module;
    return batch_py_due(&host, arguments);
}

/* batch_begin(batch, count), batch_end(batch): around a call. */
static PyObject *ring_batch_begin(PyObject *module, PyObject *arguments)
{
    (void)module;
    return batch_py_begin(arguments);
}

static PyObject *ring_batch_end(PyObject *module, PyObject *batch)
{
    (void)module;
    return batch_py_end(&host, batch);
}

/* batch_doubt(count_max, has_pipe, is_asked): what is wrong with the options, for the log; or
 * None. */
static PyObject *ring_batch_doubt(PyObject *module, PyObject *arguments)
{
    (void)module;
    return batch_py_doubt(&host, arguments);
}

/* ---- for user code and its log ------------------------------------------------------------- */

/* The run of a key, or the one that is stepped, or the only one there is. */
static const struct reply_job *ring_run_of(PyObject *key)
{
    if (key != Py_None) {
        const struct job *job = host_py_find(&host, PyLong_AsUnsignedLongLong(key));
        PyErr_Clear();
        return job ? &job->reply : NULL;
    }
    if (host.context.current)
        return &host.context.current->reply;
    if (host.is_serving && host.engine->active_count == 1)
        return &host.engine->jobs[host.engine->active[0]].reply;
    return NULL;
}

/* log(level, text, key): one line; False when it could not be taken without waiting. */
static PyObject *ring_log(PyObject *module, PyObject *arguments)
{
    (void)module;
    int level;
    const char *text;
    Py_ssize_t bytes;
    PyObject *key;
    int may_wait;
    if (!PyArg_ParseTuple(arguments, "iy#Op", &level, &text, &bytes, &key, &may_wait))
        return NULL;
    if (host.is_child || !host.context.attachment.segment.header)
        Py_RETURN_FALSE;
    struct reply *reply = &host.context.reply;
    const struct reply_job *job = ring_run_of(key);
    if (!may_wait)
        return PyBool_FromLong(
            reply_try_log(reply, job, (enum mr_log_level)level, text, (size_t)bytes));
    const struct reply_job *current = reply->current;
    uint64_t wait_count = reply->wait_count;
    reply->current = job;
    reply_log(reply, (enum mr_log_level)level, text, (size_t)bytes);
    reply->current = current;
    ring_check_bell(wait_count);
    Py_RETURN_TRUE;
}

/* current(): the key of the run whose code is called, or None. */
static PyObject *ring_current(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    if (!host.context.current)
        return ring_none();
    return PyLong_FromUnsignedLongLong(host_py_key(&host.context.current->reply));
}

/* The run asked about: that of the key, else the one that is stepped. */
static const struct job *ring_asked(PyObject *key)
{
    if (key == Py_None)
        return host.context.current;
    const struct job *job = host_py_find(&host, PyLong_AsUnsignedLongLong(key));
    PyErr_Clear();
    return job;
}

static PyObject *ring_cancelled(PyObject *module, PyObject *key)
{
    (void)module;
    const struct job *job = host.is_child ? NULL : ring_asked(key);
    if (!job)
        Py_RETURN_FALSE;
    slot_progress(job->slot, clock_coarse_ns()); /* who asks is alive */
    return PyBool_FromLong(slot_cancel_reason(job->slot, job->reply.generation) != 0);
}

static PyObject *ring_run_id(PyObject *module, PyObject *key)
{
    (void)module;
    const struct job *job = ring_asked(key);
    return PyUnicode_FromString(job ? job->id : "");
}

/* check(): a forked child that came back from user code ends. */
static PyObject *ring_check(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    host_py_check_process(&host);
    return ring_none();
}

/* forget(): called in a forked child. The segment is not mapped there; the descriptors go now. */
static PyObject *ring_forget(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    if (!host.is_child && !host.is_copy && host.context.attachment.segment.header) {
        for (int fd = WORKER_FD_SEGMENT; fd < WORKER_FD_COUNT; fd++)
            close(fd);
        close(host.context.attachment.epoll);
        close(host.context.attachment.wake);
        host.is_child = true;
    }
    return ring_none();
}

/* ---- the module ---------------------------------------------------------------------------- */

static PyMethodDef ring_methods[] = {
    {"fatal_signal_ask", ring_fatal_signal_ask, METH_VARARGS, NULL},
    {"fatal_signal_leave_out", ring_fatal_signal_leave_out, METH_VARARGS, NULL},
    {"attach", ring_attach, METH_VARARGS, NULL},
    {"template", ring_template, METH_VARARGS, NULL},
    {"progress", ring_progress, METH_VARARGS, NULL},
    {"hello", ring_hello, METH_VARARGS, NULL},
    {"fail", ring_fail, METH_VARARGS, NULL},
    {"serve", ring_serve, METH_O, NULL},
    {"serve_engine", ring_serve_engine, METH_VARARGS, NULL},
    {"step_budget", ring_step_budget, METH_NOARGS, NULL},
    {"run_emit", ring_run_emit, METH_VARARGS, NULL},
    {"run_is_full", ring_run_is_full, METH_O, NULL},
    {"run_is_cancelled", ring_run_is_cancelled, METH_O, NULL},
    {"run_end", ring_run_end, METH_VARARGS, NULL},
    {"wake", ring_wake, METH_NOARGS, NULL},
    {"turn", ring_turn, METH_NOARGS, NULL},
    {"fileno", ring_fileno, METH_NOARGS, NULL},
    {"pack", ring_pack, METH_VARARGS, NULL},
    {"line", ring_line, METH_VARARGS, NULL},
    {"end", ring_end, METH_VARARGS, NULL},
    {"batch", ring_batch, METH_VARARGS, NULL},
    {"batch_come", ring_batch_come, METH_O, NULL},
    {"batch_due", ring_batch_due, METH_VARARGS, NULL},
    {"batch_begin", ring_batch_begin, METH_VARARGS, NULL},
    {"batch_end", ring_batch_end, METH_O, NULL},
    {"batch_doubt", ring_batch_doubt, METH_VARARGS, NULL},
    {"log", ring_log, METH_VARARGS, NULL},
    {"current", ring_current, METH_NOARGS, NULL},
    {"cancelled", ring_cancelled, METH_O, NULL},
    {"run_id", ring_run_id, METH_O, NULL},
    {"check", ring_check, METH_NOARGS, NULL},
    {"forget", ring_forget, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef ring_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "millrace_worker._ring",
    .m_size = -1,
    .m_methods = ring_methods,
};

PyMODINIT_FUNC PyInit__ring(void);

PyMODINIT_FUNC PyInit__ring(void)
{
    PyObject *module = PyModule_Create(&ring_module);
    PyObject *exhausted = PyObject_CallFunctionObjArgs((PyObject *)&PyBaseObject_Type, NULL);
    if (!module || !exhausted ||
        PyModule_AddIntConstant(module, "EXIT_LOAD", WORKER_EXIT_LOAD) != 0 ||
        PyModule_AddIntConstant(module, "EXIT_STARTUP", WORKER_EXIT_STARTUP) != 0 ||
        PyModule_AddIntConstant(module, "EXIT_UNFORKABLE", WORKER_EXIT_UNFORKABLE) != 0 ||
        PyModule_AddObject(module, "EXHAUSTED", exhausted) != 0) {
        Py_XDECREF(exhausted);
        Py_XDECREF(module);
        return NULL;
    }
    host.exhausted = exhausted; /* the module, which is never freed, owns it */
    return module;
}
