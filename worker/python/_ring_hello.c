/* SPDX-License-Identifier: MIT */
/*
 * _ring_hello.c - a Python graph's variables become the graph that HELLO describes.
 */
#include "worker/python/_ring.h"

#include <errno.h>
#include <string.h>

#include "worker/engine/hello.h"

/* The texts of one input at a time, as bytes objects that live until the graph has copied them. */
#define HELLO_TEXT_COUNT_MAX 16u

struct hello_texts {
    PyObject *kept[HELLO_TEXT_COUNT_MAX];
    size_t count;
};

/* The type of a word of the API; MR_TYPE_COUNT and an exception when it is none. */
static enum mr_type hello_type(PyObject *word)
{
    PyObject *bytes = word ? PyUnicode_AsUTF8String(word) : NULL;
    enum mr_type type = MR_STRING;
    while (bytes && type < MR_TYPE_COUNT &&
           strcmp(object_type_word(type), PyBytes_AsString(bytes)) != 0)
        type++;
    Py_XDECREF(bytes);
    if (!bytes || type == MR_TYPE_COUNT) {
        PyErr_SetString(PyExc_ValueError, "a variable has no known type");
        return MR_TYPE_COUNT;
    }
    return type;
}

/* The text under a key, or NULL when there is none; *is_sound is false after an exception. */
static const char *hello_text(PyObject *input, const char *key, struct hello_texts *texts,
                              bool *is_sound)
{
    PyObject *text = PyDict_GetItemString(input, key);
    if (!text || text == Py_None)
        return NULL;
    PyObject *bytes = PyUnicode_AsUTF8String(text);
    if (!bytes) {
        *is_sound = false;
        return NULL;
    }
    mr_assert(texts->count < HELLO_TEXT_COUNT_MAX);
    texts->kept[texts->count++] = bytes;
    return PyBytes_AsString(bytes);
}

/* The number under a key, 0 when there is none. */
static size_t hello_number(PyObject *input, const char *key, bool *is_sound)
{
    PyObject *number = PyDict_GetItemString(input, key);
    if (!number || number == Py_None)
        return 0;
    size_t result = PyLong_AsSize_t(number);
    if (result == (size_t)-1 && PyErr_Occurred())
        *is_sound = false;
    return result;
}

static int hello_add_input(struct mr_builder *graph, PyObject *input)
{
    struct hello_texts texts = {.count = 0};
    bool is_sound = true;
    enum mr_type type = hello_type(PyDict_GetItemString(input, "type"));
    if (type == MR_TYPE_COUNT)
        return -1;
    PyObject *optional = PyDict_GetItemString(input, "optional");
    const struct mr_input_options options = {
        .type = type,
        .title = hello_text(input, "title", &texts, &is_sound),
        .description = hello_text(input, "description", &texts, &is_sound),
        .examples = hello_text(input, "examples", &texts, &is_sound),
        .default_json = hello_text(input, "default", &texts, &is_sound),
        .choices = hello_text(input, "choices", &texts, &is_sound),
        .gt = hello_text(input, "gt", &texts, &is_sound),
        .ge = hello_text(input, "ge", &texts, &is_sound),
        .lt = hello_text(input, "lt", &texts, &is_sound),
        .le = hello_text(input, "le", &texts, &is_sound),
        .multiple_of = hello_text(input, "multiple_of", &texts, &is_sound),
        .min_length = hello_number(input, "min_length", &is_sound),
        .max_length = hello_number(input, "max_length", &is_sound),
        .optional = optional == Py_True,
    };
    const char *schema = hello_text(input, "schema", &texts, &is_sound);
    const char *files = hello_text(input, "files", &texts, &is_sound);
    if (is_sound) { /* graph_check() tells what is wrong */
        mr_variable variable = graph_input(graph, &options);
        if (schema && variable.index_ >= 0)
            graph_input_schema(graph, variable, schema);
        if (files && variable.index_ >= 0)
            graph_input_files(graph, variable, files);
    }
    for (size_t i = 0; i < texts.count; i++)
        Py_DECREF(texts.kept[i]);
    return is_sound ? 0 : -1;
}

/* Stands for whatever gives an output: the graph here is a description, and never runs. */
static int hello_no_pipe(struct mr_call *call)
{
    (void)call;
    return -ENOSYS;
}

static int hello_fill(struct host_py *host, struct mr_builder *graph, PyObject *inputs,
                      PyObject *outputs)
{
    for (Py_ssize_t i = 0; i < PyList_Size(inputs); i++)
        if (hello_add_input(graph, PyList_GetItem(inputs, i)) != 0)
            return -1;
    for (Py_ssize_t i = 0; i < PyList_Size(outputs); i++) {
        const int type = (int)hello_type(PyList_GetItem(outputs, i));
        if (type == MR_TYPE_COUNT)
            return -1;
        graph_output(graph, graph_pipe(graph, hello_no_pipe, "output", &type, 1));
        if (type == MR_STREAM && i < OUTPUT_COUNT_MAX)
            host->stream_outputs |= UINT64_C(1) << i;
    }
    const char *mistake = graph_check(graph);
    if (!mistake)
        return 0;
    PyErr_SetString(PyExc_ValueError, mistake);
    return -1;
}

int hello_send_py(struct host_py *host, PyObject *name, PyObject *inputs, PyObject *outputs)
{
    PyObject *text = PyUnicode_AsUTF8String(name);
    struct mr_builder *graph = calloc(1, sizeof *graph);
    int rc = -1;
    if (!graph)
        PyErr_NoMemory();
    start_report_flush(&host->context.report, host->context.attachment.socket);
    if (text && graph && hello_fill(host, graph, inputs, outputs) == 0) {
        rc = hello_send(host->context.attachment.socket, graph, PyBytes_AsString(text),
                        host->context.attachment.segment.options.slot_count);
        if (rc == -EMSGSIZE)
            PyErr_SetString(PyExc_ValueError,
                            "titles, descriptions, choices and schemas are too long together");
        else if (rc != 0)
            PyErr_SetString(PyExc_OSError, strerror(-rc));
    }
    if (graph)
        graph_finish(graph);
    free(graph);
    Py_XDECREF(text);
    return rc == 0 ? 0 : -1;
}
