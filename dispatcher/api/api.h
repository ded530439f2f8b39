/* SPDX-License-Identifier: MIT */
/*
 * api.h - what clients may ask for, and how it is answered: the state of this room and the handlers
 * behind its routes; the contract is docs/api.md.
 *
 * It implements exchange_ops for connections, sink_ops for runs (formats/) and reading_ops for
 * large bodies. A handler answers its request now, or (runs) starts what will; `body` lives only
 * during the call.
 */
#ifndef DISPATCHER_API_H
#define DISPATCHER_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/api/bases.h"
#include "dispatcher/api/routes.h"
#include "dispatcher/config/config.h"
#include "dispatcher/http/front.h"
#include "dispatcher/reactor/reactor.h"
#include "dispatcher/runs/runs.h"

struct alias;
struct answer;
struct answer_slab;
struct callbacks;
struct device;
struct fetching;
struct files;
struct pipeline;
struct request;
struct staging;
struct text;
struct transfer;

/* What came of asking for another configuration; for GET /metrics. */
struct reload_outcome {
    uint64_t counts[2]; /* of those of which something failed, and of those that were whole */
    bool has_failed;    /* the last one */
    double wall_s;      /* when it was done; 0: there was none */
};

/* Owned by the server. */
struct api {
    const struct config *config;
    struct reactor *reactor;
    struct front *front;
    struct runs *runs;
    struct fleet *fleet;
    struct reading *reading;
    struct files *files;
    struct staging *staging;
    struct fetching *fetching;
    struct callbacks *callbacks;
    struct input_memory *input;
    struct bases bases;

    struct answer_slab *answer_slabs; /* owned */
    struct answer *free_answer;
    uint32_t answer_count;      /* in use */
    struct transfer *transfers; /* owned; of files, in use */
    uint64_t collected_bytes;   /* held of results that are being collected */
    uint64_t line_count;        /* lines of streams, for GET /metrics */
    struct reload_outcome reload_outcome;
};

/* What a list has at most, and if no limit is given. */
#define LIST_COUNT_MAX 100u

/* {"detail":<json>}, counted as a refusal. */
void api_detail(struct api *api, struct conn *conn, int status, const char *json);

/* api_missing.c: there is no pipeline of this name, which is the client's text; and which there
 * are. */
void api_pipeline_missing(struct api *api, struct conn *conn, const char *name);

/* api_alias.c: what of a head sticky aliases may know its client by is kept. */
void api_alias_keys_take(const struct api *api, struct request *request,
                         const struct http_head *head);

/* The pipeline that the alias leads this request to. NULL: it is not served, which should not
 * be. */
struct pipeline *api_alias_lead(struct api *api, struct alias *alias,
                                const struct request *request);

/* The one that stands for all it leads to: who gets most, the first of those. Likewise NULL. */
struct pipeline *api_alias_main(const struct api *api, const struct alias *alias);

/* {"pointer": ...}: where it leads, and how. */
void api_alias_format(const struct api *api, struct text *text, const struct alias *alias);

/* {"worker": ...}, or null: how far the start of the worker is that is to be ready first. */
void api_loading_format(const struct api *api, struct text *text, const struct pipeline *pipeline);

/* {"worker": ...}, or null: for which room on a device a worker waits. */
void api_waiting_format(const struct api *api, struct text *text, const struct pipeline *pipeline);

/* Memory of a device that each worker needs, as it was said or learned; null: neither. */
void api_device_memory_format(struct text *text, const struct pipeline *pipeline);

/* {"kind": ...}: which device that is; of NULL, null. */
void api_device_format(struct text *text, const struct device *device);

/* The run as it is now, with this status. */
void api_run_show(struct api *api, struct conn *conn, const struct run *run, int status);

/* api_run_start.c */
route_fn api_run_stream; /* POST /v4/runs/stream */
route_fn api_run_result; /* POST /v4/runs */
extern const struct reading_ops api_reading_ops;
extern const struct run_failure api_run_no_room; /* there is no memory for its request */

/* api_run_unread.c */
extern const struct unread_ops api_unread_ops;

/* api_runs.c */
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

/* api_files.c */
route_begin_fn api_files_list;  /* GET /v4/files */
route_begin_fn api_file_get;    /* GET /v4/files/{id} */
route_begin_fn api_file_delete; /* DELETE /v4/files/{id} */

/* api_upload.c */
extern const struct route_stream api_upload; /* POST /v4/files */
extern const struct route_stream api_part;   /* PUT /v4/files/parts/{upload_id}/{number} */

/* api_parts.c, below POST /v3/pipeline_files/ */
extern const struct route_stream api_parts_begin; /* initiate-multipart-upload */
extern const struct route_stream api_parts_url;   /* presigned-url */
extern const struct route_stream api_parts_join;  /* finalise-multipart-upload */

/* api_download.c */
extern const struct route_stream api_download; /* GET /v4/files/download/{id} */

/* api_metrics.c */
route_fn api_metrics;

#endif
