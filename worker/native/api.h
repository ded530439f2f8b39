/* SPDX-License-Identifier: MIT */
/*
 * api.h - the function table that pipelines call (millrace/pipeline.h).
 */
#ifndef WORKER_API_H
#define WORKER_API_H

#include "millrace/check.h"
#include "millrace/pipeline.h"
#include "worker/engine/context.h"

/* The table; functions of it that have no handle to go by work on `worker`, which must outlive all
 * pipeline code. To be called once. */
const struct mr_api *api_table(struct context *context);

#endif
