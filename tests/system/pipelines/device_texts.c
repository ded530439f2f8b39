/* SPDX-License-Identifier: MIT */
/* device_texts.c - fails with the text that it gets, as what that says of its device. */
#include <millrace/pipeline.h>

static int fail(struct mr_call *call)
{
    const char *text = mr_arg_string(call, 0);
    return mr_fail(call, mr_device_error(text, MR_ERROR_PIPELINE), "%s", text);
}

MR_PIPELINE(device_texts)
{
    mr_output(builder, mr_pipe(builder, fail, MR_STRING, mr_input(builder, MR_STRING)));
}
