/* SPDX-License-Identifier: MIT */
/* run_request_scheduling.c - {"scheduling": {"class": "batch", "tenant": "a", "affinity": "b"}}. */
#include "dispatcher/inputs/run_request_scheduling.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/text/run_class.h"

#define SCHEDULING "scheduling"

static int scheduling_refuse(const char *name, const char *text, const char *type,
                             struct api_error *error)
{
    char location[64];
    snprintf(location, sizeof location, ",\"" SCHEDULING "\",\"%s\"", name);
    api_error_invalid(error, location, text, type);
    return -EINVAL;
}

static int scheduling_class(const struct run_request *request, const cJSON *scheduling,
                            uint32_t *out, struct api_error *error)
{
    const cJSON *class = cJSON_GetObjectItemCaseSensitive(scheduling, "class");
    if (class == NULL || cJSON_IsNull(class))
        return 0;
    if (cJSON_IsString(class) &&
        run_class_read(class->valuestring, strlen(class->valuestring), out) == 0)
        return 0;
    if (cJSON_IsNumber(class)) {
        struct json_number number = json_in_number(request->document, class);
        if (number.kind == JSON_TOKEN_INTEGER && number.u.integer >= 0 &&
            number.u.integer < RUN_CLASS_COUNT) {
            *out = (uint32_t)number.u.integer;
            return 0;
        }
    }
    return scheduling_refuse("class", "a class is interactive, batch, or 0 to 9", "value_error",
                             error);
}

static int scheduling_text(const struct run_request *request, const cJSON *scheduling,
                           const char *name, const char **out, struct api_error *error)
{
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(scheduling, name);
    if (text == NULL || cJSON_IsNull(text))
        return 0;
    if (!cJSON_IsString(text))
        return scheduling_refuse(name, "str type expected", "type_error.str", error);
    size_t bytes = strlen(text->valuestring);
    if (json_in_string_bytes(request->document, text) != bytes || bytes == 0 ||
        bytes > SCHEDULING_TEXT_BYTES_MAX)
        return scheduling_refuse(name, "a name has 1 to 256 bytes, and no \\u0000", "value_error",
                                 error);
    *out = text->valuestring;
    return 0;
}

int run_request_check_scheduling(struct run_request *request, const cJSON *body,
                                 struct api_error *error)
{
    struct run_request_scheduling *out = &request->scheduling;
    const cJSON *scheduling = cJSON_GetObjectItemCaseSensitive(body, SCHEDULING);
    if (scheduling == NULL || cJSON_IsNull(scheduling))
        return 0;
    if (!cJSON_IsObject(scheduling)) {
        api_error_invalid(error, ",\"" SCHEDULING "\"", "value is not a valid dict",
                          "type_error.dict");
        return -EINVAL;
    }
    int rc = scheduling_class(request, scheduling, &out->class, error);
    if (rc == 0)
        rc = scheduling_text(request, scheduling, "tenant", &out->tenant, error);
    return rc < 0 ? rc : scheduling_text(request, scheduling, "affinity", &out->affinity, error);
}
