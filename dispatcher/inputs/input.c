/* SPDX-License-Identifier: MIT */
/*
 * input.c - which JSON values fit which type, and a tree of them as msgpack.
 */
#include "dispatcher/inputs/input.h"

#include <errno.h>
#include <string.h>

static int input_write_bounded(void *data, const char *bytes, size_t count);
static int input_pack_node(msgpack_packer *packer, const struct json_document *document,
                           const cJSON *node);
static int input_pack_number(msgpack_packer *packer, struct json_number number);
static int input_write_text(msgpack_packer *packer, const char *text, size_t bytes);

/* ---- types --------------------------------------------------------------------------------- */

bool input_fits(const struct json_document *document, const cJSON *value, enum mr_type type)
{
    switch (type) {
    case MR_STRING:
        return cJSON_IsString(value);
    case MR_INTEGER:
        /* Python's True is an int, and its clients send it as one. */
        return cJSON_IsBool(value) ||
               (cJSON_IsNumber(value) && json_in_number(document, value).kind != JSON_TOKEN_FP);
    case MR_FP:
        return cJSON_IsNumber(value);
    case MR_BOOLEAN:
        return cJSON_IsBool(value);
    case MR_NONE:
        return cJSON_IsNull(value);
    case MR_ARRAY:
        return cJSON_IsArray(value);
    case MR_DICTIONARY:
        return cJSON_IsObject(value);
    case MR_STREAM:
    case MR_FILE:
    case MR_TYPE_COUNT:
        break;
    }
    return false;
}

const char *input_type_phrase(enum mr_type type)
{
    static const char *const phrases[MR_TYPE_COUNT] = {
        [MR_STRING] = "a string",         [MR_INTEGER] = "an integer", [MR_FP] = "a number",
        [MR_BOOLEAN] = "a boolean",       [MR_NONE] = "null",          [MR_ARRAY] = "an array",
        [MR_DICTIONARY] = "a dictionary", [MR_STREAM] = "a stream",    [MR_FILE] = "a file",
    };
    mr_assert(type < MR_TYPE_COUNT);
    return phrases[type];
}

const char *input_value_phrase(const struct json_document *document, const cJSON *value)
{
    if (cJSON_IsString(value))
        return "a string";
    if (cJSON_IsNumber(value))
        return json_in_number(document, value).kind == JSON_TOKEN_FP ? "a float" : "an integer";
    if (cJSON_IsBool(value))
        return "a boolean";
    if (cJSON_IsArray(value))
        return "an array";
    if (cJSON_IsObject(value))
        return "a dictionary";
    return "null";
}

/* ---- packing ------------------------------------------------------------------------------- */

void input_packing_init(struct input_packing *packing)
{
    msgpack_sbuffer_init(&packing->buffer);
    msgpack_packer_init(&packing->packer, &packing->buffer, input_write_bounded);
}

void input_packing_finish(struct input_packing *packing)
{
    msgpack_sbuffer_destroy(&packing->buffer);
}

uint8_t *input_packing_take(struct input_packing *packing, size_t *bytes)
{
    *bytes = packing->buffer.size;
    return (uint8_t *)msgpack_sbuffer_release(&packing->buffer);
}

int input_pack(struct input_packing *packing, const struct json_document *document,
               const cJSON *value, size_t depth_max)
{
    msgpack_packer *packer = &packing->packer;
    struct json_walk walk = {0};
    for (const cJSON *node = value; node != NULL; node = json_walk_next(&walk, node)) {
        bool is_container = cJSON_IsArray(node) || cJSON_IsObject(node);
        if (is_container && walk.depth == depth_max)
            return -ELOOP;
        int rc = 0;
        if (walk.depth > 0 && cJSON_IsObject(walk.parents[walk.depth - 1]))
            rc = input_write_text(packer, node->string, strlen(node->string));
        if (rc == 0)
            rc = input_pack_node(packer, document, node);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int input_pack_text(struct input_packing *packing, const char *text, size_t bytes)
{
    return input_write_text(&packing->packer, text, bytes);
}

static int input_write_bounded(void *data, const char *bytes, size_t count)
{
    msgpack_sbuffer *buffer = data;
    if (count > VALUE_BYTES_MAX - buffer->size)
        return -EMSGSIZE;
    return msgpack_sbuffer_write(buffer, bytes, count) == 0 ? 0 : -ENOMEM;
}

/* A scalar, or the header of a container. */
static int input_pack_node(msgpack_packer *packer, const struct json_document *document,
                           const cJSON *node)
{
    if (cJSON_IsString(node))
        return input_write_text(packer, node->valuestring, json_in_string_bytes(document, node));
    if (cJSON_IsNumber(node))
        return input_pack_number(packer, json_in_number(document, node));
    if (cJSON_IsArray(node))
        return msgpack_pack_array(packer, (size_t)cJSON_GetArraySize(node));
    if (cJSON_IsObject(node))
        return msgpack_pack_map(packer, (size_t)cJSON_GetArraySize(node));
    if (cJSON_IsBool(node))
        return cJSON_IsTrue(node) ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
    mr_assert(cJSON_IsNull(node));
    return msgpack_pack_nil(packer);
}

static int input_pack_number(msgpack_packer *packer, struct json_number number)
{
    switch (number.kind) {
    case JSON_TOKEN_INTEGER:
        return msgpack_pack_int64(packer, number.u.integer);
    case JSON_TOKEN_NATURAL:
        return msgpack_pack_uint64(packer, number.u.natural);
    case JSON_TOKEN_FP:
    case JSON_TOKEN_NUL_STRING:
    case JSON_TOKEN_KIND_COUNT:
        break;
    }
    mr_assert(number.kind == JSON_TOKEN_FP);
    return msgpack_pack_double(packer, number.u.fp);
}

static int input_write_text(msgpack_packer *packer, const char *text, size_t bytes)
{
    int rc = msgpack_pack_str(packer, bytes);
    return rc < 0 ? rc : msgpack_pack_str_body(packer, text, bytes);
}
