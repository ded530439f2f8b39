/* SPDX-License-Identifier: MIT */
/*
 * batched.c - batched pipes for system tests; batched.py is the same in Python.
 *
 * A result is [number, runs in the call, number of the call]. WORD says what is done with it:
 * "fail", that run fails; "all", the call does; "hold", the call waits until all its runs are
 * cancelled; "slow", it takes 300 ms; "log", a line is written; "bad", the run fails before. Of
 * `streams` the number of items is NUMBER.
 */
#include <string.h>
#include <time.h>

#include <millrace/pipeline.h>

static int64_t call_count;

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static int check(struct mr_call *call)
{
    const char *word = mr_arg_string(call, 0);
    if (strcmp(word, "bad") == 0)
        return mr_fail(call, MR_ERROR_PIPELINE, "bad before");
    return mr_value_string(mr_return(call), word, strlen(word));
}

/* What is done before there are results. A failure of all. */
static int obey(struct mr_call *const *calls, size_t count)
{
    int rc = 0;
    for (size_t i = 0; i < count; i++) {
        const char *word = mr_arg_string(calls[i], 0);
        if (strcmp(word, "all") == 0)
            rc = mr_batch_fail(MR_ERROR_CUDA, "all %zu failed", count);
        if (strcmp(word, "slow") == 0)
            sleep_ms(300);
        if (strcmp(word, "log") == 0)
            mr_log(MR_LOG_INFO, "called for %zu", count);
        if (strcmp(word, "hold") == 0)
            mr_log(MR_LOG_INFO, "it is held");
        while (strcmp(word, "hold") == 0 && !mr_cancelled())
            sleep_ms(1);
    }
    return rc;
}

static int tell(struct mr_call *const *calls, size_t count)
{
    int rc = obey(calls, count);
    call_count++;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (strcmp(mr_arg_string(calls[i], 0), "fail") == 0) {
            mr_fail(calls[i], MR_ERROR_CUDA_OOM, "one failed");
            continue;
        }
        struct mr_value *value = mr_return(calls[i]);
        mr_value_array(value, 3);
        mr_value_integer(value, mr_arg_integer(calls[i], 1));
        mr_value_integer(value, (int64_t)count);
        mr_value_integer(value, call_count);
    }
    return rc;
}

MR_PIPELINE(batched)
{
    mr_variable word = mr_input(builder, MR_STRING);
    mr_variable number = mr_input(builder, MR_INTEGER);
    mr_variable checked = mr_pipe(builder, check, MR_STRING, word);
    mr_output(builder, mr_pipe_batched(builder, tell, MR_ARRAY, checked, number));
}

/* ---- with a stream behind -------------------------------------------------------------------- */

struct rest {
    int64_t left, count;
};

static int next(void *state, struct mr_value *out)
{
    struct rest *rest = state;
    if (rest->left == 0)
        return MR_END;
    rest->left--;
    mr_value_array(out, 2);
    mr_value_integer(out, rest->left);
    return mr_value_integer(out, rest->count);
}

static int count_down(struct mr_call *call)
{
    const struct mr_object *told = mr_arg(call, 0);
    struct rest *rest = mr_alloc(call, sizeof *rest);
    if (!rest)
        return -1;
    *rest = (struct rest){told->u.array.items[0].u.integer, told->u.array.items[1].u.integer};
    return mr_return_stream(call, &(struct mr_iterator){.state = rest, .next = next});
}

MR_PIPELINE(streams)
{
    mr_variable word = mr_input(builder, MR_STRING);
    mr_variable number = mr_input(builder, MR_INTEGER);
    mr_variable told = mr_pipe_batched(builder, tell, MR_ARRAY, word, number);
    mr_output(builder, mr_pipe(builder, count_down, MR_STREAM, told));
}
