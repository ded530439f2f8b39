/* SPDX-License-Identifier: MIT */
/*
 * run_request.h - the JSON body of POST /v4/runs and /v4/runs/stream (docs/api.md, section 2).
 *
 * Two steps, since the pipeline is named inside the body: parse, then (pipeline known) pack the
 * inputs as msgpack for the worker, checked against its variables.
 */
#ifndef DISPATCHER_RUN_REQUEST_H
#define DISPATCHER_RUN_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/inputs/api_error.h"
#include "dispatcher/inputs/variables.h"
#include "millrace/check.h"

#define CALLBACK_URL_BYTES_MAX 4096u

#define SCHEDULING_TEXT_BYTES_MAX 256u

struct json_document;

/* What a request says of its place among others: "scheduling". Texts are memory of the document;
 * NULL: not said. */
struct run_request_scheduling {
    uint32_t class; /* RUN_CLASS_NONE: not said */
    const char *tenant, *affinity;
};

struct run_request {
    struct json_document *document; /* owned */
    const char *pipeline;           /* NULL when left out; memory of the document */
    bool async_run;
    const char *callback_url; /* likewise; NULL also where the run is not asynchronous */
    bool wait_for_resources;
    bool final_line; /* stream_options.final_line */
    struct run_request_scheduling scheduling;
};

/* Parses and checks the envelope. Takes nothing over: `body` may go once it returned. 0, or -EINVAL
 * with `error` filled (422), or -ENOMEM. */
int run_request_parse(struct run_request *out, const char *body, size_t bytes,
                      struct api_error *error) MUST_USE;

/* What START carries, msgpack [run_id, [input, ...]], and behind it the files that the inputs name
 * (file_reference.h). */
struct run_payload {
    uint8_t *memory; /* malloc'ed; owned */
    size_t bytes;    /* of START */
    size_t reference_bytes;
};

/* 0, or -EINVAL with `error` filled (400 input_error, 422 for a wrong shape), or -ENOMEM. */
int run_request_pack(const struct run_request *request, const struct variables *variables,
                     const char *run_id, struct run_payload *out, struct api_error *error) MUST_USE;

void run_request_finish(struct run_request *request);

#endif
