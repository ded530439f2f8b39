/* SPDX-License-Identifier: MIT */
/* run_request_files.c - what an input says of its file. */
#include "dispatcher/inputs/run_request_files.h"

#include <errno.h>
#include <string.h>

#include "dispatcher/inputs/file_reference.h"
#include "millrace/limits.h"
#include "millrace/protocol.h"

/* A text member, or nothing where it is missing or null. -EINVAL: it is something else. */
static int request_file_text(const struct json_document *document, const cJSON *item,
                             const char *key, const char *what, const char **text, uint32_t *bytes,
                             struct api_error *error)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(item, key);
    *text = "";
    *bytes = 0;
    if (!member || cJSON_IsNull(member))
        return 0;
    if (!cJSON_IsString(member)) {
        api_error_input(error, "%s: %s must be a string, got %s", what, key,
                        input_value_phrase(document, member));
        return -EINVAL;
    }
    size_t count = strlen(member->valuestring);
    if (json_in_string_bytes(document, member) != count) {
        api_error_input(error, "%s: %s holds a NUL", what, key);
        return -EINVAL;
    }
    if (count > FILE_REFERENCE_BYTES_MAX) {
        api_error_input(error, "%s: %s is longer than %u bytes", what, key,
                        FILE_REFERENCE_BYTES_MAX);
        return -EINVAL;
    }
    *text = member->valuestring;
    *bytes = (uint32_t)count;
    return 0;
}

/* Clients put a URL also where a path is meant. */
static bool request_file_is_url(const char *text)
{
    return strstr(text, "://") != NULL;
}

static int request_file_find(const struct json_document *document, const cJSON *item,
                             const char *what, struct file_reference *out, struct api_error *error)
{
    int rc =
        request_file_text(document, item, "file_name", what, &out->name, &out->name_bytes, error);
    if (rc == 0)
        rc = request_file_text(document, item, "file_url", what, &out->where, &out->where_bytes,
                               error);
    out->is_url = out->where_bytes > 0;
    if (rc == 0 && !out->is_url) {
        rc = request_file_text(document, item, "file_path", what, &out->where, &out->where_bytes,
                               error);
        out->is_url = rc == 0 && request_file_is_url(out->where);
    }
    if (rc == 0 && out->where_bytes == 0) {
        api_error_input(error, "A file must either have a path or url attribute (%s)", what);
        rc = -EINVAL;
    }
    return rc;
}

int request_file_pack(struct input_packing *packing, struct request_files *files,
                      const struct json_document *document, const cJSON *item, uint32_t number,
                      const char *what, struct api_error *error)
{
    struct file_reference reference = {.input = number};
    const uint32_t index = files->count;
    const char place[4] = {(char)(index >> 24), (char)(index >> 16), (char)(index >> 8),
                           (char)index};
    int rc = request_file_find(document, item, what, &reference, error);
    if (rc == 0 && files->count == RUN_FILE_COUNT_MAX) {
        api_error_input(error, "the inputs name more than %u files", RUN_FILE_COUNT_MAX);
        rc = -EINVAL;
    }
    if (rc < 0)
        return rc;
    files->count++;
    rc = msgpack_pack_ext(&packing->packer, sizeof place, VALUE_FILE);
    if (rc == 0)
        rc = msgpack_pack_ext_body(&packing->packer, place, sizeof place);
    return rc == 0 ? file_reference_pack(&files->references, &reference) : rc;
}
