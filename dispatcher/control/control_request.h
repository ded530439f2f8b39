/* SPDX-License-Identifier: MIT */
/* control_request.h - the JSON that operators send: an object whose members all are known. */
#ifndef DISPATCHER_CONTROL_REQUEST_H
#define DISPATCHER_CONTROL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/config/cli.h"
#include "millrace/check.h"

/* Which members a request may have. */
enum control_member {
    CONTROL_PIPELINE = 1, /* "pipeline": a pointer */
    CONTROL_WORKERS = 2,  /* "workers": a number, or {"min":a,"max":b} */
    CONTROL_WAIT = 4,     /* "wait": a flag */
    CONTROL_NOW = 8,      /* "now": a flag */
    CONTROL_CONFIG = 16,  /* "config": an absolute path */
};

struct control_request {
    char *pipeline; /* owned; NULL: not said */
    char *config;   /* likewise */
    bool wait;      /* if not said, true */
    bool now;
    bool has_workers;
    uint32_t workers_min, workers_max;
};

/* An empty body says nothing. 0; -EINVAL with what is wrong; -ENOMEM. */
int control_request_parse(struct control_request *out, const char *body, size_t bytes,
                          unsigned members, char reason[CLI_REASON_BYTES]) MUST_USE;
void control_request_finish(struct control_request *request);

#endif
