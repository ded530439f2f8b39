/* SPDX-License-Identifier: MIT */
/* schema.c - inputs that say what may be inside of them, right and wrong. */
#include <millrace/pipeline.h>

static int first(struct mr_call *call)
{
    return mr_value_object(mr_return(call), mr_arg(call, 0));
}

static mr_variable settings_of(struct mr_builder *builder)
{
    mr_variable settings = mr_input(builder, MR_DICTIONARY, .title = "settings");
    mr_output(builder, mr_pipe(builder, first, MR_DICTIONARY, settings));
    return settings;
}

MR_PIPELINE(told)
{
    mr_variable settings = settings_of(builder);
    mr_input(builder, MR_INTEGER, .title = "steps", .optional = true, .description = "how many",
             .ge = "1", .le = "50", .choices = "[1, 50]");
    mr_input_schema(
        builder, settings,
        "{\"type\":\"object\",\"properties\":{\"seed\":{\"type\":\"integer\",\"minimum\":"
        "0},\n\"place\":{\"type\":\"object\",\"required\":[\"x\"],\"properties\":{\"x\":{"
        "\"type\":\"number\",\"title\":\"\\u001b[2J\"}}}},\"required\":[\"seed\"]}");
}

MR_PIPELINE(not_json)
{
    mr_input_schema(builder, settings_of(builder), "{\"type\":");
}

MR_PIPELINE(not_an_object)
{
    mr_input_schema(builder, settings_of(builder), "true");
}

MR_PIPELINE(told_twice)
{
    mr_variable settings = settings_of(builder);
    mr_input_schema(builder, settings, "{}");
    mr_input_schema(builder, settings, "{}");
}

MR_PIPELINE(of_a_result)
{
    mr_variable settings = settings_of(builder);
    mr_input_schema(builder, mr_pipe(builder, first, MR_DICTIONARY, settings), "{}");
}
