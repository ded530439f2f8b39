/* SPDX-License-Identifier: MIT */
/* run_request_scheduling.h - what a request says of its place among others. */
#ifndef DISPATCHER_RUN_REQUEST_SCHEDULING_H
#define DISPATCHER_RUN_REQUEST_SCHEDULING_H

#include <stddef.h>
#include <stdint.h>

#include "dispatcher/inputs/run_request.h"
#include "dispatcher/text/json_in.h"
#include "millrace/check.h"

/* Takes "scheduling" of the body, which may be left out: {"class", "tenant", "affinity"}. 0, or
 * -EINVAL with `error` filled. */
int run_request_check_scheduling(struct run_request *request, const cJSON *body,
                                 struct api_error *error) MUST_USE;

#endif
