/* SPDX-License-Identifier: MIT */
/*
 * _ring_step.c - engines in Python: the loop of engines (worker/step/) calls methods of one Python
 * object (millrace_worker/_engine.py), and handles of runs call back.
 *
 *   begin(key, id, inputs)     a run came, which waits from now on
 *   admit(key)              -> its handle, which is kept until the run is over; None: not now
 *   step()                  -> False; True: there is nothing to do now
 *   evict(handle)              raises nothing
 *   finish(key)                the run is over
 *
 * What would end a worker in C is an exception here: a call from another thread, outside of the
 * engine's functions, of a run that is over. So each is checked before the loop is asked.
 */
#include "worker/python/_ring.h"

#include <errno.h>
#include <string.h>

#include "millrace/protocol.h"
#include "worker/engine/leave.h"

static struct host_py *step_py_host(struct step_host *pipeline)
{
    return ((struct step_py *)(void *)pipeline)->host; /* pipeline is its first member */
}

/* ---- what the loop asks -------------------------------------------------------------------- */

static int step_py_start(struct step_host *pipeline, struct job *job)
{
    PyObject *result = host_py_begin(step_py_host(pipeline), "begin", job);
    if (!result)
        return -ECANCELED;
    Py_DECREF(result);
    return 0;
}

static int step_py_admit(struct step_host *pipeline, struct mr_run *run)
{
    struct host_py *host = step_py_host(pipeline);
    PyObject *handle = PyObject_CallMethod(host->callbacks, "admit", "K",
                                           (unsigned long long)host_py_key(&run->job->reply));
    host_py_check_process(host);
    if (!handle) {
        host_py_fail(host);
        return -ECANCELED;
    }
    bool is_over = host->step.loop.runs.at_hand != run; /* finished, or failed */
    bool is_later = handle == Py_None;
    if (is_later || is_over)
        Py_DECREF(handle);
    else
        run->own = handle;
    return is_later ? MR_LATER : 0;
}

static int step_py_step(struct step_host *pipeline)
{
    struct host_py *host = step_py_host(pipeline);
    PyObject *is_later = PyObject_CallMethod(host->callbacks, "step", NULL);
    host_py_check_process(host);
    if (!is_later) {
        host_py_fail(host);
        return -ECANCELED;
    }
    int rc = is_later == Py_True ? MR_LATER : 0;
    Py_DECREF(is_later);
    return rc;
}

static void step_py_evict(struct step_host *pipeline, struct mr_run *run)
{
    struct host_py *host = step_py_host(pipeline);
    PyObject *handle = run->own;
    run->own = NULL;
    PyObject *result = PyObject_CallMethod(host->callbacks, "evict", "O", handle);
    host_py_check_process(host);
    if (!result)
        PyErr_WriteUnraisable(handle);
    Py_XDECREF(result);
    Py_DECREF(handle);
}

static void step_py_finish(struct step_host *pipeline, struct job *job)
{
    host_py_tell(step_py_host(pipeline), "finish", job);
}

static int step_py_capacity(struct step_host *pipeline)
{
    return step_py_host(pipeline)->step.capacity;
}

PyObject *step_py_serve(struct host_py *host, int capacity)
{
    struct step_py *step = &host->step;
    *step = (struct step_py){.pipeline = {.start = step_py_start,
                                          .admit = step_py_admit,
                                          .step = step_py_step,
                                          .evict = step_py_evict,
                                          .capacity = step_py_capacity,
                                          .finish = step_py_finish},
                             .host = host,
                             .capacity = capacity,
                             .thread = PyThread_get_thread_ident()};
    if (step_loop_init(&step->loop, &host->context, &step->pipeline) != 0)
        return PyErr_NoMemory();
    step->waker = step_loop_waker(); /* for good: other threads may use it */
    if (!step->waker)
        return PyErr_NoMemory();
    host->engine = &step->loop.engine;
    step_loop_say_capacity(&step->loop);
    host_py_say_ready(host);
    step_loop_run(&step->loop);
    Py_RETURN_NONE;
}

/* ---- handles of runs ----------------------------------------------------------------------- */

/* Why a function of a run may not be called now; NULL: it may. */
static const char *step_py_why_not(const struct host_py *host)
{
    const struct step_py *step = &host->step;
    if (!step->waker)
        return "it is for the functions of an engine, and none is served here";
    if (PyThread_get_thread_ident() != step->thread)
        return "it is not for other threads, which wake the engine instead";
    if (step->is_busy)
        return "another call for a run is at work";
    if (!step->loop.runs.is_inside)
        return "it is for admit(), step() and evict() of the engine";
    return NULL;
}

/* The run of a key when `function` may be called for it; NULL with an exception. */
static struct mr_run *step_py_find(struct host_py *host, unsigned long long key,
                                   const char *function, bool is_for_evicted)
{
    host_py_check_process(host);
    struct mr_run *run = NULL;
    const char *why = step_py_why_not(host);
    if (!why) {
        const struct job *job = host_py_find(host, key);
        run = job ? step_runs_find(&host->step.loop.runs, job) : NULL;
        if (!run)
            why = "the run is not in: it is over, or yet to be admitted";
        else if (run->state == STEP_RUN_EVICTED && !is_for_evicted)
            why = "the run is being evicted: nothing more can be done for it";
    }
    if (!why)
        return run;
    PyErr_Format(PyExc_RuntimeError, "%s: %s", function, why);
    return NULL;
}

PyObject *step_py_emit(struct host_py *host, PyObject *arguments)
{
    unsigned long long key;
    PyObject *object;
    if (!PyArg_ParseTuple(arguments, "KO", &key, &object))
        return NULL;
    struct mr_run *run = step_py_find(host, key, "emit", false);
    if (!run)
        return NULL;
    /* Code of the value's type may be called, and signal handlers where the ring is full. */
    host->step.is_busy = true;
    struct mr_value *value = step_run_emit(run);
    int rc = value ? pack_object(host, value, object, "chunk", ++run->job->line_count) : -EAGAIN;
    host_py_check_process(host);
    step_runs_close_value(&host->step.loop.runs);
    host->step.is_busy = false;
    return PyBool_FromLong(rc >= 0);
}

PyObject *step_py_is_full(struct host_py *host, PyObject *key)
{
    struct mr_run *run = step_py_find(host, PyLong_AsUnsignedLongLong(key), "is_full", false);
    return run ? PyBool_FromLong(step_run_is_full(run)) : NULL;
}

PyObject *step_py_is_cancelled(struct host_py *host, PyObject *key)
{
    struct mr_run *run = step_py_find(host, PyLong_AsUnsignedLongLong(key), "is_cancelled", true);
    return run ? PyBool_FromLong(step_run_is_cancelled(run)) : NULL;
}

/* `description` is that of _ring.end(): None of a run that is complete. */
PyObject *step_py_end(struct host_py *host, PyObject *arguments)
{
    unsigned long long key;
    PyObject *description;
    if (!PyArg_ParseTuple(arguments, "KO", &key, &description))
        return NULL;
    bool is_complete = description == Py_None;
    struct mr_run *run = step_py_find(host, key, is_complete ? "finish" : "fail", false);
    if (!run)
        return NULL;
    struct step_runs *runs = &host->step.loop.runs;
    if (!is_complete) {
        if (!host_py_set_error(host, description))
            return NULL;
        step_run_take_error(runs, run);
        error_clear(&host->context.error);
    }
    PyObject *handle = run->own;
    run->own = NULL;
    host->step.is_busy = true;
    step_run_end(runs, run);
    host->step.is_busy = false;
    Py_XDECREF(handle); /* NULL: admit() is still at work */
    Py_RETURN_NONE;
}

void step_py_wake(const struct host_py *host)
{
    if (host->step.waker && !host->is_child)
        waker_wake(host->step.waker);
}
