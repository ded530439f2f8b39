/* SPDX-License-Identifier: MIT */
/* error_type.c - the nine words; any other makes the SDK drop the line and end silently. */
#include "dispatcher/inputs/error_type.h"

#include "millrace/check.h"

static const char *const type_names[ERROR_TYPE_COUNT] = {
    [ERROR_INPUT] = "input_error",        [ERROR_CUDA_OOM] = "cuda_oom",
    [ERROR_CUDA] = "cuda_error",          [ERROR_OOM] = "oom",
    [ERROR_PIPELINE] = "pipeline_error",  [ERROR_STARTUP] = "startup_error",
    [ERROR_LOADING] = "pipeline_loading", [ERROR_TIMEOUT] = "timeout",
    [ERROR_UNKNOWN] = "unknown",
};

const char *error_type_name(enum error_type type)
{
    mr_assert(type < ERROR_TYPE_COUNT);
    return type_names[type];
}
