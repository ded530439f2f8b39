/* SPDX-License-Identifier: MIT */
/*
 * echo.c - streams the values of a dictionary, each as it came.
 *
 *     cc -shared -fPIC echo.c -o echo.so $(pkg-config --cflags millrace)
 *     millrace serve echo.so
 *     curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
 *          -d '{"inputs":[{"type":"dictionary","value":{"a":1,"b":[true,null,"x"]}}]}'
 */
#include <stdlib.h>

#include <millrace/pipeline.h>

struct echo {
    const struct mr_object *dictionary; /* memory of the run */
    size_t next;
};

static int echo_next(void *state, struct mr_value *out)
{
    struct echo *echo = state;
    if (echo->next == echo->dictionary->u.dictionary.count)
        return MR_END;
    return mr_value_object(out, &echo->dictionary->u.dictionary.pairs[echo->next++].value);
}

static int values(struct mr_call *call)
{
    struct echo *echo = calloc(1, sizeof *echo);
    if (!echo)
        return mr_fail(call, MR_ERROR_OOM, "out of memory");
    echo->dictionary = mr_arg(call, 0);
    const struct mr_iterator iterator = {
        .state = echo,
        .next = echo_next,
        .close = free,
    };
    return mr_return_stream(call, &iterator);
}

MR_PIPELINE(echo)
{
    mr_variable input = mr_input(builder, MR_DICTIONARY, .title = "values");
    mr_output(builder, mr_pipe(builder, values, MR_STREAM, input));
}
