/* SPDX-License-Identifier: MIT */
/*
 * warm_up_inputs.h - the inputs of a pipeline's warm-up: the array that a run request has as its
 * "inputs", as text of a configuration.
 */
#ifndef DISPATCHER_WARM_UP_INPUTS_H
#define DISPATCHER_WARM_UP_INPUTS_H

#include <stddef.h>

#include "dispatcher/inputs/run_request.h"
#include "dispatcher/inputs/variables.h"
#include "millrace/check.h"

#define WARM_UP_REASON_BYTES 640u
#define WARM_UP_RUN_ID "run_warm_up" /* as its code sees it */

/* Whether a pipeline may take them, as far as they tell. 0, -ENOMEM, or -EINVAL with one line in
 * `reason`. */
int warm_up_inputs_check(const char *inputs, char reason[WARM_UP_REASON_BYTES]) MUST_USE;

/* What START carries, for a pipeline with these variables; results likewise. Files are none of the
 * inputs. */
int warm_up_inputs_pack(const char *inputs, const struct variables *variables,
                        struct run_payload *out, char reason[WARM_UP_REASON_BYTES]) MUST_USE;

#endif
