/* SPDX-License-Identifier: MIT */
/*
 * input.h - one JSON value as a pipeline's input: does it fit the variable, and as msgpack.
 */
#ifndef DISPATCHER_INPUT_H
#define DISPATCHER_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <msgpack.h>

#include "dispatcher/text/json_in.h"
#include "millrace/check.h"
#include "millrace/limits.h"
#include "millrace/pipeline.h"

/* Containers inside one input: a START record wraps it in two more, and msgpack-c's unpacker, which
 * may read it, stops at 32. */
#define INPUT_DEPTH_MAX (VALUE_DEPTH_MAX - 1)

/* True when the value may be given for a variable of `type`: what is looked at is the value, not
 * what the request calls it. Whether null is allowed is the caller's question. */
bool input_fits(const struct json_document *document, const cJSON *value, enum mr_type type);

/* For messages: "an integer" for a type; "a string" for what a value is. */
const char *input_type_phrase(enum mr_type type);
const char *input_value_phrase(const struct json_document *document, const cJSON *value);

/* msgpack being written, at most VALUE_BYTES_MAX of it. Pack with `packer`; each of its functions,
 * and input_pack(), returns 0, -EMSGSIZE when that would be exceeded, or -ENOMEM. */
struct input_packing {
    msgpack_packer packer;
    msgpack_sbuffer buffer;
};

void input_packing_init(struct input_packing *packing);
void input_packing_finish(struct input_packing *packing);

/* Hands over what was packed, as malloc'ed memory; the packing is empty then. */
uint8_t *input_packing_take(struct input_packing *packing, size_t *bytes);

/* Appends the value; results as above, and -ELOOP when it is nested deeper than `depth_max`, which
 * is INPUT_DEPTH_MAX for an input. */
int input_pack(struct input_packing *packing, const struct json_document *document,
               const cJSON *value, size_t depth_max) MUST_USE;
int input_pack_text(struct input_packing *packing, const char *text, size_t bytes) MUST_USE;

#endif
