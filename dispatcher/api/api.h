/* SPDX-License-Identifier: MIT */
/*
 * api.h - the handlers behind the routes; the contract is docs/api.md.
 *
 * Each answers its request now, or (runs) starts what will. `body` lives only during the call.
 */
#ifndef DISPATCHER_API_H
#define DISPATCHER_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/api/routes.h"

struct api_error;
struct run_request;

/* Of START: in memory of the heap, or in a sealed file. */
struct run_payload {
    uint8_t *memory; /* NULL: it is */
    int fd;
    size_t bytes;
};

/* api_runs.c: the two steps of a run whose body was read elsewhere (dispatcher/reader). */

/* The envelope is `request`, which has no document, or why there is none: what run_request_parse()
 * says. True: its inputs are to be packed, for the run and the pipeline that are now in the
 * connection's read_job; false: it is answered. */
bool api_run_read(struct loop *loop, struct conn *conn, const struct run_request *request, int rc,
                  const struct api_error *error);

/* They are packed, or what run_request_pack() says; takes the payload over and answers, or starts
 * the run that will. */
void api_run_packed(struct loop *loop, struct conn *conn, const struct run_payload *payload, int rc,
                    const struct api_error *error);

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
