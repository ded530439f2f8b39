/* SPDX-License-Identifier: MIT */
/*
 * variables.c - reads what a worker says of its pipeline, and writes it as the API shows it.
 *
 * One pass over msgpack-c's tree: each field is checked, kept where runs need it, and written to
 * the JSON text where clients may see it. The tree is only built of bytes that packed_is_sound().
 */
#include "dispatcher/inputs/variables.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <msgpack.h>

#include "dispatcher/inputs/input.h"
#include "dispatcher/text/json_out.h"
#include "dispatcher/text/packed.h"
#include "dispatcher/text/text.h"
#include "dispatcher/text/utf8.h"
#include "millrace/protocol.h"

#define HELLO_DEPTH_MAX 8 /* three today; room for keys that are passed over */
#define NAME_BYTES_MAX 255

/* A body being read. */
struct reading {
    struct variables *variables;
    FILE *json;       /* into variables->json */
    const char *list; /* "inputs" or "outputs", and which of them: for the reason */
    size_t index;
    char *reason;
    size_t reason_bytes;
};

/* Text inside the message; it is not terminated. */
struct slice {
    const char *bytes; /* NULL when the field is missing */
    size_t count;
};

static int read_body(struct reading *reading, const msgpack_object *body);
static int read_name(struct reading *reading, const msgpack_object *body);
static int read_inputs(struct reading *reading, const msgpack_object *body);
static int read_outputs(struct reading *reading, const msgpack_object *body);
static int read_input(struct reading *reading, const msgpack_object *map,
                      struct input_variable *input);
static int read_list(struct reading *reading, const msgpack_object *body, const char *key,
                     size_t count_min, size_t count_max, const msgpack_object_array **out);
static int read_type(struct reading *reading, const msgpack_object *map, enum mr_type *out);
static int read_words(struct reading *reading, const msgpack_object *map,
                      struct input_variable *input);
static int read_default(struct reading *reading, const msgpack_object *map,
                        struct input_variable *input);
static int read_json_fields(struct reading *reading, const msgpack_object *map);
static int read_limits(struct reading *reading, const msgpack_object *map);
static int read_text(struct reading *reading, const msgpack_object *map, const char *key,
                     struct slice *out);
static int read_json(struct reading *reading, const msgpack_object *map, const char *key,
                     struct json_document **out, struct slice *text);
static int write_string(FILE *json, const char *name, struct slice text);
static void write_json(FILE *json, struct slice text);
static int refuse(struct reading *reading, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int keep_hello(struct variables *variables, const uint8_t *body, size_t bytes)
{
    variables->hello = malloc(bytes);
    if (variables->hello == NULL)
        return -ENOMEM;
    memcpy(variables->hello, body, bytes);
    variables->hello_bytes = bytes;
    return 0;
}

int variables_parse(struct variables *out, const uint8_t *body, size_t bytes, char *reason,
                    size_t reason_bytes)
{
    struct variables variables = {0};
    struct reading reading = {
        .variables = &variables, .reason = reason, .reason_bytes = reason_bytes};
    msgpack_unpacked unpacked;
    size_t json_bytes;
    size_t offset = 0;

    if (bytes > MESSAGE_BYTES_MAX || !packed_is_sound(body, bytes, HELLO_DEPTH_MAX))
        return refuse(&reading, "it is not one msgpack object");
    reading.json = open_memstream(&variables.json, &json_bytes);
    if (reading.json == NULL)
        return -ENOMEM;
    msgpack_unpacked_init(&unpacked);
    int rc = -ENOMEM;
    if (msgpack_unpack_next(&unpacked, (const char *)body, bytes, &offset) ==
        MSGPACK_UNPACK_SUCCESS)
        rc = read_body(&reading, &unpacked.data);
    msgpack_unpacked_destroy(&unpacked);
    /* Memory is all that writing to a memory stream can lack. */
    bool is_short = ferror(reading.json) != 0;
    if ((fclose(reading.json) != 0 || is_short) && rc == 0)
        rc = -ENOMEM;
    if (rc == 0)
        rc = keep_hello(&variables, body, bytes);
    if (rc < 0) {
        variables_finish(&variables);
        return rc;
    }
    *out = variables;
    return 0;
}

bool variables_equal(const struct variables *a, const struct variables *b)
{
    mr_assert(a->json != NULL);
    mr_assert(b->json != NULL);
    return strcmp(a->json, b->json) == 0;
}

void variables_finish(struct variables *variables)
{
    for (uint32_t i = 0; i < variables->input_count; i++) {
        free(variables->inputs[i].title);
        free(variables->inputs[i].default_msgpack);
    }
    free(variables->inputs);
    free(variables->outputs);
    free(variables->name);
    free(variables->json);
    free(variables->hello);
    *variables = (struct variables){0};
}

static const char *const type_names[MR_TYPE_COUNT] = {
    [MR_STRING] = "string",         [MR_INTEGER] = "integer", [MR_FP] = "fp",
    [MR_BOOLEAN] = "boolean",       [MR_NONE] = "none",       [MR_ARRAY] = "array",
    [MR_DICTIONARY] = "dictionary", [MR_STREAM] = "stream",
};

const char *variables_type_name(enum mr_type type)
{
    mr_assert(type < MR_TYPE_COUNT);
    return type_names[type];
}

/* ---- the body ------------------------------------------------------------------------------ */

static bool is_text(struct slice text, const char *word)
{
    return text.count == strlen(word) && memcmp(text.bytes, word, text.count) == 0;
}

/* The first value under `key`, NULL when there is none. */
static const msgpack_object *find(const msgpack_object *map, const char *key)
{
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object_kv *pair = &map->via.map.ptr[i];
        struct slice text = {pair->key.via.str.ptr, pair->key.via.str.size};
        if (pair->key.type == MSGPACK_OBJECT_STR && is_text(text, key))
            return &pair->val;
    }
    return NULL;
}

static int read_body(struct reading *reading, const msgpack_object *body)
{
    if (body->type != MSGPACK_OBJECT_MAP)
        return refuse(reading, "it is not a map");
    const msgpack_object *protocol = find(body, "protocol");
    if (protocol == NULL || protocol->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return refuse(reading, "protocol is not a number");
    if (protocol->via.u64 != PROTOCOL_VERSION)
        return refuse(reading, "the worker speaks protocol %llu, this is %u",
                      (unsigned long long)protocol->via.u64, PROTOCOL_VERSION);
    int rc = read_name(reading, body);
    if (rc == 0)
        rc = read_inputs(reading, body);
    if (rc == 0)
        rc = read_outputs(reading, body);
    return rc;
}

static int read_name(struct reading *reading, const msgpack_object *body)
{
    struct slice name;
    int rc = read_text(reading, body, "name", &name);
    if (rc < 0)
        return rc;
    if (name.bytes == NULL || name.count == 0 || name.count > NAME_BYTES_MAX)
        return refuse(reading, "name has not 1 to %d bytes", NAME_BYTES_MAX);
    reading->variables->name = text_duplicate(name.bytes, name.count);
    return reading->variables->name == NULL ? -ENOMEM : 0;
}

static int read_inputs(struct reading *reading, const msgpack_object *body)
{
    const msgpack_object_array *list;
    struct variables *variables = reading->variables;
    int rc = read_list(reading, body, "inputs", 0, INPUT_COUNT_MAX, &list);
    if (rc < 0)
        return rc;
    variables->inputs = calloc(list->size + 1, sizeof(*variables->inputs));
    if (variables->inputs == NULL)
        return -ENOMEM;
    variables->input_count = list->size;
    fputs("{\"input_variables\":[", reading->json);
    for (uint32_t i = 0; i < list->size; i++) {
        reading->index = i;
        rc = read_input(reading, &list->ptr[i], &variables->inputs[i]);
        if (rc < 0)
            return rc;
        fputs(i + 1 < list->size ? "}," : "}", reading->json);
    }
    return 0;
}

static int read_outputs(struct reading *reading, const msgpack_object *body)
{
    const msgpack_object_array *list;
    struct variables *variables = reading->variables;
    int rc = read_list(reading, body, "outputs", 1, OUTPUT_COUNT_MAX, &list);
    if (rc < 0)
        return rc;
    variables->outputs = calloc(list->size, sizeof(*variables->outputs));
    if (variables->outputs == NULL)
        return -ENOMEM;
    variables->output_count = list->size;
    fputs("],\"output_variables\":[", reading->json);
    for (uint32_t i = 0; i < list->size; i++) {
        struct output_variable *output = &variables->outputs[i];
        reading->index = i;
        rc = read_type(reading, &list->ptr[i], &output->type);
        if (rc < 0)
            return rc;
        variables->has_stream |= output->type == MR_STREAM;
        fprintf(reading->json, "%s{\"type\":\"%s\"}", i == 0 ? "" : ",",
                variables_type_name(output->type));
    }
    fputs("]}", reading->json);
    return 0;
}

/* The array of maps under `key`, and its name for the reason when one of them is wrong. */
static int read_list(struct reading *reading, const msgpack_object *body, const char *key,
                     size_t count_min, size_t count_max, const msgpack_object_array **out)
{
    reading->list = NULL;
    const msgpack_object *list = find(body, key);
    if (list == NULL || list->type != MSGPACK_OBJECT_ARRAY)
        return refuse(reading, "%s is not an array", key);
    if (list->via.array.size < count_min || list->via.array.size > count_max)
        return refuse(reading, "%s has %u elements, %zu to %zu can be served", key,
                      list->via.array.size, count_min, count_max);
    for (uint32_t i = 0; i < list->via.array.size; i++) {
        if (list->via.array.ptr[i].type != MSGPACK_OBJECT_MAP)
            return refuse(reading, "%s holds something that is not a map", key);
    }
    reading->list = key;
    *out = &list->via.array;
    return 0;
}

/* ---- one variable -------------------------------------------------------------------------- */

static int read_input(struct reading *reading, const msgpack_object *map,
                      struct input_variable *input)
{
    const msgpack_object *optional = find(map, "optional");
    int rc = read_type(reading, map, &input->type);
    if (rc < 0)
        return rc;
    if (input->type == MR_STREAM)
        return refuse(reading, "an input cannot be a stream");
    if (optional != NULL && optional->type != MSGPACK_OBJECT_BOOLEAN)
        return refuse(reading, "optional is not a boolean");
    input->optional = optional != NULL && optional->via.boolean;
    fprintf(reading->json, "{\"type\":\"%s\",\"optional\":%s", variables_type_name(input->type),
            input->optional ? "true" : "false");
    rc = read_words(reading, map, input);
    if (rc == 0)
        rc = read_default(reading, map, input);
    if (rc == 0)
        rc = read_json_fields(reading, map);
    if (rc == 0)
        rc = read_limits(reading, map);
    return rc;
}

static int read_type(struct reading *reading, const msgpack_object *map, enum mr_type *out)
{
    struct slice word;
    int rc = read_text(reading, map, "type", &word);
    if (rc < 0)
        return rc;
    for (int type = 0; type < MR_TYPE_COUNT && word.bytes != NULL; type++) {
        if (is_text(word, type_names[type])) {
            *out = (enum mr_type)type;
            return 0;
        }
    }
    return refuse(reading, "type is not one of the words for types");
}

static int read_words(struct reading *reading, const msgpack_object *map,
                      struct input_variable *input)
{
    struct slice title = {0};
    struct slice description = {0};
    int rc = read_text(reading, map, "title", &title);
    if (rc == 0)
        rc = read_text(reading, map, "description", &description);
    if (rc < 0)
        return rc;
    if (title.bytes != NULL) {
        input->title = text_duplicate(title.bytes, title.count);
        rc = input->title == NULL ? -ENOMEM : write_string(reading->json, "title", title);
    }
    if (rc == 0 && description.bytes != NULL)
        rc = write_string(reading->json, "description", description);
    return rc;
}

/* The default is checked like a value that a client gives: it is one when the client gives none. */
static int read_default(struct reading *reading, const msgpack_object *map,
                        struct input_variable *input)
{
    struct json_document *document;
    struct input_packing packing;
    struct slice text;
    int rc = read_json(reading, map, "default", &document, &text);
    if (rc < 0 || document == NULL)
        return rc;
    const cJSON *value = json_in_root(document);
    input_packing_init(&packing);
    if (!input_fits(document, value, input->type) && !(cJSON_IsNull(value) && input->optional))
        rc = refuse(reading, "default must be %s, is %s", input_type_phrase(input->type),
                    input_value_phrase(document, value));
    else
        rc = input_pack(&packing, document, value);
    if (rc == -ELOOP)
        rc = refuse(reading, "default is nested deeper than %u containers", INPUT_DEPTH_MAX);
    mr_assert(rc != -EMSGSIZE); /* a message is far smaller */
    if (rc == 0) {
        input->default_msgpack = input_packing_take(&packing, &input->default_bytes);
        fputs(",\"default\":", reading->json);
        write_json(reading->json, text);
    }
    input_packing_finish(&packing);
    json_in_destroy(document);
    return rc;
}

static int read_json_fields(struct reading *reading, const msgpack_object *map)
{
    static const char *const keys[] = {"examples", "choices", "gt",          "ge",
                                       "lt",       "le",      "multiple_of", NULL};
    for (const char *const *key = keys; *key != NULL; key++) {
        struct json_document *document;
        struct slice text;
        int rc = read_json(reading, map, *key, &document, &text);
        if (rc < 0)
            return rc;
        if (document == NULL)
            continue;
        const cJSON *root = json_in_root(document);
        bool is_right = key == &keys[0]   ? true
                        : key == &keys[1] ? cJSON_IsArray(root)
                                          : cJSON_IsNumber(root);
        json_in_destroy(document);
        if (!is_right)
            return refuse(reading, "%s is not %s", *key, key == &keys[1] ? "an array" : "a number");
        fprintf(reading->json, ",\"%s\":", *key);
        write_json(reading->json, text);
    }
    return 0;
}

static int read_limits(struct reading *reading, const msgpack_object *map)
{
    static const char *const keys[] = {"min_length", "max_length"};
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        const msgpack_object *limit = find(map, keys[i]);
        if (limit == NULL)
            continue;
        if (limit->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
            return refuse(reading, "%s is not a count", keys[i]);
        fprintf(reading->json, ",\"%s\":%llu", keys[i], (unsigned long long)limit->via.u64);
    }
    return 0;
}

/* ---- fields -------------------------------------------------------------------------------- */

/* A string field; text.bytes is NULL when it is missing. */
static int read_text(struct reading *reading, const msgpack_object *map, const char *key,
                     struct slice *out)
{
    const msgpack_object *field = find(map, key);
    *out = (struct slice){NULL, 0};
    if (field == NULL)
        return 0;
    if (field->type != MSGPACK_OBJECT_STR)
        return refuse(reading, "%s is not a string", key);
    struct slice text = {field->via.str.ptr, field->via.str.size};
    if (memchr(text.bytes, '\0', text.count) != NULL || !utf8_is_valid(text.bytes, text.count))
        return refuse(reading, "%s is not UTF-8 text without NULs", key);
    *out = text;
    return 0;
}

/* A string field that holds JSON; *out is NULL when it is missing. */
static int read_json(struct reading *reading, const msgpack_object *map, const char *key,
                     struct json_document **out, struct slice *text)
{
    struct json_error wrong;
    *out = NULL;
    int rc = read_text(reading, map, key, text);
    if (rc < 0 || text->bytes == NULL)
        return rc;
    rc = json_in_parse(out, text->bytes, text->count, &wrong);
    return rc == -EINVAL ? refuse(reading, "%s is not JSON: %s", key, wrong.message) : rc;
}

static int write_string(FILE *json, const char *name, struct slice text)
{
    size_t room = 6 * text.count + 8;
    char *string = malloc(room);
    if (string == NULL)
        return -ENOMEM;
    size_t bytes = json_out_text(text.bytes, text.count, string, room);
    fprintf(json, ",\"%s\":%.*s", name, (int)bytes, string);
    free(string);
    return 0;
}

/* JSON text may hold line ends between its tokens; inside them, none is left unescaped. */
static void write_json(FILE *json, struct slice text)
{
    for (size_t i = 0; i < text.count; i++)
        fputc((unsigned char)text.bytes[i] < 0x20 ? ' ' : text.bytes[i], json);
}

static int refuse(struct reading *reading, const char *format, ...)
{
    int count = 0;
    if (reading->list != NULL)
        count = snprintf(reading->reason, reading->reason_bytes, "%s[%zu]: ", reading->list,
                         reading->index);
    if (count >= 0 && (size_t)count < reading->reason_bytes) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(reading->reason + count, reading->reason_bytes - (size_t)count, format,
                  arguments);
        va_end(arguments);
    }
    return -EBADMSG;
}
