/* SPDX-License-Identifier: MIT */
/* warm_up_inputs.c - the inputs of a warm-up are read and packed as those of a run are. */
#include "dispatcher/inputs/warm_up_inputs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/text/json_view.h"
#include "dispatcher/text/text.h"

/* What is wrong with a request, without what only its sender knows: "inputs, 0, type: field
 * required". */
static void warm_up_say(const struct api_error *error, char reason[WARM_UP_REASON_BYTES])
{
    struct json_view detail, problem = {0}, part = {0};
    struct json_error unused;
    struct text text = {0};
    if (error->is_result) {
        snprintf(reason, WARM_UP_REASON_BYTES, "%s", error->message);
        return;
    }
    int rc = json_view_parse(&detail, error->detail, strlen(error->detail), &unused);
    bool is_there = rc == 0 && json_view_next(&detail, &problem);
    mr_assert(is_there || rc == -ENOMEM);
    struct json_view place = json_view_get(&problem, "loc"), why = json_view_get(&problem, "msg");
    for (bool is_first = true; is_there && json_view_next(&place, &part); is_first = false) {
        if (is_first)
            continue; /* "body" */
        text_add(&text, "%s", text.count > 0 ? ", " : "");
        if (json_view_is_string(&part))
            json_view_string(&part, &text);
        else
            text_add_bytes(&text, part.text, part.bytes);
    }
    text_add(&text, ": ");
    json_view_string(&why, &text);
    snprintf(reason, WARM_UP_REASON_BYTES, "%.*s", text.failed ? 0 : (int)text.count, text.bytes);
    text_finish(&text);
}

/* The text is one array of JSON, and no more: it becomes a part of a larger text. */
static int warm_up_array_check(const char *inputs, char reason[WARM_UP_REASON_BYTES])
{
    struct json_view view;
    struct json_error wrong;
    int rc = json_view_parse(&view, inputs, strlen(inputs), &wrong);
    if (rc == -EINVAL && wrong.offset != JSON_OFFSET_NONE)
        snprintf(reason, WARM_UP_REASON_BYTES, "it is no JSON: %s at byte %zu", wrong.message,
                 wrong.offset);
    else if (rc == -EINVAL)
        snprintf(reason, WARM_UP_REASON_BYTES, "it is no JSON: %s", wrong.message);
    if (rc < 0 || *view.text == '[')
        return rc;
    snprintf(reason, WARM_UP_REASON_BYTES,
             "it is the list that a run has as its inputs, like "
             "[{\"type\": \"string\", \"value\": \"hello\"}]");
    return -EINVAL;
}

static int warm_up_request_parse(const char *inputs, struct run_request *out,
                                 struct api_error *error)
{
    struct text body = {0};
    text_add(&body, "{\"inputs\":");
    text_add_bytes(&body, inputs, strlen(inputs));
    text_add(&body, "}");
    int rc = body.failed ? -ENOMEM : run_request_parse(out, body.bytes, body.count, error);
    text_finish(&body);
    return rc;
}

static int warm_up_read(const char *inputs, struct run_request *out,
                        char reason[WARM_UP_REASON_BYTES])
{
    struct api_error error;
    snprintf(reason, WARM_UP_REASON_BYTES, "no memory");
    int rc = warm_up_array_check(inputs, reason);
    if (rc == 0)
        rc = warm_up_request_parse(inputs, out, &error);
    else
        return rc;
    if (rc == -EINVAL)
        warm_up_say(&error, reason);
    return rc;
}

int warm_up_inputs_check(const char *inputs, char reason[WARM_UP_REASON_BYTES])
{
    struct run_request request = {0};
    int rc = warm_up_read(inputs, &request, reason);
    if (rc == 0)
        run_request_finish(&request);
    return rc;
}

int warm_up_inputs_pack(const char *inputs, const struct variables *variables,
                        struct run_payload *out, char reason[WARM_UP_REASON_BYTES])
{
    struct run_request request = {0};
    struct run_payload payload = {0};
    struct api_error error;
    int rc = warm_up_read(inputs, &request, reason);
    if (rc < 0)
        return rc;
    rc = run_request_pack(&request, variables, WARM_UP_RUN_ID, &payload, &error);
    run_request_finish(&request);
    if (rc == -EINVAL)
        warm_up_say(&error, reason);
    if (rc < 0)
        return rc;
    if (payload.reference_bytes > 0) {
        snprintf(reason, WARM_UP_REASON_BYTES, "a file is none of the inputs that it can have");
        free(payload.memory);
        return -EINVAL;
    }
    *out = payload;
    return 0;
}
