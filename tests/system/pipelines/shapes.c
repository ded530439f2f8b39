/* SPDX-License-Identifier: MIT */
/*
 * shapes.c - pipelines of every shape that the examples do not have, for system tests.
 *
 *   plain      no stream: one dictionary about its inputs
 *   nothing    a stream without items
 *   typed      one input of each type, most with limits or defaults; streams them back
 *   quiet      yields one item, then nothing until it is cancelled; logs that it was closed
 *   chatty     logs and prints in turn with its items
 *   patience   without any: asks again at a time long past, for MS; with: an item each ms, five
 *   blunt      one result, the run's id, which it also writes to descriptors 1 and 2
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <millrace/pipeline.h>

/* ---- plain, nothing ------------------------------------------------------------------------ */

static int describe(struct mr_call *call)
{
    struct mr_value *out = mr_return(call);
    mr_value_dictionary(out, 2);
    mr_value_string(out, "text", 4);
    mr_value_object(out, mr_arg(call, 0));
    mr_value_string(out, "bytes", 5);
    return mr_value_integer(out, (int64_t)mr_arg(call, 0)->u.string.count);
}

MR_PIPELINE(plain)
{
    mr_variable text = mr_input(builder, MR_STRING, .title = "text");
    mr_output(builder, mr_pipe(builder, describe, MR_DICTIONARY, text));
}

static int end_next(void *state, struct mr_value *out)
{
    (void)state;
    (void)out;
    return MR_END;
}

static int nothing_at_all(struct mr_call *call)
{
    const struct mr_iterator iterator = {NULL, end_next, NULL};
    return mr_return_stream(call, &iterator);
}

MR_PIPELINE(nothing)
{
    mr_output(builder, mr_pipe(builder, nothing_at_all, MR_STREAM));
}

/* ---- typed --------------------------------------------------------------------------------- */

#define TYPED_COUNT 8

struct typed {
    const struct mr_object *values[TYPED_COUNT];
    int next;
};

static int typed_next(void *state, struct mr_value *out)
{
    struct typed *typed = state;
    if (typed->next == TYPED_COUNT)
        return MR_END;
    return mr_value_object(out, typed->values[typed->next++]);
}

static int all_of_them(struct mr_call *call)
{
    struct typed *typed = calloc(1, sizeof(*typed));
    if (!typed)
        return mr_fail(call, MR_ERROR_OOM, "out of memory");
    for (size_t i = 0; i < TYPED_COUNT; i++)
        typed->values[i] = mr_arg(call, i);
    const struct mr_iterator iterator = {typed, typed_next, free};
    return mr_return_stream(call, &iterator);
}

MR_PIPELINE(typed)
{
    mr_variable name = mr_input(builder, MR_STRING, .title = "name");
    mr_variable count = mr_input(builder, MR_INTEGER, .title = "count", .ge = "0", .le = "10");
    mr_variable ratio = mr_input(builder, MR_FP, .title = "ratio");
    mr_variable flag = mr_input(builder, MR_BOOLEAN, .title = "flag");
    mr_variable list = mr_input(builder, MR_ARRAY, .title = "list", .max_length = 2);
    mr_variable map = mr_input(builder, MR_DICTIONARY, .title = "map");
    mr_variable limit = mr_input(builder, MR_INTEGER, .title = "limit", .default_json = "7");
    mr_variable note =
        mr_input(builder, MR_STRING, .title = "note", .optional = true, .choices = "[\"a\",\"b\"]");
    mr_output(builder, mr_pipe(builder, all_of_them, MR_STREAM, name, count, ratio, flag, list, map,
                               limit, note));
}

/* ---- quiet --------------------------------------------------------------------------------- */

static int quiet_next(void *state, struct mr_value *out)
{
    bool *has_spoken = state;
    if (*has_spoken)
        return mr_later_ms(out, 60000);
    *has_spoken = true;
    return mr_value_stringf(out, "once");
}

static void quiet_close(void *state)
{
    mr_log(MR_LOG_INFO, "quiet was closed, cancelled=%d", mr_cancelled());
    free(state);
}

static int speak_once(struct mr_call *call)
{
    bool *has_spoken = calloc(1, sizeof(*has_spoken));
    if (!has_spoken)
        return mr_fail(call, MR_ERROR_OOM, "out of memory");
    *has_spoken = mr_arg_boolean(call, 0);
    const struct mr_iterator iterator = {has_spoken, quiet_next, quiet_close};
    return mr_return_stream(call, &iterator);
}

MR_PIPELINE(quiet)
{
    mr_variable silent = mr_input(builder, MR_BOOLEAN, .title = "from the start");
    mr_output(builder, mr_pipe(builder, speak_once, MR_STREAM, silent));
}

/* ---- chatty -------------------------------------------------------------------------------- */

struct chatty {
    int64_t count;
    int64_t next;
};

static int chatty_next(void *state, struct mr_value *out)
{
    struct chatty *chatty = state;
    if (chatty->next == chatty->count)
        return MR_END;
    printf("printed %lld of %s\n", (long long)chatty->next, mr_run_id());
    fprintf(stderr, "complained %lld of %s\n", (long long)chatty->next, mr_run_id());
    mr_log(MR_LOG_WARNING, "logged %lld of %s", (long long)chatty->next, mr_run_id());
    return mr_value_integer(out, chatty->next++);
}

static int chat(struct mr_call *call)
{
    struct chatty *chatty = calloc(1, sizeof(*chatty));
    if (!chatty)
        return mr_fail(call, MR_ERROR_OOM, "out of memory");
    chatty->count = mr_arg_integer(call, 0);
    const struct mr_iterator iterator = {chatty, chatty_next, free};
    return mr_return_stream(call, &iterator);
}

MR_PIPELINE(chatty)
{
    mr_variable count = mr_input(builder, MR_INTEGER, .title = "count");
    mr_output(builder, mr_pipe(builder, chat, MR_STREAM, count));
}

/* ---- patience ------------------------------------------------------------------------------ */

struct patience {
    bool has_some;
    uint64_t start_ns, end_ns;
    int64_t next;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int patience_next(void *state, struct mr_value *out)
{
    struct patience *patience = state;
    uint64_t time_ns = now_ns();
    if (!patience->has_some)
        return time_ns < patience->end_ns ? mr_later_at_ns(out, patience->start_ns) : MR_END;
    uint64_t due_ns = patience->start_ns + (uint64_t)(patience->next + 1) * 1000000u;
    if (patience->next == 5)
        return MR_END;
    return time_ns < due_ns ? mr_later_at_ns(out, due_ns) : mr_value_integer(out, patience->next++);
}

static int wait_with_patience(struct mr_call *call)
{
    struct patience *patience = calloc(1, sizeof(*patience));
    if (!patience)
        return mr_fail(call, MR_ERROR_OOM, "out of memory");
    patience->has_some = mr_arg_boolean(call, 0);
    patience->start_ns = now_ns();
    patience->end_ns = patience->start_ns + (uint64_t)mr_arg_integer(call, 1) * 1000000u;
    const struct mr_iterator iterator = {patience, patience_next, free};
    return mr_return_stream(call, &iterator);
}

MR_PIPELINE(patience)
{
    mr_variable has_some = mr_input(builder, MR_BOOLEAN, .title = "patience");
    mr_variable ms = mr_input(builder, MR_INTEGER, .title = "MS");
    mr_output(builder, mr_pipe(builder, wait_with_patience, MR_STREAM, has_some, ms));
}

/* ---- blunt --------------------------------------------------------------------------------- */

static int write_id(struct mr_call *call)
{
    dprintf(1, "blunt %s\n", mr_run_id());
    dprintf(2, "no end of %s", mr_run_id());
    return mr_value_stringf(mr_return(call), "%s", mr_run_id());
}

MR_PIPELINE(blunt)
{
    mr_output(builder, mr_pipe(builder, write_id, MR_STRING));
}
