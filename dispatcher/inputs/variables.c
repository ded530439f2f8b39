/* SPDX-License-Identifier: MIT */
/*
 * variables.c - reads what a worker says of its pipeline, and writes it as the API shows it.
 *
 * Each field is looked for by its key where it lies, checked, kept where runs need it, and written
 * to the JSON text where clients may see it. Nothing is looked for in bytes that are not
 * packed_is_sound(): from there on each item ends before the message does.
 */
#include "dispatcher/inputs/variables.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    const uint8_t *end; /* of the body */
    FILE *json;         /* into variables->json */
    const char *what;   /* "input" or "output", and which of them: for the reason */
    size_t index;
    char *reason;
    size_t reason_bytes;
};

/* An item of the body, and what follows it: of an array or a map, what is in it. */
struct field {
    struct packed_item item;
    const uint8_t *rest;
};

/* Text inside the message; it is not terminated. */
struct slice {
    const char *data; /* NULL when the field is missing */
    size_t bytes;
};

static int variables_read_body(struct reading *reading, const struct field *body);
static int variables_refuse(struct reading *reading, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int variables_keep_hello(struct variables *variables, const uint8_t *body, size_t bytes)
{
    variables->hello = malloc(bytes);
    if (!variables->hello)
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
    struct field root;
    size_t json_bytes;

    if (bytes > MESSAGE_BYTES_MAX || !packed_is_sound(body, bytes, HELLO_DEPTH_MAX))
        return variables_refuse(&reading, "it is not one msgpack object");
    reading.end = body + bytes;
    root.rest = packed_read(body, reading.end, &root.item);
    reading.json = open_memstream(&variables.json, &json_bytes);
    if (!reading.json)
        return -ENOMEM;
    int rc = variables_read_body(&reading, &root);
    /* Memory is all that writing to a memory stream can lack, and the last of it when it is closed,
     * of which the C library says nothing. */
    bool is_short = ferror(reading.json) != 0;
    is_short |= fclose(reading.json) != 0 || !variables.json;
    if (is_short && rc == 0)
        rc = -ENOMEM;
    if (rc == 0)
        rc = variables_keep_hello(&variables, body, bytes);
    if (rc < 0) {
        variables_finish(&variables);
        return rc;
    }
    *out = variables;
    return 0;
}

static bool variables_have_equal_files(const struct variables *a, const struct variables *b)
{
    for (uint32_t i = 0; i < a->input_count; i++) {
        const struct input_variable *left = &a->inputs[i], *right = &b->inputs[i];
        if (left->file_key_count != right->file_key_count)
            return false;
        for (uint32_t k = 0; k < left->file_key_count; k++)
            if (strcmp(left->file_keys[k], right->file_keys[k]) != 0)
                return false;
    }
    return true;
}

bool variables_equal(const struct variables *a, const struct variables *b)
{
    mr_assert(a->json);
    mr_assert(b->json);
    return strcmp(a->json, b->json) == 0 && variables_have_equal_files(a, b);
}

void variables_finish(struct variables *variables)
{
    for (uint32_t i = 0; i < variables->input_count; i++) {
        struct input_variable *input = &variables->inputs[i];
        for (uint32_t k = 0; k < input->file_key_count; k++)
            free(input->file_keys[k]);
        free(input->file_keys);
        free(input->title);
        free(input->default_msgpack);
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
    [MR_DICTIONARY] = "dictionary", [MR_STREAM] = "stream",   [MR_FILE] = "file",
};

const char *variables_type_name(enum mr_type type)
{
    mr_assert(type < MR_TYPE_COUNT);
    return type_names[type];
}

/* ---- fields -------------------------------------------------------------------------------- */

static int variables_refuse(struct reading *reading, const char *format, ...)
{
    int count = 0;
    if (reading->what)
        count = snprintf(reading->reason, reading->reason_bytes, "%s %zu: ", reading->what,
                         reading->index + 1);
    if (count >= 0 && (size_t)count < reading->reason_bytes) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(reading->reason + count, reading->reason_bytes - (size_t)count, format,
                  arguments);
        va_end(arguments);
    }
    return -EBADMSG;
}

static bool variables_is_text(struct slice text, const char *word)
{
    return text.bytes == strlen(word) && memcmp(text.data, word, text.bytes) == 0;
}

static struct slice variables_slice_of(const struct packed_item *item)
{
    return (struct slice){(const char *)item->text, item->u.count};
}

/* The item at `*at`, which moves behind everything in it. */
static void variables_next(const struct reading *reading, const uint8_t **at, struct field *out)
{
    out->rest = packed_read(*at, reading->end, &out->item);
    *at = packed_skip(*at, reading->end);
    mr_assert(out->rest);
    mr_assert(*at);
}

/* The first value under `key`; false when there is none. */
static bool variables_find(const struct reading *reading, const struct field *map, const char *key,
                           struct field *out)
{
    const uint8_t *at = map->rest;
    for (uint32_t i = 0; i < map->item.u.count; i++) {
        struct field name, value;
        variables_next(reading, &at, &name);
        variables_next(reading, &at, &value);
        if (name.item.kind == PACKED_STRING &&
            variables_is_text(variables_slice_of(&name.item), key)) {
            *out = value;
            return true;
        }
    }
    return false;
}

/* A string field; text.data is NULL when it is missing. */
static int variables_read_text(struct reading *reading, const struct field *map, const char *key,
                               struct slice *out)
{
    struct field field;
    *out = (struct slice){NULL, 0};
    if (!variables_find(reading, map, key, &field))
        return 0;
    if (field.item.kind != PACKED_STRING)
        return variables_refuse(reading, "%s is not a string", key);
    struct slice text = variables_slice_of(&field.item);
    if (memchr(text.data, '\0', text.bytes) || !utf8_is_valid(text.data, text.bytes))
        return variables_refuse(reading, "%s is not UTF-8 text without NULs", key);
    *out = text;
    return 0;
}

/* A string field that holds JSON; *out is NULL when it is missing. */
static int variables_read_json(struct reading *reading, const struct field *map, const char *key,
                               struct json_document **out, struct slice *text)
{
    struct json_error wrong;
    *out = NULL;
    int rc = variables_read_text(reading, map, key, text);
    if (rc < 0 || !text->data)
        return rc;
    rc = json_in_parse(out, text->data, text->bytes, &wrong);
    return rc == -EINVAL ? variables_refuse(reading, "%s is not JSON: %s", key, wrong.message) : rc;
}

static int variables_write_string(FILE *json, const char *name, struct slice text)
{
    size_t room = 6 * text.bytes + 8;
    char *string = malloc(room);
    if (!string)
        return -ENOMEM;
    size_t bytes = json_out_text(text.data, text.bytes, string, room);
    fprintf(json, ",\"%s\":%.*s", name, (int)bytes, string);
    free(string);
    return 0;
}

/* JSON text may hold line ends between its tokens; inside them, none is left unescaped. */
static void variables_write_json(FILE *json, struct slice text)
{
    for (size_t i = 0; i < text.bytes; i++)
        fputc((unsigned char)text.data[i] < 0x20 ? ' ' : text.data[i], json);
}

/* ---- one variable -------------------------------------------------------------------------- */

static int variables_read_type(struct reading *reading, const struct field *map, enum mr_type *out)
{
    struct slice word;
    int rc = variables_read_text(reading, map, "type", &word);
    if (rc < 0)
        return rc;
    for (int type = 0; type < MR_TYPE_COUNT && word.data; type++) {
        if (variables_is_text(word, type_names[type])) {
            *out = (enum mr_type)type;
            return 0;
        }
    }
    return variables_refuse(reading, "type is not one of the words for types");
}

static int variables_read_words(struct reading *reading, const struct field *map,
                                struct input_variable *input)
{
    struct slice title = {0};
    struct slice description = {0};
    int rc = variables_read_text(reading, map, "title", &title);
    if (rc == 0)
        rc = variables_read_text(reading, map, "description", &description);
    if (rc < 0)
        return rc;
    if (title.data) {
        input->title = text_duplicate(title.data, title.bytes);
        rc = input->title ? variables_write_string(reading->json, "title", title) : -ENOMEM;
    }
    if (rc == 0 && description.data)
        rc = variables_write_string(reading->json, "description", description);
    return rc;
}

/* The default is checked like a value that a client gives: it is one when the client gives none. */
static int variables_read_default(struct reading *reading, const struct field *map,
                                  struct input_variable *input)
{
    struct json_document *document;
    struct input_packing packing;
    struct slice text;
    int rc = variables_read_json(reading, map, "default", &document, &text);
    if (rc < 0 || !document)
        return rc;
    const cJSON *value = json_in_root(document);
    input_packing_init(&packing);
    if (!input_fits(document, value, input->type) && !(cJSON_IsNull(value) && input->optional))
        rc = variables_refuse(reading, "default must be %s, is %s", input_type_phrase(input->type),
                              input_value_phrase(document, value));
    else
        rc = input_pack(&packing, document, value, INPUT_DEPTH_MAX);
    if (rc == -ELOOP)
        rc = variables_refuse(reading, "default is nested deeper than %u containers",
                              INPUT_DEPTH_MAX);
    mr_assert(rc != -EMSGSIZE); /* a message is far smaller */
    if (rc == 0) {
        input->default_msgpack = input_packing_take(&packing, &input->default_bytes);
        fputs(",\"default\":", reading->json);
        variables_write_json(reading->json, text);
    }
    input_packing_finish(&packing);
    json_in_destroy(document);
    return rc;
}

static int variables_keep_file_keys(struct reading *reading, const struct json_document *document,
                                    struct input_variable *input)
{
    const cJSON *keys = json_in_root(document);
    const int count = cJSON_GetArraySize(keys);
    if (!cJSON_IsArray(keys) || count > (int)RUN_FILE_COUNT_MAX || input->type != MR_DICTIONARY)
        return variables_refuse(reading, "files is not an array of keys of a dictionary");
    input->file_keys = calloc((size_t)count + 1, sizeof *input->file_keys);
    if (!input->file_keys)
        return -ENOMEM;
    for (const cJSON *key = keys->child; key; key = key->next) {
        if (!cJSON_IsString(key))
            return variables_refuse(reading, "files holds something that is no string");
        char *text = text_duplicate(key->valuestring, strlen(key->valuestring));
        if (!text)
            return -ENOMEM;
        input->file_keys[input->file_key_count++] = text;
    }
    return 0;
}

/* Which members are files. Clients see it in the schema. */
static int variables_read_file_keys(struct reading *reading, const struct field *map,
                                    struct input_variable *input)
{
    struct json_document *document;
    struct slice text;
    int rc = variables_read_json(reading, map, "files", &document, &text);
    if (rc < 0 || !document)
        return rc;
    rc = variables_keep_file_keys(reading, document, input);
    json_in_destroy(document);
    return rc;
}

static int variables_read_json_fields(struct reading *reading, const struct field *map)
{
    static const struct {
        const char *key;
        const char *phrase; /* NULL: anything */
        cJSON_bool (*is_right)(const cJSON *);
    } fields[] = {
        {"examples", NULL, NULL},
        {"choices", "an array", cJSON_IsArray},
        {"gt", "a number", cJSON_IsNumber},
        {"ge", "a number", cJSON_IsNumber},
        {"lt", "a number", cJSON_IsNumber},
        {"le", "a number", cJSON_IsNumber},
        {"multiple_of", "a number", cJSON_IsNumber},
        {"schema", "an object", cJSON_IsObject},
    };
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        const char *key = fields[i].key;
        struct json_document *document;
        struct slice text;
        int rc = variables_read_json(reading, map, key, &document, &text);
        if (rc < 0)
            return rc;
        if (!document)
            continue;
        bool is_right = !fields[i].is_right || fields[i].is_right(json_in_root(document));
        json_in_destroy(document);
        if (!is_right)
            return variables_refuse(reading, "%s is not %s", key, fields[i].phrase);
        fprintf(reading->json, ",\"%s\":", key);
        variables_write_json(reading->json, text);
    }
    return 0;
}

static int variables_read_limits(struct reading *reading, const struct field *map)
{
    static const char *const keys[] = {"min_length", "max_length"};
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        struct field limit;
        if (!variables_find(reading, map, keys[i], &limit))
            continue;
        if (limit.item.kind != PACKED_NATURAL)
            return variables_refuse(reading, "%s is not a count", keys[i]);
        fprintf(reading->json, ",\"%s\":%llu", keys[i], (unsigned long long)limit.item.u.natural);
    }
    return 0;
}

static int variables_read_input(struct reading *reading, const struct field *map,
                                struct input_variable *input)
{
    struct field optional;
    int rc = variables_read_type(reading, map, &input->type);
    if (rc < 0)
        return rc;
    if (input->type == MR_STREAM)
        return variables_refuse(reading, "an input cannot be a stream");
    if (variables_find(reading, map, "optional", &optional)) {
        if (optional.item.kind != PACKED_BOOLEAN)
            return variables_refuse(reading, "optional is not a boolean");
        input->optional = optional.item.u.boolean;
    }
    fprintf(reading->json, "{\"type\":\"%s\",\"optional\":%s", variables_type_name(input->type),
            input->optional ? "true" : "false");
    rc = variables_read_words(reading, map, input);
    if (rc == 0)
        rc = variables_read_default(reading, map, input);
    if (rc == 0)
        rc = variables_read_json_fields(reading, map);
    if (rc == 0)
        rc = variables_read_limits(reading, map);
    if (rc == 0)
        rc = variables_read_file_keys(reading, map, input);
    return rc;
}

/* ---- the body ------------------------------------------------------------------------------ */

/* The array of maps under `key`. */
static int variables_read_list(struct reading *reading, const struct field *body, const char *key,
                               size_t count_min, size_t count_max, struct field *out)
{
    struct field element;
    reading->what = NULL;
    if (!variables_find(reading, body, key, out) || out->item.kind != PACKED_ARRAY)
        return variables_refuse(reading, "%s is not an array", key);
    if (out->item.u.count < count_min || out->item.u.count > count_max)
        return variables_refuse(reading, "%s has %u elements, %zu to %zu can be served", key,
                                out->item.u.count, count_min, count_max);
    const uint8_t *at = out->rest;
    for (uint32_t i = 0; i < out->item.u.count; i++) {
        variables_next(reading, &at, &element);
        if (element.item.kind != PACKED_MAP)
            return variables_refuse(reading, "%s holds something that is not a map", key);
    }
    return 0;
}

static int variables_read_name(struct reading *reading, const struct field *body)
{
    struct slice name;
    int rc = variables_read_text(reading, body, "name", &name);
    if (rc < 0)
        return rc;
    if (!name.data || name.bytes == 0 || name.bytes > NAME_BYTES_MAX)
        return variables_refuse(reading, "name has not 1 to %d bytes", NAME_BYTES_MAX);
    reading->variables->name = text_duplicate(name.data, name.bytes);
    return reading->variables->name ? 0 : -ENOMEM;
}

static int variables_read_inputs(struct reading *reading, const struct field *body)
{
    struct field list, element;
    struct variables *variables = reading->variables;
    int rc = variables_read_list(reading, body, "inputs", 0, INPUT_COUNT_MAX, &list);
    if (rc < 0)
        return rc;
    uint32_t count = list.item.u.count;
    const uint8_t *at = list.rest;
    reading->what = "input";
    variables->inputs = calloc(count + 1, sizeof *variables->inputs);
    if (!variables->inputs)
        return -ENOMEM;
    variables->input_count = count;
    fputs("{\"input_variables\":[", reading->json);
    for (uint32_t i = 0; i < count; i++) {
        reading->index = i;
        variables_next(reading, &at, &element);
        rc = variables_read_input(reading, &element, &variables->inputs[i]);
        if (rc < 0)
            return rc;
        fputs(i + 1 < count ? "}," : "}", reading->json);
    }
    return 0;
}

static int variables_read_outputs(struct reading *reading, const struct field *body)
{
    struct field list, element;
    struct variables *variables = reading->variables;
    int rc = variables_read_list(reading, body, "outputs", 1, OUTPUT_COUNT_MAX, &list);
    if (rc < 0)
        return rc;
    uint32_t count = list.item.u.count;
    const uint8_t *at = list.rest;
    reading->what = "output";
    variables->outputs = calloc(count, sizeof *variables->outputs);
    if (!variables->outputs)
        return -ENOMEM;
    variables->output_count = count;
    fputs("],\"output_variables\":[", reading->json);
    for (uint32_t i = 0; i < count; i++) {
        struct output_variable *output = &variables->outputs[i];
        reading->index = i;
        variables_next(reading, &at, &element);
        rc = variables_read_type(reading, &element, &output->type);
        if (rc < 0)
            return rc;
        variables->has_stream |= output->type == MR_STREAM;
        fprintf(reading->json, "%s{\"type\":\"%s\"}", i == 0 ? "" : ",",
                variables_type_name(output->type));
    }
    fputs("]}", reading->json);
    return 0;
}

static int variables_read_body(struct reading *reading, const struct field *body)
{
    struct field protocol;
    if (body->item.kind != PACKED_MAP)
        return variables_refuse(reading, "it is not a map");
    if (!variables_find(reading, body, "protocol", &protocol) ||
        protocol.item.kind != PACKED_NATURAL)
        return variables_refuse(reading, "protocol is not a number");
    if (protocol.item.u.natural != PROTOCOL_VERSION)
        return variables_refuse(reading, "the worker speaks protocol %llu, this is %u",
                                (unsigned long long)protocol.item.u.natural, PROTOCOL_VERSION);
    int rc = variables_read_name(reading, body);
    if (rc == 0)
        rc = variables_read_inputs(reading, body);
    if (rc == 0)
        rc = variables_read_outputs(reading, body);
    return rc;
}
