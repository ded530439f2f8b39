/* SPDX-License-Identifier: MIT */
/*
 * _ring_pack.c - Python objects are packed straight into the value at hand; inputs become objects.
 *
 * Exact types come first, since most values are of those. What the types of this file cannot hold
 * is a failure that names the type: nothing is turned into text silently.
 */
#include "worker/python/_ring.h"

#include <errno.h>
#include <string.h>

#define TYPE_NAME_BYTES 128u

/* What is packed, for the message when it cannot be. */
struct pack_place {
    struct host_py *host;
    PyObject *object; /* borrowed */
    const char *what;
    uint64_t number;
};

static int pack_container(struct mr_value *value, PyObject *object, const struct pack_place *place);
static int pack_other(struct mr_value *value, PyObject *object, const struct pack_place *place);

/* ---- failures ------------------------------------------------------------------------------ */

/* The name of an object's type. Leaves no exception. */
static void pack_type_name(PyObject *object, char name[TYPE_NAME_BYTES])
{
    snprintf(name, TYPE_NAME_BYTES, "?");
    PyObject *text = PyObject_GetAttrString((PyObject *)Py_TYPE(object), "__name__");
    PyObject *bytes = text ? PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace") : NULL;
    if (bytes)
        snprintf(name, TYPE_NAME_BYTES, "%s", PyBytes_AsString(bytes));
    Py_XDECREF(bytes);
    Py_XDECREF(text);
    PyErr_Clear();
}

static int pack_refuse(struct mr_value *value, PyObject *object, const struct pack_place *place,
                       const char *why)
{
    char whole[TYPE_NAME_BYTES];
    char part[TYPE_NAME_BYTES];
    bool is_part = object != place->object;
    PyErr_Clear();
    pack_type_name(place->object, whole);
    pack_type_name(object, part);
    error_set(value->error, ERROR_PIPELINE,
              "TypeError: %s %llu of type %s cannot be sent as JSON%s%s%s%s", place->what,
              (unsigned long long)place->number, whole,
              is_part ? ": it holds a value of type " : "", is_part ? part : "", *why ? ": " : "",
              why);
    value->status = -EINVAL;
    return -EINVAL;
}

/* The failures of value.c say what is wrong, not where. */
static int pack_explain(struct mr_value *value, int rc, const struct pack_place *place)
{
    struct error *error = value->error;
    if (rc > 0 || strncmp(error->text, "TypeError: ", strlen("TypeError: ")) == 0)
        return rc;
    char text[256];
    snprintf(text, sizeof text, "%.*s", (int)(sizeof text - 1), error->text);
    error_set(error, error->type, "ValueError: %s %llu: %s", place->what,
              (unsigned long long)place->number, text);
    return rc;
}

/* ---- packing ------------------------------------------------------------------------------- */

int pack_object(struct host_py *host, struct mr_value *value, PyObject *object, const char *what,
                uint64_t number)
{
    const struct pack_place place = {
        .host = host, .object = object, .what = what, .number = number};
    return pack_explain(value, pack_container(value, object, &place), &place);
}

/* A file that the callbacks have opened, or why they have not. */
static int pack_opened(struct mr_value *value, PyObject *object, PyObject *opened,
                       const struct pack_place *place)
{
    struct job *job = place->host->context.current;
    int fd;
    const char *name;
    if (PyArg_ParseTuple(opened, "is", &fd, &name))
        return out_files_give(&job->files, value, fd, name,
                              PyBytes_Check(object) ? " (bytes that are no text in UTF-8)" : NULL);
    PyErr_Clear();
    PyObject *why = PyUnicode_AsEncodedString(opened, "utf-8", "backslashreplace");
    int rc = pack_refuse(value, object, place, why ? PyBytes_AsString(why) : "it is no file");
    Py_XDECREF(why);
    return rc;
}

/* A value that may be a file. `advice` is for one that is none. */
static int pack_file(struct mr_value *value, PyObject *object, const struct pack_place *place,
                     const char *advice)
{
    struct host_py *host = place->host;
    if (!host->context.current)
        return pack_refuse(value, object, place, advice);
    PyObject *opened = PyObject_CallMethod(host->callbacks, "given", "O", object);
    if (!opened) {
        host_py_fail(host);
        value->status = -ECANCELED;
        return value->status;
    }
    int rc = opened == Py_None ? pack_refuse(value, object, place, advice)
                               : pack_opened(value, object, opened, place);
    Py_DECREF(opened);
    return rc;
}

/* Text, or a file of what is none. */
static int pack_bytes(struct mr_value *value, PyObject *object, const char *data, Py_ssize_t count,
                      const struct pack_place *place)
{
    PyObject *text = PyUnicode_DecodeUTF8(data, count, NULL);
    if (text) {
        Py_DECREF(text);
        return value_bytes(value, data, (size_t)count);
    }
    PyErr_Clear();
    return pack_file(value, object, place, "it is no text in UTF-8");
}

static int pack_string(struct mr_value *value, PyObject *object, const struct pack_place *place)
{
    PyObject *bytes = PyUnicode_AsUTF8String(object);
    if (!bytes)
        return pack_refuse(value, object, place, "it has a surrogate without its other half");
    int rc = value_string(value, PyBytes_AsString(bytes), (size_t)PyBytes_Size(bytes));
    Py_DECREF(bytes);
    return rc;
}

static int pack_integer(struct mr_value *value, PyObject *object, const struct pack_place *place)
{
    int overflow;
    long long integer = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow == 0)
        return value_integer(value, integer);
    unsigned long long natural = overflow > 0 ? PyLong_AsUnsignedLongLong(object) : 0;
    if (overflow < 0 || PyErr_Occurred())
        return pack_refuse(value, object, place, "it does not fit into 64 bits");
    return value_natural(value, natural);
}

static int pack_list(struct mr_value *value, PyObject *object, const struct pack_place *place,
                     bool is_list)
{
    Py_ssize_t count = is_list ? PyList_Size(object) : PyTuple_Size(object);
    int rc = value_array(value, (size_t)count);
    for (Py_ssize_t i = 0; rc > 0 && i < count; i++) {
        PyObject *item = is_list ? PyList_GetItem(object, i) : PyTuple_GetItem(object, i);
        if (!item)
            return pack_refuse(value, object, place, "it became shorter meanwhile");
        Py_INCREF(item);
        rc = pack_container(value, item, place);
        Py_DECREF(item);
    }
    return rc;
}

static int pack_dictionary(struct mr_value *value, PyObject *object, const struct pack_place *place)
{
    Py_ssize_t count = PyDict_Size(object);
    Py_ssize_t position = 0;
    int rc = value_dictionary(value, (size_t)count);
    for (Py_ssize_t i = 0; rc > 0 && i < count; i++) {
        PyObject *key;
        PyObject *item;
        if (!PyDict_Next(object, &position, &key, &item))
            return pack_refuse(value, object, place, "it became smaller meanwhile");
        Py_INCREF(key);
        Py_INCREF(item);
        if (PyUnicode_Check(key))
            rc = pack_string(value, key, place);
        else
            rc = pack_refuse(value, key, place, "a key of a dict must be a str");
        if (rc > 0)
            rc = pack_container(value, item, place);
        Py_DECREF(key);
        Py_DECREF(item);
    }
    return rc;
}

/* One value, with all in it. Recursion ends at VALUE_CONTAINER_DEPTH_MAX, as value.c refuses to go
 * deeper. */
static int pack_container(struct mr_value *value, PyObject *object, const struct pack_place *place)
{
    if (PyUnicode_Check(object))
        return pack_string(value, object, place);
    if (PyBool_Check(object))
        return value_boolean(value, object == Py_True);
    if (PyLong_Check(object))
        return pack_integer(value, object, place);
    if (PyFloat_Check(object))
        return value_fp(value, PyFloat_AsDouble(object));
    if (object == Py_None)
        return value_none(value);
    if (PyDict_Check(object))
        return pack_dictionary(value, object, place);
    if (PyList_Check(object) || PyTuple_Check(object))
        return pack_list(value, object, place, PyList_Check(object));
    if (PyBytes_Check(object))
        return pack_bytes(value, object, PyBytes_AsString(object), PyBytes_Size(object), place);
    if (PyObject_TypeCheck(object, &PyByteArray_Type))
        return pack_bytes(value, object, PyByteArray_AsString(object), PyByteArray_Size(object),
                          place);
    return pack_other(value, object, place);
}

/* What to write instead of a value that is none of JSON's, which is told by what it can do; "" when
 * nothing is known of it. */
static const char *pack_advice(PyObject *object)
{
    static const struct {
        const char *attribute;
        const char *advice;
    } known[] = {
        {"getbands", "it is an image: the io.BytesIO that its save() writes to can, as a file, and "
                     "base64.b64encode() of that, decoded to a str"},
        {"isoformat", "its isoformat() makes what can"},
        {"__fspath__", "it is a path: File(path=...) of it can, as a file"},
        {"readinto", "it can be read: what its read() gives can"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(known); i++)
        if (PyObject_HasAttrString(object, known[i].attribute))
            return known[i].advice;
    return "";
}

/* Scalars of array libraries have a dtype and give a Python number by item(); others that are
 * integers say so by __index__(). */
static int pack_other(struct mr_value *value, PyObject *object, const struct pack_place *place)
{
    PyObject *number = NULL;
    if (PyObject_HasAttrString(object, "dtype")) {
        PyObject *shape = PyObject_GetAttrString(object, "shape");
        bool is_scalar = shape && PyObject_Size(shape) == 0;
        Py_XDECREF(shape);
        if (!is_scalar)
            return pack_refuse(value, object, place, "its tolist() makes what can");
        number = PyObject_CallMethod(object, "item", NULL);
    } else if (PyIndex_Check(object)) {
        number = PyNumber_Index(object);
    }
    if (!number)
        PyErr_Clear(); /* what is said instead is that it cannot be sent */
    bool is_number = number && (PyBool_Check(number) || PyLong_Check(number) ||
                                PyFloat_Check(number) || PyUnicode_Check(number));
    int rc = is_number ? pack_container(value, number, place)
                       : pack_file(value, object, place, pack_advice(object));
    Py_XDECREF(number);
    return rc;
}

/* ---- unpacking ----------------------------------------------------------------------------- */

static PyObject *unpack_array(const struct mr_object *object, PyObject *callbacks)
{
    PyObject *list = PyList_New((Py_ssize_t)object->u.array.count);
    for (size_t i = 0; list && i < object->u.array.count; i++) {
        PyObject *item = unpack_object(&object->u.array.items[i], callbacks);
        /* Takes the item, also when it fails. */
        if (!item || PyList_SetItem(list, (Py_ssize_t)i, item) != 0)
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *unpack_dictionary(const struct mr_object *object, PyObject *callbacks)
{
    PyObject *dict = PyDict_New();
    for (size_t i = 0; dict && i < object->u.dictionary.count; i++) {
        PyObject *key = unpack_object(&object->u.dictionary.pairs[i].key, callbacks);
        PyObject *item =
            key ? unpack_object(&object->u.dictionary.pairs[i].value, callbacks) : NULL;
        if (!item || PyDict_SetItem(dict, key, item) != 0)
            Py_CLEAR(dict);
        Py_XDECREF(key);
        Py_XDECREF(item);
    }
    return dict;
}

PyObject *unpack_object(const struct mr_object *object, PyObject *callbacks)
{
    switch (object->type) {
    case MR_STRING:
        return PyUnicode_DecodeUTF8(object->u.string.bytes, (Py_ssize_t)object->u.string.count,
                                    NULL);
    case MR_INTEGER:
        return object->is_unsigned ? PyLong_FromUnsignedLongLong(object->u.natural)
                                   : PyLong_FromLongLong(object->u.integer);
    case MR_FP:
        return PyFloat_FromDouble(object->u.fp);
    case MR_BOOLEAN:
        return PyBool_FromLong(object->u.boolean);
    case MR_NONE:
        Py_RETURN_NONE;
    case MR_ARRAY:
        return unpack_array(object, callbacks);
    case MR_DICTIONARY:
        return unpack_dictionary(object, callbacks);
    case MR_FILE:
        return PyObject_CallMethod(callbacks, "file", "s", object->u.file.path);
    case MR_STREAM:
    case MR_TYPE_COUNT:
        break;
    }
    PyErr_SetString(PyExc_SystemError, "an input of no known type");
    return NULL;
}
