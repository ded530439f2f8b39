/* SPDX-License-Identifier: MIT */
/* api_run_unread.c - requests of runs that waited for their pipeline to be known are read. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/api/api.h"
#include "dispatcher/inputs/api_error.h"
#include "dispatcher/inputs/run_request.h"
#include "dispatcher/runs/runs.h"
#include "dispatcher/runs/sink.h"
#include "dispatcher/staging/staging.h"

static void unread_refuse(struct api *api, struct run *run, const struct api_error *error)
{
    run_worker_lost(api->runs, run,
                    &(struct run_failure){.type = error->type,
                                          .status = error->status,
                                          .message = error->message,
                                          .message_count = strlen(error->message)});
}

/* It was understood once, but for its values. */
static int unread_pack(const struct run *run, struct run_payload *payload, struct api_error *error)
{
    struct run_request request = {0};
    int rc = run_request_parse(&request, (const char *)run->payload, run->payload_bytes, error);
    if (rc == 0)
        rc = run_request_pack(&request, &run->pipeline->pool->variables, run->id, payload, error);
    run_request_finish(&request);
    return rc;
}

static void on_read(void *owner, struct run *run)
{
    struct api *api = owner;
    struct run_payload payload = {0};
    struct api_error error;
    int rc = unread_pack(run, &payload, &error);
    run_payload_free(api->runs, run);
    run->is_unread = false;
    if (rc == 0) {
        run_payload_take(api->runs, run, payload.memory, payload.bytes);
        pipeline_rank_payload(api->runs, run);
        run->sink->ops->known(run->sink, run);
    }
    if (rc == 0 && payload.reference_bytes > 0)
        rc = staging_begin(api->staging, run, run->token[0] != '\0' ? run->token : NULL,
                           payload.memory + payload.bytes, payload.reference_bytes, &error);
    if (rc == -EINVAL)
        unread_refuse(api, run, &error);
    else if (rc < 0)
        run_worker_lost(api->runs, run, &api_run_no_room);
}

const struct unread_ops api_unread_ops = {.read = on_read};
