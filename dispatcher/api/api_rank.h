/* SPDX-License-Identifier: MIT */
/* api_rank.h - by what a run is scheduled: what its request says, and what its token allows. */
#ifndef DISPATCHER_API_RANK_H
#define DISPATCHER_API_RANK_H

#include <stdbool.h>

#include "dispatcher/runs/run_rank.h"

struct api;
struct http_head;
struct pipeline;
struct request;
struct run_request_scheduling;

/* What of a head pipelines look at is kept. False: X-Request-Class is no class. */
bool api_rank_head_take(const struct api *api, struct request *request,
                        const struct http_head *head);

/* Of a run of this pipeline; also of what its body says. */
struct run_rank api_rank(const struct api *api, const struct pipeline *pipeline,
                         const struct request *request,
                         const struct run_request_scheduling *scheduling);

#endif
