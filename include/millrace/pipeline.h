/* SPDX-License-Identifier: MIT */
/*
 * millrace/pipeline.h - write a pipeline in C or C++.
 *
 * A pipeline is a shared object that this header alone is enough for: there is nothing to link. The
 * functions come as a table when millrace-worker loads the object.
 *
 *     #include <millrace/pipeline.h>
 *
 *     static int greet(struct mr_call *call)
 *     {
 *         return mr_value_stringf(mr_return(call), "hello %s", mr_arg_string(call, 0));
 *     }
 *
 *     MR_PIPELINE(greeter)
 *     {
 *         mr_variable name = mr_input(builder, MR_STRING, .title = "name");
 *         mr_output(builder, mr_pipe(builder, greet, MR_STRING, name));
 *     }
 *
 *     cc -shared -fPIC greet.c -o greet.so $(pkg-config --cflags millrace)
 *     millrace serve me/greeter:v1=greet.so:greeter
 *
 * Everything here is called from the one thread in which millrace calls you, but for mr_wake(),
 * mr_waker_hold(), mr_waker_release(), pipeline_device.h and, without a run, mr_log(). Runs are
 * interleaved on that thread when the server was started with --concurrency above 1: an iterator
 * that has nothing yet says so with an mr_later function instead of sleeping.
 *
 * Text is UTF-8. A chunk whose text is not ends the run with an error that says so.
 */
#ifndef MILLRACE_PIPELINE_H
#define MILLRACE_PIPELINE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A change that old shared objects cannot live with raises the version; additions grow the
 * table. */
#define MR_API_VERSION 1u

/* The types are called what they are called on the wire, and so are the functions: an fp is a
 * double, a natural is an unsigned integer, a dictionary is a map with strings for keys. */
enum mr_type {
    MR_STRING = 0,
    MR_INTEGER,
    MR_FP,
    MR_BOOLEAN,
    MR_NONE,
    MR_ARRAY,
    MR_DICTIONARY,
    MR_STREAM, /* of a pipe: its result is an iterator's items, one a line */
    MR_FILE,   /* as an input: a local copy for this run; as a value: mr_value_file() */
    MR_TYPE_COUNT
};

/* What next() and pipes return; any negative number is a failure. */
enum mr_result {
    MR_END = 0,  /* the iterator is exhausted */
    MR_ITEM = 1, /* one value was written */
    MR_LATER = 2 /* pending: nothing yet; an mr_later function said when to ask again */
};

/* The kinds of failure clients can be told; docs/internals/protocol.md has the words they see. */
enum mr_error {
    MR_ERROR_INPUT = 0,
    MR_ERROR_CUDA_OOM,
    MR_ERROR_CUDA,
    MR_ERROR_OOM,
    MR_ERROR_PIPELINE,
    MR_ERROR_STARTUP,
    MR_ERROR_LOADING,
    MR_ERROR_TIMEOUT,
    MR_ERROR_UNKNOWN
};

enum mr_log_level { MR_LOG_DEBUG = 0, MR_LOG_INFO, MR_LOG_WARNING, MR_LOG_ERROR };

struct mr_builder; /* the graph being built; valid inside MR_PIPELINE */
struct mr_call;    /* one call of one pipe; valid until the pipe returns */
struct mr_value;   /* one value being written, straight into shared memory */
struct mr_waker;   /* what other threads wake a run with */
struct mr_run;     /* one run of an engine: pipeline_engine.h */
struct mr_engine;

/* A handle of the graph: an input, or the result of a pipe. Where the call that should have made it
 * failed the pipeline will not load; there is nothing to check. A struct, so that no type word,
 * which is an int, can be passed for one; its member is not for you. */
typedef struct mr_variable {
    int index_;
} mr_variable;

/* ---- input values, read only --------------------------------------------------------------- */

struct mr_pair;

/* A value that came with the request. All memory belongs to the run and lives until it ends. */
struct mr_object {
    enum mr_type type;
    bool is_unsigned; /* MR_INTEGER above INT64_MAX: read it from u.natural */
    union {
        bool boolean;
        int64_t integer;
        uint64_t natural;
        double fp;
        struct {
            const char *bytes; /* NUL-terminated; may hold further NULs inside */
            size_t count;
        } string;
        struct {
            const char *path; /* absolute, to be read until the run ends */
            const char *name; /* as its client calls it, made safe: the last part of the path */
        } file;
        struct {
            const struct mr_object *items;
            size_t count;
        } array;
        struct {
            const struct mr_pair *pairs; /* in the order of the request */
            size_t count;
        } dictionary;
    } u;
};

struct mr_pair {
    struct mr_object key; /* always MR_STRING */
    struct mr_object value;
};

/* ---- the graph ----------------------------------------------------------------------------- */

/* One result of a pipeline, item by item. The runtime calls next() until MR_END, a failure or a
 * cancellation, and then close() exactly once, also when the run is cancelled. */
struct mr_iterator {
    void *state;
    int (*next)(void *state, struct mr_value *out); /* MR_ITEM, MR_END, MR_LATER, or a failure */
    void (*close)(void *state);                     /* may be NULL */
};

/* A pipe reads its arguments from `call` and answers with mr_return_stream(), with one value
 * written to mr_return(), or with a failure. */
typedef int mr_pipe_fn(struct mr_call *call);

/* A batched pipe answers each of `count` calls, one or more, in the same way: mr_return(calls[i]),
 * mr_return_stream(), or mr_fail(), which fails that one alone. It returns 0, or a failure of all
 * that have no result by then. Runs that were cancelled meanwhile get none of it. */
typedef int mr_batch_fn(struct mr_call *const *calls, size_t count);

/* Lets C++ compilers see that members left out of { .title = "text" } are meant to be. */
#if defined(__cplusplus) && __cplusplus >= 201402L
#define MR_UNSAID_ = {}
#else
#define MR_UNSAID_
#endif

/* What clients can see of an input. `type` is enforced; limits are metadata, as in `pipeline`.
 * NULL and 0 mean "not said". Number limits are text, so that integers stay exact. */
struct mr_input_options {
    enum mr_type type MR_UNSAID_;
    bool optional MR_UNSAID_; /* null is accepted */
    const char *title MR_UNSAID_;
    const char *description MR_UNSAID_;
    const char *examples MR_UNSAID_;     /* JSON text */
    const char *default_json MR_UNSAID_; /* JSON text; taken when left out or null */
    const char *choices MR_UNSAID_;      /* JSON text of an array */
    const char *gt MR_UNSAID_;
    const char *ge MR_UNSAID_;
    const char *lt MR_UNSAID_;
    const char *le MR_UNSAID_;
    const char *multiple_of MR_UNSAID_;
    size_t min_length MR_UNSAID_;
    size_t max_length MR_UNSAID_;
};

#include <millrace/pipeline_table.h>

#define MR_PRINTF_(text, first) __attribute__((format(printf, text, first)))

/* Defines the pipeline `NAME`; its body builds the graph on `builder` and runs once, at load. */
#define MR_PIPELINE(NAME)                                                                          \
    static void mr_define_##NAME(struct mr_builder *builder);                                      \
    __attribute__((constructor)) static void mr_export_##NAME(void)                                \
    {                                                                                              \
        static struct mr_export entry;                                                             \
        entry.version = MR_API_VERSION;                                                            \
        entry.api_bytes = (uint32_t)sizeof(struct mr_api);                                         \
        entry.name = #NAME;                                                                        \
        entry.define = mr_define_##NAME;                                                           \
        entry.api = &mr_api_;                                                                      \
        entry.next = mr_exports_;                                                                  \
        mr_exports_ = &entry;                                                                      \
    }                                                                                              \
    static void mr_define_##NAME(struct mr_builder *builder)

/* ---- building ------------------------------------------------------------------------------ */

/* Adds an input: mr_input(builder, MR_STRING, .title = "text", .optional = true). Inputs are taken
 * from the request by position. In C++: mr_input(builder, MR_STRING, {.title = "text"}). */
#ifndef __cplusplus
#define mr_input(builder, ...)                                                                     \
    mr_api_->builder_input(builder, &(const struct mr_input_options){.type = __VA_ARGS__})
#endif

/* Adds a pipe: mr_pipe(builder, function, TYPE, input...). Inputs are variables that exist already,
 * 64 at most; the result can be an output, and an input of later pipes, unless it is a stream or
 * has files that mr_value_file() wrote. */
#ifdef __cplusplus
#define mr_pipe(builder, function, ...) mr_pipe_(builder, function, #function, __VA_ARGS__)
#else
#define mr_pipe(builder, function, ...)                                                            \
    mr_api_->builder_pipe(builder, function, #function,                                            \
                          (const int[]){MR_WORDS_(MR_COUNT_(__VA_ARGS__), __VA_ARGS__, )},         \
                          1 + MR_COUNT_(__VA_ARGS__))
#endif

/* What the table takes of a type and of a variable, and the compiler of nothing else. */
static inline int mr_type_(enum mr_type type)
{
    return (int)type;
}

static inline int mr_index_(mr_variable variable)
{
    return variable.index_;
}

/* Says what may be inside of an input, a dictionary mostly: JSON text of an object, which is a JSON
 * Schema (2020-12). Clients can see it and make forms of it; like limits it is not enforced. */
static inline void mr_input_schema(struct mr_builder *builder, mr_variable input, const char *json)
{
    mr_api_->builder_input_schema(builder, input, json);
}

/* Makes a variable an output. With several, every line carries one value of each: streams advance
 * together, a plain value is repeated, an exhausted stream gives none. */
static inline void mr_output(struct mr_builder *builder, mr_variable variable)
{
    mr_api_->builder_output(builder, variable);
}

#include <millrace/pipeline_start.h>

/* Gives the pipeline a state that all its pipes see as mr_state(call). `destroy` (or NULL) is
 * called when the worker stops in an orderly way. */
static inline void mr_set_state(struct mr_builder *builder, void *state,
                                void (*destroy)(void *state))
{
    mr_api_->builder_state(builder, state, destroy);
}

/* ---- inside a pipe ------------------------------------------------------------------------- */

static inline size_t mr_arg_count(struct mr_call *call)
{
    return mr_api_->arg_count(call);
}

/* Argument `index`, whose type is the one the graph declares (or MR_NONE where that is optional).
 * An index past the end ends the worker: it is a mistake of the pipeline. */
static inline const struct mr_object *mr_arg(struct mr_call *call, size_t index)
{
    return mr_api_->arg(call, index);
}

/* The text of a string argument, NULL when it is none. Use mr_arg() for text that may hold NULs. */
static inline const char *mr_arg_string(struct mr_call *call, size_t index)
{
    const struct mr_object *object = mr_api_->arg(call, index);
    return object->type == MR_STRING ? object->u.string.bytes : NULL;
}

/* An integer argument; a boolean counts as 0 or 1, none as 0. */
static inline int64_t mr_arg_integer(struct mr_call *call, size_t index)
{
    const struct mr_object *object = mr_api_->arg(call, index);
    if (object->type == MR_BOOLEAN)
        return object->u.boolean ? 1 : 0;
    return object->type == MR_INTEGER ? object->u.integer : 0;
}

/* A number argument as a double, from an fp or an integer; none is 0. */
static inline double mr_arg_fp(struct mr_call *call, size_t index)
{
    const struct mr_object *object = mr_api_->arg(call, index);
    if (object->type == MR_FP)
        return object->u.fp;
    if (object->type == MR_INTEGER && object->is_unsigned)
        return (double)object->u.natural;
    return (double)mr_arg_integer(call, index);
}

static inline bool mr_arg_boolean(struct mr_call *call, size_t index)
{
    return mr_arg_integer(call, index) != 0;
}

/* The path of a file argument, NULL when it is none. The file can be read until the run ends;
 * mr_arg() has its name, too. */
static inline const char *mr_arg_file(struct mr_call *call, size_t index)
{
    const struct mr_object *object = mr_api_->arg(call, index);
    return object->type == MR_FILE ? object->u.file.path : NULL;
}

/* Says which members of a dictionary input are files: JSON text of an array of their keys. A client
 * gives them as files, and the dictionary has objects of type MR_FILE there. */
static inline void mr_input_files(struct mr_builder *builder, mr_variable input, const char *json)
{
    mr_api_->builder_input_files(builder, input, json);
}

/* The value under `key` of a dictionary; NULL when it has none or is no dictionary. */
static inline const struct mr_object *mr_object_get(const struct mr_object *object, const char *key)
{
    if (object->type != MR_DICTIONARY)
        return NULL;
    size_t count = 0;
    while (key[count] != '\0')
        count++;
    for (size_t i = 0; i < object->u.dictionary.count; i++) {
        const struct mr_pair *pair = &object->u.dictionary.pairs[i];
        bool same = pair->key.u.string.count == count;
        for (size_t k = 0; same && k < count; k++)
            same = pair->key.u.string.bytes[k] == key[k];
        if (same)
            return &pair->value;
    }
    return NULL;
}

/* The pointer given to mr_set_state(), else NULL. */
static inline void *mr_state(struct mr_call *call)
{
    return mr_api_->call_state(call);
}

/* Memory of the run, zeroed and aligned for any type. It is freed when the run has ended and its
 * iterators are closed, so a state that lies in it needs no close(). A run can take 64 MiB of it.
 *
 * NULL when there is none left, or when a startup hook asks, which has no run. The call has failed
 * then and knows why: return any negative number. */
static inline void *mr_alloc(struct mr_call *call, size_t bytes)
{
    return mr_api_->call_alloc(call, bytes);
}

/* Where a pipe writes its one plain result: return mr_value_integer(mr_return(call), 5). */
static inline struct mr_value *mr_return(struct mr_call *call)
{
    return mr_api_->call_return(call);
}

/* Answers with an iterator, which is copied. close() is called whatever happens next. */
static inline int mr_return_stream(struct mr_call *call, const struct mr_iterator *iterator)
{
    return mr_api_->return_stream(call, iterator);
}

/* Fails the run: return mr_fail(call, MR_ERROR_INPUT, "no such file: %s", path). */
MR_PRINTF_(3, 4)
static inline int mr_fail(struct mr_call *call, enum mr_error error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = mr_api_->call_vfail(call, error, format, arguments);
    va_end(arguments);
    return result;
}

/* ---- writing a value ----------------------------------------------------------------------- */

/* Each writes one value and returns MR_ITEM, or a failure to hand on (the value is too large, or
 * the values do not match what an enclosing array or dictionary announced).
 *
 * A failure sticks: every later call on the same value returns it again and writes nothing. So only
 * the last call's result needs to be looked at, and returned. */
static inline int mr_value_none(struct mr_value *value)
{
    return mr_api_->value_none(value);
}

static inline int mr_value_boolean(struct mr_value *value, bool boolean)
{
    return mr_api_->value_boolean(value, boolean);
}

static inline int mr_value_integer(struct mr_value *value, int64_t integer)
{
    return mr_api_->value_integer(value, integer);
}

/* For integers above INT64_MAX. */
static inline int mr_value_natural(struct mr_value *value, uint64_t natural)
{
    return mr_api_->value_natural(value, natural);
}

/* NaN and infinities reach clients as null: JSON has no word for them. */
static inline int mr_value_fp(struct mr_value *value, double fp)
{
    return mr_api_->value_fp(value, fp);
}

/* `count` bytes of UTF-8, NULs included. */
static inline int mr_value_string(struct mr_value *value, const char *bytes, size_t count)
{
    return mr_api_->value_string(value, bytes, count);
}

MR_PRINTF_(2, 3)
static inline int mr_value_stringf(struct mr_value *value, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = mr_api_->value_vstringf(value, format, arguments);
    va_end(arguments);
    return result;
}

/* Bytes that reach the client as a string when they are UTF-8; else the run fails and says so. */
static inline int mr_value_bytes(struct mr_value *value, const void *bytes, size_t count)
{
    return mr_api_->value_bytes(value, bytes, count);
}

/* A file, which the server keeps (--files DIR) and the client can download: the one that lies at
 * `path`, under `name` (NULL: the last part of the path). What is in it then is copied before
 * next() is called again, and it may be written over or removed after that. Any value can have
 * files, 64 a line at most, also within arrays and dictionaries. A file that the server cannot keep
 * ends the run with a failure that says why. */
static inline int mr_value_file(struct mr_value *value, const char *path, const char *name)
{
    return mr_api_->value_file(value, path, name);
}

/* The same of an open file, from its first byte to its last: a file of memory (memfd_create(2)), or
 * one that has no name any more. The descriptor stays the caller's, who may close it at once.
 * `name` NULL: "output.bin". */
static inline int mr_value_file_fd(struct mr_value *value, int fd, const char *name)
{
    return mr_api_->value_file_fd(value, fd, name);
}

/* Opens an array: the next `count` values written are its items, containers included. */
static inline int mr_value_array(struct mr_value *value, size_t count)
{
    return mr_api_->value_array(value, count);
}

/* Opens a dictionary: the next `count` pairs are a string (the key) and any value. */
static inline int mr_value_dictionary(struct mr_value *value, size_t count)
{
    return mr_api_->value_dictionary(value, count);
}

/* Writes an input value back as it came. */
static inline int mr_value_object(struct mr_value *value, const struct mr_object *object)
{
    return mr_api_->value_object(value, object);
}

/* "Nothing yet": return mr_later_ms(out, 100) from next(), and it is called again in 100 ms, or as
 * soon after as the lines of others that were due have been taken, and after an hour at the latest.
 * Other runs of the worker go on meanwhile. */
static inline int mr_later_ms(struct mr_value *value, uint64_t ms)
{
    return mr_api_->value_later_ms(value, ms);
}

/* The same, at a time of CLOCK_MONOTONIC: for a pace that does not drift. */
static inline int mr_later_at_ns(struct mr_value *value, uint64_t monotonic_ns)
{
    return mr_api_->value_later_at_ns(value, monotonic_ns);
}

/* "Nothing until I am woken": next() is called again after the next mr_wake() of the run, and after
 * an hour at the latest. How long that may take is not said, so the server's --progress-timeout
 * (10 min) ends a run that nobody wakes. */
static inline int mr_later(struct mr_value *value)
{
    return mr_api_->value_later(value);
}

/* "Nothing until this descriptor is ready": next() is called again when `fd` is ready for `events`,
 * which are those of poll(2), or has an error or a hang-up; in `ms` at the latest. The descriptor
 * stays open until next() or close() is called; one run at a time can wait for it. Other than
 * sockets, pipes, eventfds, timerfds and devices, files cannot be waited for: the run fails. */
static inline int mr_later_poll(struct mr_value *value, int fd, short events, uint64_t ms)
{
    return mr_api_->value_later_poll(value, fd, events, ms);
}

/* Fails the run from next(): return mr_value_fail(out, MR_ERROR_CUDA, "..."). */
MR_PRINTF_(3, 4)
static inline int mr_value_fail(struct mr_value *value, enum mr_error error, const char *format,
                                ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = mr_api_->value_vfail(value, error, format, arguments);
    va_end(arguments);
    return result;
}

/* ---- other threads ------------------------------------------------------------------------- */

/* What another thread, or a callback of a device, wakes a run with when it has something for it.
 * All wakers of a run are the same one, counted: each that mr_waker_get() and mr_waker_hold() give
 * is released once, by whatever thread, during the run or long after it.
 *
 * Woken is the run, not next(): an iterator that answered with any mr_later function is asked again
 * at once. Whatever was written before mr_wake() is seen by that call of next(). No wake is lost:
 * one that comes before the answer counts, too. Several may come to one; so next() looks whether
 * there really is something. Waking a run that has ended does nothing.
 *
 * mr_waker_get() is for pipes: NULL means that the call has failed and knows why. The others may be
 * called from any thread, and mr_wake() from a signal handler, too. */
static inline struct mr_waker *mr_waker_get(struct mr_call *call)
{
    return mr_api_->waker_get(call);
}

static inline struct mr_waker *mr_waker_hold(struct mr_waker *waker)
{
    return mr_api_->waker_hold(waker);
}

/* NULL is fine. */
static inline void mr_waker_release(struct mr_waker *waker)
{
    mr_api_->waker_release(waker);
}

static inline void mr_wake(struct mr_waker *waker)
{
    mr_api_->waker_wake(waker);
}

#include <millrace/pipeline_batch.h>
#include <millrace/pipeline_engine.h>

/* ---- the run at hand ----------------------------------------------------------------------- */

/* True when the client left or the run was cancelled: long computations poll it and return. */
static inline bool mr_cancelled(void)
{
    return mr_api_->cancelled();
}

/* "run_" and 32 hex digits, or "" outside any run. */
static inline const char *mr_run_id(void)
{
    return mr_api_->run_id();
}

#include <millrace/pipeline_device.h>

/* One line of the server's log, tagged with worker and run. stdout and stderr end up there too. */
MR_PRINTF_(2, 3)
static inline void mr_log(enum mr_log_level level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    mr_api_->vlog(level, format, arguments);
    va_end(arguments);
}

#ifdef __cplusplus
} /* extern "C" */

static inline mr_variable mr_input(struct mr_builder *builder, enum mr_type type,
                                   mr_input_options options = {})
{
    options.type = type;
    return mr_api_->builder_input(builder, &options);
}

template <typename... Inputs>
static inline mr_variable mr_pipe_(struct mr_builder *builder, mr_pipe_fn *function,
                                   const char *name, enum mr_type type, Inputs... inputs)
{
    const int words[] = {mr_type_(type), mr_index_(inputs)...};
    return mr_api_->builder_pipe(builder, function, name, words, sizeof(words) / sizeof(int));
}
#endif

#endif
