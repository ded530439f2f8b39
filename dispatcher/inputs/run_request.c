/* SPDX-License-Identifier: MIT */
/*
 * run_request.c - the envelope of a run, and its inputs against the pipeline's variables.
 */
#include "dispatcher/inputs/run_request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/inputs/input.h"
#include "dispatcher/inputs/run_request_files.h"
#include "dispatcher/inputs/run_request_scheduling.h"
#include "dispatcher/text/run_class.h"

static int request_check_flag(const cJSON *body, const char *name, bool *out, const char *parent,
                              struct api_error *error);
static int request_check_pipeline(struct run_request *request, const cJSON *body,
                                  struct api_error *error);
static int request_check_callback(struct run_request *request, const cJSON *body,
                                  struct api_error *error);
static int request_check_inputs(const cJSON *body, struct api_error *error);
static int request_check_input(const cJSON *item, size_t index, struct api_error *error);
static int request_check_stream_options(struct run_request *request, const cJSON *body,
                                        struct api_error *error);
static int request_check_count(const cJSON *inputs, const struct variables *variables,
                               struct api_error *error);
struct request_inputs;
static int request_pack_all(struct request_inputs *inputs, const char *run_id,
                            struct api_error *error);
static int request_pack_input(struct request_inputs *inputs, size_t index, const cJSON *item,
                              struct api_error *error);
static int request_pack_absent(struct input_packing *packing,
                               const struct input_variable *variable);

/* ---- the envelope -------------------------------------------------------------------------- */

int run_request_parse(struct run_request *out, const char *body, size_t bytes,
                      struct api_error *error)
{
    struct run_request request = {.scheduling = {.class = RUN_CLASS_NONE}};
    struct json_error wrong;
    if (bytes == 0) {
        api_error_invalid(error, "", "field required", "value_error.missing");
        return -EINVAL;
    }
    int rc = json_in_parse(&request.document, body, bytes, &wrong);
    if (rc == -EINVAL) {
        char location[32] = "";
        if (wrong.offset != JSON_OFFSET_NONE)
            snprintf(location, sizeof(location), ",%zu", wrong.offset);
        api_error_invalid(error, location, wrong.message, "value_error.jsondecode");
    }
    if (rc < 0)
        return rc;

    const cJSON *root = json_in_root(request.document);
    if (!cJSON_IsObject(root)) {
        api_error_invalid(error, "", "value is not a valid dict", "type_error.dict");
        rc = -EINVAL;
    }
    if (rc == 0)
        rc = request_check_pipeline(&request, root, error);
    if (rc == 0)
        rc = request_check_inputs(root, error);
    if (rc == 0)
        rc = request_check_flag(root, "async_run", &request.async_run, "", error);
    if (rc == 0 && request.async_run)
        rc = request_check_callback(&request, root, error);
    if (rc == 0)
        rc = request_check_flag(root, "wait_for_resources", &request.wait_for_resources, "", error);
    if (rc == 0)
        rc = request_check_stream_options(&request, root, error);
    if (rc == 0)
        rc = run_request_check_scheduling(&request, root, error);
    if (rc < 0) {
        run_request_finish(&request);
        return rc;
    }
    *out = request;
    return 0;
}

void run_request_finish(struct run_request *request)
{
    json_in_destroy(request->document);
    *request = (struct run_request){0};
}

/* The member `name`, or NULL when it is missing or null: most members may be either. */
static const cJSON *member(const cJSON *object, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNull(value) ? NULL : value;
}

static int request_check_pipeline(struct run_request *request, const cJSON *body,
                                  struct api_error *error)
{
    const cJSON *pipeline = member(body, "pipeline");
    if (pipeline == NULL)
        return 0;
    if (!cJSON_IsString(pipeline)) {
        api_error_invalid(error, ",\"pipeline\"", "str type expected", "type_error.str");
        return -EINVAL;
    }
    if (json_in_string_bytes(request->document, pipeline) != strlen(pipeline->valuestring)) {
        api_error_invalid(error, ",\"pipeline\"", "a name cannot hold \\u0000", "value_error");
        return -EINVAL;
    }
    request->pipeline = pipeline->valuestring;
    return 0;
}

static int request_check_callback(struct run_request *request, const cJSON *body,
                                  struct api_error *error)
{
    static const char location[] = ",\"callback_url\"";
    const cJSON *url = member(body, "callback_url");
    if (url == NULL)
        return 0;
    if (!cJSON_IsString(url)) {
        api_error_invalid(error, location, "str type expected", "type_error.str");
        return -EINVAL;
    }
    size_t bytes = strlen(url->valuestring);
    if (json_in_string_bytes(request->document, url) != bytes || bytes > CALLBACK_URL_BYTES_MAX) {
        api_error_invalid(error, location, "a URL has 4096 bytes at most, and no \\u0000",
                          "value_error");
        return -EINVAL;
    }
    request->callback_url = url->valuestring;
    return 0;
}

/* A flag; false when it is missing or null. `parent` is the location of the object it is in. */
static int request_check_flag(const cJSON *object, const char *name, bool *out, const char *parent,
                              struct api_error *error)
{
    const cJSON *flag = member(object, name);
    if (flag != NULL && !cJSON_IsBool(flag)) {
        char location[64];
        snprintf(location, sizeof(location), "%s,\"%s\"", parent, name);
        api_error_invalid(error, location, "value could not be parsed to a boolean",
                          "type_error.bool");
        return -EINVAL;
    }
    *out = flag != NULL && cJSON_IsTrue(flag);
    return 0;
}

static int request_check_stream_options(struct run_request *request, const cJSON *body,
                                        struct api_error *error)
{
    static const char location[] = ",\"stream_options\"";
    const cJSON *options = member(body, "stream_options");
    if (options == NULL)
        return 0;
    if (!cJSON_IsObject(options)) {
        api_error_invalid(error, location, "value is not a valid dict", "type_error.dict");
        return -EINVAL;
    }
    return request_check_flag(options, "final_line", &request->final_line, location, error);
}

static int request_check_inputs(const cJSON *body, struct api_error *error)
{
    static const char location[] = ",\"inputs\"";
    const cJSON *inputs = cJSON_GetObjectItemCaseSensitive(body, "inputs");
    if (inputs == NULL) {
        api_error_invalid(error, location, "field required", "value_error.missing");
        return -EINVAL;
    }
    if (cJSON_IsNull(inputs)) {
        api_error_invalid(error, location, "none is not an allowed value",
                          "type_error.none.not_allowed");
        return -EINVAL;
    }
    if (!cJSON_IsArray(inputs)) {
        api_error_invalid(error, location, "value is not a valid list", "type_error.list");
        return -EINVAL;
    }
    size_t index = 0;
    for (const cJSON *item = inputs->child; item != NULL; item = item->next) {
        int rc = request_check_input(item, index++, error);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static bool request_is_type_word(const char *word)
{
    static const char *const words[] = {"integer", "string", "fp",  "dictionary", "boolean",
                                        "none",    "array",  "pkl", "file",       "stream"};
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        if (strcmp(word, words[i]) == 0)
            return true;
    }
    return false;
}

/* A 422 about an input, or a part of it: `part` is its location within, or "". */
static int request_refuse_input(size_t index, const char *part, const char *text, const char *type,
                                struct api_error *error)
{
    char location[64];
    snprintf(location, sizeof(location), ",\"inputs\",%zu%s", index, part);
    api_error_invalid(error, location, text, type);
    return -EINVAL;
}

static int request_check_input(const cJSON *item, size_t index, struct api_error *error)
{
    if (!cJSON_IsObject(item))
        return request_refuse_input(index, "", "value is not a valid dict", "type_error.dict",
                                    error);
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(item, "type");
    if (type == NULL)
        return request_refuse_input(index, ",\"type\"", "field required", "value_error.missing",
                                    error);
    if (!cJSON_IsString(type) || !request_is_type_word(type->valuestring))
        return request_refuse_input(index, ",\"type\"",
                                    "value is not a valid enumeration member; permitted: "
                                    "'integer', 'string', 'fp', 'dictionary', 'boolean', 'none', "
                                    "'array', 'pkl', 'file', 'stream'",
                                    "type_error.enum", error);
    return 0;
}

/* ---- the inputs ---------------------------------------------------------------------------- */

/* Inputs that are being packed. */
struct request_inputs {
    const struct run_request *request;
    const struct variables *variables;
    struct input_packing packing;
    struct request_files files;
};

/* Puts the files behind the inputs. */
static int request_take(struct request_inputs *inputs, struct run_payload *out)
{
    const msgpack_sbuffer *references = &inputs->files.references.buffer;
    msgpack_packer *packer = &inputs->packing.packer;
    out->bytes = inputs->packing.buffer.size;
    out->reference_bytes = references->size;
    size_t bytes;
    int rc = references->size == 0
                 ? 0
                 : packer->callback(packer->data, references->data, references->size);
    if (rc == 0)
        out->memory = input_packing_take(&inputs->packing, &bytes);
    return rc;
}

int run_request_pack(const struct run_request *request, const struct variables *variables,
                     const char *run_id, struct run_payload *out, struct api_error *error)
{
    struct request_inputs inputs = {.request = request, .variables = variables};
    input_packing_init(&inputs.packing);
    input_packing_init(&inputs.files.references);
    int rc = request_pack_all(&inputs, run_id, error);
    if (rc == 0)
        rc = request_take(&inputs, out);
    if (rc == -EMSGSIZE) {
        api_error_input(error, "the inputs are larger than %u bytes", VALUE_BYTES_MAX);
        rc = -EINVAL;
    }
    input_packing_finish(&inputs.packing);
    input_packing_finish(&inputs.files.references);
    return rc;
}

static int request_pack_all(struct request_inputs *inputs, const char *run_id,
                            struct api_error *error)
{
    const cJSON *root = json_in_root(inputs->request->document);
    const cJSON *items = cJSON_GetObjectItemCaseSensitive(root, "inputs");
    const size_t count = inputs->variables->input_count;
    msgpack_packer *packer = &inputs->packing.packer;
    int rc = request_check_count(items, inputs->variables, error);
    if (rc == 0)
        rc = msgpack_pack_array(packer, 2);
    if (rc == 0)
        rc = input_pack_text(&inputs->packing, run_id, strlen(run_id));
    if (rc == 0)
        rc = msgpack_pack_array(packer, count);
    const cJSON *item = items->child;
    for (size_t index = 0; index < count && rc == 0; index++) {
        rc = request_pack_input(inputs, index, item, error);
        item = item == NULL ? NULL : item->next;
    }
    return rc;
}

static bool request_may_be_left_out(const struct input_variable *variable)
{
    return variable->optional || variable->default_msgpack != NULL;
}

static int request_check_count(const cJSON *inputs, const struct variables *variables,
                               struct api_error *error)
{
    size_t got = (size_t)cJSON_GetArraySize(inputs);
    size_t most = variables->input_count;
    size_t least = most;
    while (least > 0 && request_may_be_left_out(&variables->inputs[least - 1]))
        least--;
    if (got >= least && got <= most)
        return 0;
    if (least == most)
        api_error_input(error, "the pipeline takes %zu input%s, got %zu", most,
                        most == 1 ? "" : "s", got);
    else
        api_error_input(error, "the pipeline takes %zu to %zu inputs, got %zu", least, most, got);
    return -EINVAL;
}

/* How messages call an input: input 1 ("max_tokens"). */
struct input_name {
    char text[160];
};

static struct input_name request_input_name(const struct input_variable *variable, size_t index)
{
    struct input_name name;
    size_t number = index + 1; /* as people count */
    if (variable->title == NULL)
        snprintf(name.text, sizeof(name.text), "input %zu", number);
    else
        snprintf(name.text, sizeof(name.text), "input %zu (\"%.100s\")", number, variable->title);
    return name;
}

/* What its item calls it, where that is not the value's own business. */
static int request_check_type_word(const cJSON *item, const struct input_variable *variable,
                                   size_t index, struct api_error *error)
{
    const char *word = cJSON_GetObjectItemCaseSensitive(item, "type")->valuestring;
    if (strcmp(word, "pkl") == 0)
        api_error_input(
            error, "%s is a pickled object, which is not accepted: reading one can run any code",
            request_input_name(variable, index).text);
    else if (strcmp(word, "file") == 0 && variable->type != MR_FILE)
        api_error_input(error, "%s must be %s, got a file",
                        request_input_name(variable, index).text,
                        input_type_phrase(variable->type));
    else
        return 0;
    return -EINVAL;
}

/* A value that does not fit. */
static int request_refuse_value(const struct run_request *request,
                                const struct input_variable *variable, size_t index,
                                const cJSON *value, struct api_error *error)
{
    api_error_input(error, "%s must be %s%s, got %s", request_input_name(variable, index).text,
                    input_type_phrase(variable->type),
                    variable->optional && variable->type != MR_NONE ? " or null" : "",
                    value == NULL ? "null" : input_value_phrase(request->document, value));
    return -EINVAL;
}

static bool request_is_file_key(const struct input_variable *variable, const char *key)
{
    for (uint32_t i = 0; i < variable->file_key_count; i++)
        if (strcmp(variable->file_keys[i], key) == 0)
            return true;
    return false;
}

/* A member of a dictionary that is a file, unless it is null. */
static int request_pack_file_member(struct request_inputs *inputs, size_t index,
                                    const cJSON *member, struct api_error *error)
{
    const struct input_variable *variable = &inputs->variables->inputs[index];
    const struct json_document *document = inputs->request->document;
    char what[240];
    if (cJSON_IsNull(member))
        return msgpack_pack_nil(&inputs->packing.packer);
    snprintf(what, sizeof what, "%s, \"%.60s\"", request_input_name(variable, index).text,
             member->string);
    if (!cJSON_IsObject(member)) {
        api_error_input(error, "%s must be a file, got %s", what,
                        input_value_phrase(document, member));
        return -EINVAL;
    }
    return request_file_pack(&inputs->packing, &inputs->files, document, member,
                             (uint32_t)index + 1, what, error);
}

/* A dictionary of which some members are files. */
static int request_pack_dictionary(struct request_inputs *inputs, size_t index, const cJSON *value,
                                   struct api_error *error)
{
    const struct input_variable *variable = &inputs->variables->inputs[index];
    const struct json_document *document = inputs->request->document;
    struct input_packing *packing = &inputs->packing;
    int rc = msgpack_pack_map(&packing->packer, (size_t)cJSON_GetArraySize(value));
    for (const cJSON *member = value->child; member && rc == 0; member = member->next) {
        rc = input_pack_text(packing, member->string, strlen(member->string));
        if (rc == 0 && request_is_file_key(variable, member->string))
            rc = request_pack_file_member(inputs, index, member, error);
        else if (rc == 0)
            rc = input_pack(packing, document, member, INPUT_DEPTH_MAX - 1);
    }
    return rc;
}

static int request_pack_value(struct request_inputs *inputs, size_t index, const cJSON *item,
                              const cJSON *value, struct api_error *error)
{
    const struct input_variable *variable = &inputs->variables->inputs[index];
    const struct json_document *document = inputs->request->document;
    if (variable->type == MR_FILE)
        return request_file_pack(&inputs->packing, &inputs->files, document, item,
                                 (uint32_t)index + 1, request_input_name(variable, index).text,
                                 error);
    int rc = variable->file_key_count > 0
                 ? request_pack_dictionary(inputs, index, value, error)
                 : input_pack(&inputs->packing, document, value, INPUT_DEPTH_MAX);
    if (rc == -ELOOP) {
        api_error_input(error, "%s is nested deeper than %u containers",
                        request_input_name(variable, index).text, INPUT_DEPTH_MAX);
        return -EINVAL;
    }
    return rc;
}

/* Whether the item says a file, and not a value. */
static bool request_is_file(const cJSON *item)
{
    return strcmp(cJSON_GetObjectItemCaseSensitive(item, "type")->valuestring, "file") == 0;
}

/* The value of `item` (NULL: it was left out) for the variable `index`. */
static int request_pack_input(struct request_inputs *inputs, size_t index, const cJSON *item,
                              struct api_error *error)
{
    const struct input_variable *variable = &inputs->variables->inputs[index];
    struct input_packing *packing = &inputs->packing;
    if (item == NULL)
        return request_pack_absent(packing, variable);
    int rc = request_check_type_word(item, variable, index, error);
    if (rc < 0)
        return rc;
    const cJSON *value = member(item, "value");
    const bool is_file = variable->type == MR_FILE && request_is_file(item);
    if (value == NULL && variable->optional && !is_file)
        return request_pack_absent(packing, variable);
    if (value == NULL && variable->type == MR_NONE)
        return msgpack_pack_nil(&packing->packer);
    if (!is_file &&
        (value == NULL || !input_fits(inputs->request->document, value, variable->type)))
        return request_refuse_value(inputs->request, variable, index, value, error);
    return request_pack_value(inputs, index, item, value, error);
}

/* What stands for an input that was left out, or null where that is allowed. */
static int request_pack_absent(struct input_packing *packing, const struct input_variable *variable)
{
    if (variable->default_msgpack == NULL)
        return msgpack_pack_nil(&packing->packer);
    const char *bytes = (const char *)variable->default_msgpack;
    return packing->packer.callback(packing->packer.data, bytes, variable->default_bytes);
}
