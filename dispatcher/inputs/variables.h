/* SPDX-License-Identifier: MIT */
/*
 * variables.h - a pipeline's inputs and outputs, as its worker's HELLO reported them.
 *
 * The body of a HELLO is a msgpack map:
 *
 *   protocol     uint   PROTOCOL_VERSION
 *   pid          uint   of the worker, for people
 *   name         str    of the pipeline inside its source
 *   concurrency  uint   runs the worker interleaves
 *   inputs       array  of at most INPUT_COUNT_MAX maps:
 *                         type         str   string integer fp boolean none array dictionary file
 *                         optional     bool  null is accepted; false when not said
 *                       and only when the pipeline says so:
 *                         title description                  str
 *                         examples default choices schema    str holding JSON text; choices: an
 *                                                            array; schema: an object
 *                         files                              str holding a JSON array of the
 *                                                            members that are files, of a
 *                                                            dictionary
 *                         gt ge lt le multiple_of            str holding the text of a JSON number
 *                         min_length max_length              uint
 *   outputs      array  of 1 to OUTPUT_COUNT_MAX maps:
 *                         type         str   as above, or stream
 *
 * Strings are UTF-8 without NULs. Keys that are not listed are passed over.
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
    char *title;              /* NULL when not said */
    uint8_t *default_msgpack; /* NULL when there is none */
    size_t default_bytes;
    uint32_t file_key_count; /* members of a dictionary that are files: */
    char **file_keys;
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
    char *json;     /* {"input_variables":[...],"output_variables":[...]} for GET /v4/pipelines */
    uint8_t *hello; /* what they were read from, for whoever has to read it again */
    size_t hello_bytes;
};

/* Reads the body of a HELLO, which is untrusted. 0, -EBADMSG (`reason` says what is wrong),
 * -ENOMEM. Copies everything it keeps. */
int variables_parse(struct variables *out, const uint8_t *body, size_t bytes, char *reason,
                    size_t reason_bytes) MUST_USE;

/* True when both describe the same inputs and outputs (a restarted worker must). */
bool variables_equal(const struct variables *a, const struct variables *b);

void variables_finish(struct variables *variables);

/* The word of a type: "string" ... "stream". */
const char *variables_type_name(enum mr_type type);

#endif
