/* SPDX-License-Identifier: MIT */
/*
 * numbers.c - N chunks {"i":0,"t_ns":...,"chunk":S}, as fast as possible or one every MS ms.
 *
 *     cc -shared -fPIC numbers.c -o numbers.so $(pkg-config --cflags millrace)
 *     millrace serve numbers.so
 *     curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
 *          -d '{"inputs":[{"type":"integer","value":5},{"type":"string","value":"x"},
 *                         {"type":"integer","value":10}]}'
 *
 * For load and correctness tests: `i` counts from 0, `t_ns` is CLOCK_MONOTONIC when the chunk was
 * made. With MS above 0, chunk k is due at start + (k + 1) * MS, so a late one delays no other.
 */
#include <stdlib.h>
#include <time.h>

#include <millrace/pipeline.h>

struct numbers {
    int64_t count;
    int64_t next;
    uint64_t start_ns;
    uint64_t pace_ns;
    const char *text; /* memory of the run */
    size_t text_bytes;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* What a failing value call returns is sticky, so only the last one needs to be looked at. */
static int numbers_next(void *state, struct mr_value *out)
{
    struct numbers *numbers = state;
    if (numbers->next == numbers->count)
        return MR_END;
    uint64_t time_ns = now_ns();
    if (numbers->pace_ns > 0) {
        uint64_t due_ns = numbers->start_ns + ((uint64_t)numbers->next + 1) * numbers->pace_ns;
        if (time_ns < due_ns)
            return mr_later_at_ns(out, due_ns);
    }
    mr_value_dictionary(out, 3);
    mr_value_string(out, "i", 1);
    mr_value_integer(out, numbers->next++);
    mr_value_string(out, "t_ns", 4);
    mr_value_integer(out, (int64_t)time_ns);
    mr_value_string(out, "chunk", 5);
    return mr_value_string(out, numbers->text, numbers->text_bytes);
}

static int count(struct mr_call *call)
{
    if (mr_arg_integer(call, 0) < 0 || mr_arg_integer(call, 2) < 0)
        return mr_fail(call, MR_ERROR_INPUT, "N and MS must not be negative");
    struct numbers *numbers = malloc(sizeof *numbers);
    if (!numbers)
        return mr_fail(call, MR_ERROR_OOM, "out of memory");
    const struct mr_object *text = mr_arg(call, 1);
    *numbers = (struct numbers){
        .count = mr_arg_integer(call, 0),
        .start_ns = now_ns(),
        .pace_ns = (uint64_t)mr_arg_integer(call, 2) * 1000000u,
        .text = text->u.string.bytes,
        .text_bytes = text->u.string.count,
    };
    const struct mr_iterator iterator = {
        .state = numbers,
        .next = numbers_next,
        .close = free,
    };
    return mr_return_stream(call, &iterator);
}

MR_PIPELINE(numbers)
{
    mr_variable n = mr_input(builder, MR_INTEGER, .title = "N", .ge = "0");
    mr_variable s = mr_input(builder, MR_STRING, .title = "S");
    mr_variable ms = mr_input(builder, MR_INTEGER, .title = "MS", .ge = "0");
    mr_output(builder, mr_pipe(builder, count, MR_STREAM, n, s, ms));
}
