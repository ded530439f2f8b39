/* SPDX-License-Identifier: MIT */
/*
 * api.h - the handlers behind the routes; the contract is docs/api.md.
 *
 * Each answers its request now, or (runs) starts what will. `body` lives only during the call.
 */
#ifndef DISPATCHER_API_H
#define DISPATCHER_API_H

#include "dispatcher/api/routes.h"

/* api_runs.c */
route_fn api_run_stream; /* POST /v4/runs/stream */
route_fn api_run_result; /* POST /v4/runs */
route_fn api_runs_list;  /* GET /v4/runs */
route_fn api_run_get;    /* GET /v4/runs/{id} */
route_fn api_run_delete; /* DELETE /v4/runs/{id} */

/* routes.c */
route_fn api_index; /* GET /: what there is */

/* api_info.c */
route_fn api_pipelines_list;
route_fn api_pipeline_get;
route_fn api_token_validate;
route_fn api_status;
route_fn api_livez;
route_fn api_readyz;
route_fn api_container_state;

/* api_metrics.c */
route_fn api_metrics;

#endif
