/* SPDX-License-Identifier: MIT */
/* client_refusal.c - what a server says when it does not do what it is asked. */
#include "dispatcher/cli/client/client_refusal.h"

static void refusal_names_add(const struct json_view *detail, struct text *out);

void client_value_add(const struct json_view *value, struct text *out)
{
    if (json_view_is_string(value))
        json_view_string(value, out);
    else
        text_add_bytes(out, value->text, value->bytes);
}

const char *client_member_text(const struct json_view *object, const char *key, struct text *text)
{
    struct json_view value;
    if (!json_view_member(object, key, &value) || json_view_is_null(&value))
        return NULL;
    client_value_add(&value, text);
    text_add_bytes(text, "", 1);
    return text->failed ? NULL : text->bytes;
}

void client_detail_add(long status, const struct json_view *detail, struct text *out)
{
    struct text text = {0};
    struct json_view item = {0};
    const char *message = client_member_text(detail, "message", &text);
    if (!message && json_view_next(detail, &item))
        message = client_member_text(&item, "msg", &text);
    if (!message) {
        client_value_add(detail, &text);
        text_add_bytes(&text, "", 1);
        message = text.failed ? "" : text.bytes;
    }
    text_add(out, "the server answered with status %ld: %s", status, message);
    refusal_names_add(detail, out);
    text_finish(&text);
}

void client_refusal_add(long status, const char *bytes, size_t count, struct text *out)
{
    struct json_view answer, detail;
    struct json_error error;
    if (json_view_parse(&answer, bytes, count, &error) == 0 &&
        json_view_member(&answer, "detail", &detail))
        client_detail_add(status, &detail, out);
    else
        text_add(out, "the server answered with status %ld", status);
}

/* "; this server has me/a:v1, me/b:v1 and 3 more", of a 404 that says so. */
static void refusal_names_add(const struct json_view *detail, struct text *out)
{
    struct json_view list, item = {0}, total;
    uint32_t count = 0;
    double all = 0;
    if (!json_view_member(detail, "pipelines", &list))
        return;
    while (json_view_next(&list, &item)) {
        text_add(out, "%s", count++ == 0 ? "; this server has " : ", ");
        client_value_add(&item, out);
    }
    if (json_view_member(detail, "total", &total) && json_view_number(&total, &all) && count > 0 &&
        all > count)
        text_add(out, " and %.0f more", all - count);
}
