/* SPDX-License-Identifier: MIT */
/*
 * _ring.h - what the parts of the Python extension share.
 *
 * The extension is the worker's own C code with another host: Python objects in place of a shared
 * object's functions. It sees the limited API of Python 3.9 alone, so that one build serves every
 * version since.
 */
#ifndef WORKER_PYTHON_RING_H
#define WORKER_PYTHON_RING_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x03090000
/* Before check.h, which bans words that Python.h uses. */
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

#include "worker/engine/buffer.h"
#include "worker/engine/context.h"
#include "worker/engine/engine.h"
#include "worker/engine/graph.h"
#include "worker/engine/host.h"
#include "worker/engine/object.h"
#include "worker/step/step_loop.h"

/* The host of an engine in Python. */
struct step_py {
    struct step_host pipeline; /* first: the loop's view of it */
    struct host_py *host;      /* borrowed */
    struct step_loop loop;
    unsigned long thread;   /* that serves */
    int capacity;           /* runs that it takes at once; 0: as many as come */
    struct mr_waker *waker; /* held for good; NULL: no engine is served */
    bool is_busy;           /* a call for a run is at work, and may wait */
};

/* The Python host. One in the process. */
struct host_py {
    struct host host;       /* first: the engine's view of it */
    struct context context; /* our end of everything shared */
    struct engine *engine;  /* when it serves: the next one, or that of the loop of engines */
    struct engine plain;
    struct step_py step;
    uint64_t stream_outputs; /* those that HELLO calls streams: a bit each */
    bool is_serving;         /* the engine is made */
    bool is_turning;         /* an event loop of Python's sleeps, not we */
    bool is_child;           /* this is a forked copy, which must say nothing */
    bool is_copy;            /* this is one that becomes a worker of its own */
    PyObject *callbacks;     /* the object whose methods execute pipelines; owned */
    PyObject *exhausted;     /* stands for CHUNK_EXHAUSTED among a line's values; of the module */
    PyObject *traceback;     /* bytes that the failure at hand refers to; owned */
    struct buffer scratch;
};

/* ---- _ring_pack.c: between Python objects and msgpack ---------------------------------------- */

/* Writes one Python object, which `what` and `number` name in messages: "chunk 3 of type set cannot
 * be sent as JSON". MR_ITEM, or a negative number with the value's failure set; no Python exception
 * is left. */
int pack_object(struct host_py *host, struct mr_value *value, PyObject *object, const char *what,
                uint64_t number) MUST_USE;

/* A new Python object of what came with a request; a file is what file() of the callbacks makes of
 * its path. NULL with an exception. */
PyObject *unpack_object(const struct mr_object *object, PyObject *callbacks) MUST_USE;

/* ---- _ring_host.c: runs ---------------------------------------------------------------------- */

void host_py_init(struct host_py *host);

/* Says READY, and that runs may come from now on. */
void host_py_say_ready(struct host_py *host);

/* Calls a callback that begins a run: (key, run id, a tuple of its inputs). What it returns; NULL:
 * the worker's failure is set. */
PyObject *host_py_begin(struct host_py *host, const char *name, const struct job *job);

/* Calls a callback for the run whose result nobody needs. It should not raise; what it raises is
 * printed. */
void host_py_tell(struct host_py *host, const char *name, const struct job *job);

/* Turns the Python exception at hand into the worker's failure. */
void host_py_fail(struct host_py *host);

/* Sets the worker's failure from what describe() of the callbacks gave for an exception: (type,
 * message, traceback or None). False with a Python exception when it is something else. */
bool host_py_set_error(struct host_py *host, PyObject *description) MUST_USE;

/* The number that names a run to Python: of its slot and generation. */
uint64_t host_py_key(const struct reply_job *job);

/* The run of a key; NULL when another is in its place. */
struct job *host_py_find(struct host_py *host, uint64_t key);

/* Packs and sends one line of a driven run: `values` is a tuple with an item for each output. 1:
 * sent, 0: waits for the window, negative: the failure is set and the run has still to be ended. */
int host_py_send_line(struct host_py *host, struct job *job, PyObject *values) MUST_USE;

/* Packs a plain output of a driven run, which each of its lines repeats: an object that stands for
 * it among a line's values; a text that says why it cannot be sent; NULL with an exception. */
PyObject *host_py_pack(struct host_py *host, struct job *job, PyObject *object,
                       uint64_t number) MUST_USE;

/* The failure at hand as a text; it is cleared. */
PyObject *host_py_why(struct host_py *host) MUST_USE;

/* A forked copy of the worker that comes back into it ends here. */
void host_py_check_process(const struct host_py *host);

/* ---- _ring_step.c: engines ------------------------------------------------------------------ */

/* Says READY and drives an engine: None when it is over. */
PyObject *step_py_serve(struct host_py *host, int capacity);

/* Of a run: what its handle does (millrace_worker/_engine.py). Each is an exception when it is not
 * called as it has to be. */
PyObject *step_py_emit(struct host_py *host, PyObject *arguments);
PyObject *step_py_is_full(struct host_py *host, PyObject *key);
PyObject *step_py_is_cancelled(struct host_py *host, PyObject *key);
PyObject *step_py_end(struct host_py *host, PyObject *arguments);

/* From any thread, and at any time: nothing where no engine is served. */
void step_py_wake(const struct host_py *host);

/* ---- _ring_template.c: copies ---------------------------------------------------------------- */

/* Says READY and is a template from then on, with the dispatcher for a parent. Returns in each
 * copy, with its own attachment: a tuple of its index and a list of its variables. A text: there
 * can be none, and that is why; NULL with an exception. `fds` are descriptors that copies close. */
PyObject *template_py_serve(struct host_py *host, long parent, const char *confine, PyObject *fds);

/* Joins the segment and all that is at the descriptors of enum worker_fd, or leaves. */
void host_py_attach(struct host_py *host);

/* ---- _ring_hello.c: what is served ----------------------------------------------------------- */

/* Fills a graph from lists of dicts and sends HELLO. 0, or -1 with an exception. */
int hello_send_py(struct host_py *host, PyObject *name, PyObject *inputs,
                  PyObject *outputs) MUST_USE;

/* ---- _ring_batch.c: batched pipes; what each is called with is in _ring.c ------------------- */

PyObject *batch_py_create(const struct host_py *host, PyObject *arguments);
PyObject *batch_py_come(PyObject *capsule);
PyObject *batch_py_due(const struct host_py *host, PyObject *arguments);
PyObject *batch_py_begin(PyObject *arguments);
PyObject *batch_py_end(struct host_py *host, PyObject *capsule);
PyObject *batch_py_doubt(const struct host_py *host, PyObject *arguments);

#endif
