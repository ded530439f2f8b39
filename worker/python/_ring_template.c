/* SPDX-License-Identifier: MIT */
/* _ring_template.c - a template whose copies go on as workers: worker/template/, seen by Python. */
#include "worker/python/_ring.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "millrace/protocol.h"
#include "worker/engine/leave.h"
#include "worker/engine/message.h"
#include "worker/template/forkable.h"
#include "worker/template/template.h"

/* Descriptors of the Python half that its copies close, beside two of ours. */
#define OWN_FD_COUNT_MAX 8

static int template_py_check(const struct host_py *host, PyObject *fds,
                             char reason[FORKABLE_REASON_BYTES])
{
    int own[2 + OWN_FD_COUNT_MAX] = {host->context.attachment.epoll, host->context.attachment.wake};
    Py_ssize_t count = PyList_Size(fds);
    mr_assert(count <= OWN_FD_COUNT_MAX);
    for (Py_ssize_t i = 0; i < count; i++)
        own[2 + i] = (int)PyLong_AsLong(PyList_GetItem(fds, i));
    PyThreadState *state = PyEval_SaveThread(); /* so that threads can end that are about to */
    int rc = forkable_check(own, 2 + (size_t)count, reason);
    PyEval_RestoreThread(state);
    return rc;
}

static void template_py_before(void)
{
    PyOS_BeforeFork();
}

static void template_py_after(void)
{
    PyOS_AfterFork_Parent();
}

/* What the template had is not the copy's: the segment is not even mapped here. */
static void template_py_join(struct host_py *host, const struct newborn *newborn)
{
    close(host->context.attachment.epoll);
    close(host->context.attachment.wake);
    reply_finish(&host->context.reply);
    host->context = (struct context){.current = NULL};
    newborn_settle(newborn);
    host_py_attach(host);
    host->is_copy = true;
    PyOS_AfterFork_Child();
    host->is_copy = false;
}

static PyObject *template_py_result(const struct newborn *newborn)
{
    PyObject *variables = PyList_New((Py_ssize_t)newborn->variable_count);
    for (uint32_t i = 0; variables && i < newborn->variable_count; i++) {
        PyObject *variable = PyUnicode_DecodeFSDefault(newborn->variables[i]);
        if (!variable || PyList_SetItem(variables, (Py_ssize_t)i, variable) != 0)
            Py_CLEAR(variables);
    }
    return variables ? Py_BuildValue("(IN)", newborn->index, variables) : NULL;
}

PyObject *template_py_serve(struct host_py *host, long parent, const char *confine, PyObject *fds)
{
    char reason[FORKABLE_REASON_BYTES];
    struct newborn newborn;
    char *text = confine ? strdup(confine) : NULL;
    malloc_trim(0);
    if (template_py_check(host, fds, reason) < 0) {
        free(text);
        return PyUnicode_FromString(reason);
    }
    const struct template_options options = {.socket = host->context.attachment.socket,
                                             .parent = (pid_t)parent,
                                             .confine = text,
                                             .before = template_py_before,
                                             .after = template_py_after};
    template_name();
    fflush(NULL); /* what waits in a buffer of C code would be written by each copy */
    start_report_end(&host->context.report, options.socket);
    int rc = message_send(options.socket, MESSAGE_READY, NULL, 0);
    if (rc != 0)
        leave(WORKER_EXIT_ORPHAN, "READY was not sent: %s", strerror(-rc));
    template_serve(&options, &newborn);
    template_py_join(host, &newborn);
    return template_py_result(&newborn);
}
