/* SPDX-License-Identifier: MIT */
/*
 * variables.h - a pipeline's inputs and outputs, as its worker's HELLO reported them.
 */
#ifndef DISPATCHER_VARIABLES_H
#define DISPATCHER_VARIABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"
#include "millrace/limits.h"
#include "millrace/pipeline.h"

struct input_variable {
    enum mr_type type;
    bool optional;
    const char *title; /* NULL when not said; memory of the variables */
    const uint8_t *default_msgpack; /* NULL when there is none */
    size_t default_bytes;
};

struct output_variable {
    enum mr_type type; /* MR_STREAM for iterators */
};

/* Owned by the pipeline it describes. Zero is "not known yet". */
struct variables {
    char *name; /* of the pipeline inside its source */
    uint32_t input_count;
    uint32_t output_count;
    bool has_stream; /* at least one output is a stream */
    struct input_variable *inputs;
    struct output_variable *outputs;
    char *json;  /* {"input_variables":[...],"output_variables":[...]} for GET /v4/pipelines */
};

/* Reads the body of a HELLO (docs/protocol.md), which is untrusted. 0, -EBADMSG (`reason` says what
 * is wrong), -ENOMEM. Copies everything it keeps. */
int variables_parse(struct variables *out, const uint8_t *body, size_t bytes, char *reason,
                    size_t reason_bytes) MUST_USE;

/* True when both describe the same inputs and outputs (a restarted worker must). */
bool variables_equal(const struct variables *a, const struct variables *b);

void variables_finish(struct variables *variables);

#endif
