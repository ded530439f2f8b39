/* SPDX-License-Identifier: MIT */
/*
 * api_error.h - a request that cannot be served: its HTTP status and what the body says.
 *
 * Two shapes (docs/api.md, section 5): a `detail` body for requests that never became a run, and a
 * failed result for those that did.
 */
#ifndef DISPATCHER_API_ERROR_H
#define DISPATCHER_API_ERROR_H

#include <stdbool.h>

#include "millrace/protocol.h"

struct api_error {
    int status;           /* HTTP status */
    bool is_result;       /* the body is a result with `type` and `message` */
    enum error_type type; /* of a result */
    char message[512];    /* of a result: plain text, UTF-8 not guaranteed */
    char detail[1024];    /* else: the JSON text after {"detail": */
};

/* A 422 as clients of FastAPI know it: [{"loc":["body",...],"msg":...,"type":...}]. `location` is
 * JSON text that goes after "body", its comma included, or "". */
void api_error_invalid(struct api_error *error, const char *location, const char *message,
                       const char *type);

/* A 400 result of type input_error. */
__attribute__((format(printf, 2, 3))) void api_error_input(struct api_error *error,
                                                           const char *format, ...);

#endif
