/* SPDX-License-Identifier: MIT */
/*
 * lines.c - N chunks {"i":0,"t_ns":...,"chunk":"xx..."} with BYTES of text, as fast as possible or
 * one every MS ms.
 *
 * What docs/examples/numbers.c does, with a text that the request does not have to carry: so a
 * chunk of 10 MiB needs no request of 10 MiB. The references of this folder send the same lines.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <millrace/pipeline.h>

struct lines {
    int64_t count;
    int64_t next;
    uint64_t start_ns;
    uint64_t pace_ns;
    size_t text_bytes;
    char text[];
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int lines_next(void *state, struct mr_value *out)
{
    struct lines *lines = state;
    if (lines->next == lines->count)
        return MR_END;
    uint64_t time_ns = now_ns();
    if (lines->pace_ns > 0) {
        uint64_t due_ns = lines->start_ns + ((uint64_t)lines->next + 1) * lines->pace_ns;
        if (time_ns < due_ns)
            return mr_later_at_ns(out, due_ns);
    }
    mr_value_dictionary(out, 3);
    mr_value_string(out, "i", 1);
    mr_value_integer(out, lines->next++);
    mr_value_string(out, "t_ns", 4);
    mr_value_integer(out, (int64_t)time_ns);
    mr_value_string(out, "chunk", 5);
    return mr_value_string(out, lines->text, lines->text_bytes);
}

static int make_lines(struct mr_call *call)
{
    int64_t text_bytes = mr_arg_integer(call, 1);
    if (mr_arg_integer(call, 0) < 0 || text_bytes < 0 || mr_arg_integer(call, 2) < 0)
        return mr_fail(call, MR_ERROR_INPUT, "N, BYTES and MS must not be negative");
    struct lines *lines = malloc(sizeof *lines + (size_t)text_bytes);
    if (!lines)
        return mr_fail(call, MR_ERROR_OOM, "out of memory");
    lines->count = mr_arg_integer(call, 0);
    lines->next = 0;
    lines->start_ns = now_ns();
    lines->pace_ns = (uint64_t)mr_arg_integer(call, 2) * 1000000u;
    lines->text_bytes = (size_t)text_bytes;
    memset(lines->text, 'x', lines->text_bytes);
    const struct mr_iterator iterator = {
        .state = lines,
        .next = lines_next,
        .close = free,
    };
    return mr_return_stream(call, &iterator);
}

MR_PIPELINE(lines)
{
    mr_variable n = mr_input(builder, MR_INTEGER, .title = "N", .ge = "0");
    mr_variable bytes = mr_input(builder, MR_INTEGER, .title = "BYTES", .ge = "0");
    mr_variable ms = mr_input(builder, MR_INTEGER, .title = "MS", .ge = "0");
    mr_output(builder, mr_pipe(builder, make_lines, MR_STREAM, n, bytes, ms));
}
