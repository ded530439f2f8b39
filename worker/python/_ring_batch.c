/* SPDX-License-Identifier: MIT */
/*
 * _ring_batch.c - when the calls of a batched pipe are made, for its Python half, _batched_pipe.py:
 * the rule is the worker's own (batch_rule.h), and so is the clock.
 */
#include "worker/python/_ring.h"

#include "shm/calls.h"
#include "shm/clock.h"
#include "worker/engine/batch_rule.h"

/* Of capsules that hold what is known of one pipe. */
#define BATCH_NAME "millrace_worker.batch"

struct batch_py {
    struct batch_limits limits;
    struct batch_model model;
};

static void batch_py_free(PyObject *capsule)
{
    PyMem_Free(PyCapsule_GetPointer(capsule, BATCH_NAME));
}

PyObject *batch_py_create(const struct host_py *host, PyObject *arguments)
{
    unsigned int count_max, wait_ms;
    if (!PyArg_ParseTuple(arguments, "II", &count_max, &wait_ms))
        return NULL;
    struct batch_py *batch = PyMem_Calloc(1, sizeof *batch);
    if (!batch)
        return PyErr_NoMemory();
    uint32_t run_count = host->context.attachment.segment.options.slot_count;
    batch->limits.count_max = count_max < run_count ? count_max : run_count;
    batch->limits.wait_ns = wait_ms * CLOCK_NS_PER_MS;
    PyObject *capsule = PyCapsule_New(batch, BATCH_NAME, batch_py_free);
    if (!capsule)
        PyMem_Free(batch);
    return capsule;
}

static struct batch_py *batch_py_of(PyObject *capsule)
{
    return PyCapsule_GetPointer(capsule, BATCH_NAME);
}

PyObject *batch_py_come(PyObject *capsule)
{
    struct batch_py *batch = batch_py_of(capsule);
    if (!batch)
        return NULL;
    uint64_t now_ns = clock_now_ns();
    batch_model_come(&batch->model, now_ns);
    return PyLong_FromUnsignedLongLong(now_ns);
}

/* Those that are settled wait for the pipe, or have passed it: the others could come. */
static uint32_t batch_py_coming(const struct engine *engine, uint32_t settled_count)
{
    uint32_t count = engine->is_stopping ? engine->active_count : engine->slot_count;
    return settled_count < count ? count - settled_count : 0;
}

PyObject *batch_py_due(const struct host_py *host, PyObject *arguments)
{
    PyObject *capsule;
    unsigned int waiting_count, settled_count;
    unsigned long long oldest_ns, newest_ns;
    if (!PyArg_ParseTuple(arguments, "OIIKK", &capsule, &waiting_count, &settled_count, &oldest_ns,
                          &newest_ns))
        return NULL;
    struct batch_py *batch = batch_py_of(capsule);
    if (!batch)
        return NULL;
    struct batch_moment moment = {
        .now_ns = clock_now_ns(),
        .oldest_ns = oldest_ns,
        .newest_ns = newest_ns,
        .waiting_count = waiting_count,
        .coming_count = batch_py_coming(host->engine, settled_count),
        .has_other_work = host->engine->ready.count > 0,
    };
    uint64_t due_ns = batch_rule_due_ns(&batch->limits, &batch->model, &moment);
    batch_model_asked(&batch->model, moment.now_ns, due_ns > 0 && due_ns != CLOCK_NEVER);
    if (due_ns == 0)
        return PyLong_FromUnsignedLong(batch->limits.count_max);
    if (due_ns == CLOCK_NEVER)
        Py_RETURN_NONE;
    return PyFloat_FromDouble((double)(due_ns - moment.now_ns) / (double)CLOCK_NS_PER_S);
}

PyObject *batch_py_begin(PyObject *arguments)
{
    PyObject *capsule;
    unsigned int count;
    if (!PyArg_ParseTuple(arguments, "OI", &capsule, &count))
        return NULL;
    struct batch_py *batch = batch_py_of(capsule);
    if (!batch)
        return NULL;
    batch_model_begin(&batch->model, clock_now_ns(), count);
    Py_RETURN_NONE;
}

PyObject *batch_py_end(struct host_py *host, PyObject *capsule)
{
    struct batch_py *batch = batch_py_of(capsule);
    if (!batch)
        return NULL;
    host_py_check_process(host);
    uint64_t now_ns = clock_now_ns();
    batch_model_end(&batch->model, now_ns);
    calls_add(&host->context.attachment.segment.header->batches, now_ns - batch->model.began_ns,
              batch->model.began_count);
    Py_RETURN_NONE;
}

PyObject *batch_py_doubt(const struct host_py *host, PyObject *arguments)
{
    unsigned int count_max;
    int has_pipe, is_asked;
    if (!PyArg_ParseTuple(arguments, "Ipp", &count_max, &has_pipe, &is_asked))
        return NULL;
    const char *doubt =
        batch_limits_doubt(&(struct batch_limits){.count_max = count_max}, has_pipe, is_asked,
                           host->context.attachment.segment.options.slot_count);
    return Py_BuildValue("z", doubt);
}
