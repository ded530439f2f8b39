/* SPDX-License-Identifier: MIT */
/* sink.c - takes a dictionary of any size and says how many members it has. */
#include <millrace/pipeline.h>

static int members(struct mr_call *call)
{
    const struct mr_object *dictionary = mr_arg(call, 0);
    return mr_value_integer(mr_return(call), (int64_t)dictionary->u.dictionary.count);
}

MR_PIPELINE(sink)
{
    mr_variable input = mr_input(builder, MR_DICTIONARY, .title = "values");
    mr_output(builder, mr_pipe(builder, members, MR_INTEGER, input));
}
