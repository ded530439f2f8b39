/* SPDX-License-Identifier: MIT */
/*
 * api_parts.c - POST below /v3/pipeline_files/: files that come in parts begin, are told where a
 * part is to be put, and are put together.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "dispatcher/api/api.h"
#include "dispatcher/api/transfer.h"
#include "dispatcher/http/collector.h"
#include "dispatcher/http/response.h"
#include "dispatcher/inputs/api_error.h"
#include "dispatcher/text/json_view.h"
#include "dispatcher/text/text.h"

#define ASK_BYTES_MAX (64u * 1024)
/* For PART_NUMBER_MAX times {"ETag":"\"<32>\"","PartNumber":10000}, with blanks. */
#define JOIN_BYTES_MAX (1024u * 1024)
#define MESSAGE_BYTES 160u

static void join_on_kept(void *owner, struct file *file);
static void join_on_failed(void *owner, int rc);

static const struct parts_ops ops = {join_on_kept, join_on_failed};

/* ---- what all of them have ------------------------------------------------------------------ */

typedef void ask_fn(struct transfer *transfer, const struct json_view *body);

static bool ask_begin(struct api *api, struct conn *conn, const struct http_head *head,
                      uint64_t bytes_max)
{
    struct transfer *transfer = transfer_is_refused(api, conn) ? NULL : transfer_take(api, conn);
    if (!transfer) {
        if (files_are_on(api->files))
            response_detail(api->front, conn, 503, "Out of memory.");
        return false;
    }
    base_format(head, transfer->base);
    conn->request.body_bytes_max =
        bytes_max < api->config->body_bytes_max ? bytes_max : api->config->body_bytes_max;
    conn->request.keep_alive = head->keep_alive;
    return true;
}

static bool ask_begin_head(struct api *api, struct conn *conn, const struct http_head *head)
{
    return ask_begin(api, conn, head, ASK_BYTES_MAX);
}

/* It is answered with a 422. */
static void ask_invalid(struct transfer *transfer, const char *location, const char *message,
                        const char *type)
{
    struct api *api = transfer->api;
    struct conn *conn = transfer->conn;
    struct api_error error;
    api_error_invalid(&error, location, message, type);
    transfer_give(transfer);
    api_detail(api, conn, error.status, error.detail);
}

static void ask_read(struct transfer *transfer, struct http_text text, ask_fn *ask)
{
    char location[32] = "";
    struct json_view body;
    struct json_error error;
    int rc = json_view_parse(&body, text.data, text.bytes, &error);
    if (rc == -ENOMEM) {
        transfer_refuse(transfer, 503, "Out of memory.");
    } else if (rc < 0) {
        if (error.offset != JSON_OFFSET_NONE)
            snprintf(location, sizeof location, ",%zu", error.offset);
        ask_invalid(transfer, location, error.message, "value_error.jsondecode");
    } else if (body.text[0] != '{') {
        ask_invalid(transfer, "", "value is not a valid dict", "type_error.dict");
    } else {
        ask(transfer, &body);
    }
}

/* A large one lies in a file of memory. */
static void ask_map(struct transfer *transfer, int fd, size_t bytes, ask_fn *ask)
{
    void *map = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
        transfer_refuse(transfer, 503, "Out of memory.");
        return;
    }
    ask_read(transfer, (struct http_text){map, bytes}, ask);
    munmap(map, bytes);
}

static int ask_take(struct api *api, struct conn *conn, struct http_text span, bool is_last,
                    ask_fn *ask)
{
    struct http_text whole;
    int rc = collector_take(api->front, conn, span, is_last, &whole);
    if (rc < 0 || !is_last)
        return rc;
    conn_answer_begin(api->front, conn);
    if (conn->body.is_file)
        ask_map(conn->pending, conn->body.fd, conn->body.kept.bytes, ask);
    else
        ask_read(conn->pending, whole, ask);
    collector_drop(api->front, conn);
    return 0;
}

static void ask_on_sent(struct api *api, struct conn *conn, uint64_t charge)
{
    (void)api, (void)conn, (void)charge; /* 100 Continue */
}

static void ask_answer(struct transfer *transfer, struct text *text)
{
    struct api *api = transfer->api;
    struct conn *conn = transfer->conn;
    transfer_give(transfer);
    response_text(api->front, conn, 200, NULL, text);
}

/* An id of ours, which has no escapes; any other text becomes "". False: there is none, and that is
 * answered. */
static bool ask_id(struct transfer *transfer, const struct json_view *body, const char *key,
                   char *out, size_t room)
{
    struct json_view value;
    char location[32];
    snprintf(location, sizeof location, ",\"%s\"", key);
    if (!json_view_member(body, key, &value)) {
        ask_invalid(transfer, location, "field required", "value_error.missing");
        return false;
    }
    if (!json_view_is_string(&value)) {
        ask_invalid(transfer, location, "str type expected", "type_error.str");
        return false;
    }
    const size_t bytes = value.bytes - 2;
    out[0] = '\0';
    if (bytes < room) {
        memcpy(out, value.text + 1, bytes);
        out[bytes] = '\0';
    }
    return true;
}

/* A whole number from 1 to PART_NUMBER_MAX; 0: it is none. */
static uint32_t ask_number(const struct json_view *value)
{
    double number;
    if (!json_view_number(value, &number) || number < 1 || number > PART_NUMBER_MAX ||
        number != (double)(uint32_t)number)
        return 0;
    return (uint32_t)number;
}

/* The upload that a body is of, as far as he may; NULL: that is answered. */
static struct parts *ask_parts(struct transfer *transfer, const struct json_view *body)
{
    struct api *api = transfer->api;
    struct conn *conn = transfer->conn;
    char file_id[FILE_ID_BYTES], id[PARTS_ID_BYTES];
    if (!ask_id(transfer, body, "file_id", file_id, sizeof file_id) ||
        !ask_id(transfer, body, "upload_id", id, sizeof id))
        return NULL;
    struct parts *parts = parts_get(api->files, id);
    if (parts && parts_are_of(parts, conn->request.token) &&
        strcmp(parts->file->about.id, file_id) == 0)
        return parts;
    transfer_give(transfer);
    transfer_missing_upload(api, conn);
    return NULL;
}

/* ---- it begins ------------------------------------------------------------------------------ */

static void begin_ask(struct transfer *transfer, const struct json_view *body)
{
    struct api *api = transfer->api;
    struct conn *conn = transfer->conn;
    struct text name = {0}, text = {0};
    int rc = -ENOMEM;
    struct json_view said = json_view_get(body, "name");
    if (!json_view_is_null(&said) && !json_view_is_string(&said)) {
        ask_invalid(transfer, ",\"name\"", "str type expected", "type_error.str");
        return;
    }
    if (json_view_is_string(&said))
        json_view_string(&said, &name);
    struct parts *parts = name.failed ? NULL
                                      : parts_begin(api->files, conn->request.token,
                                                    name.bytes ? name.bytes : "", name.count, &rc);
    text_finish(&name);
    if (!parts) {
        transfer_give(transfer);
        front_count_refusal(api->front, REQUEST_REFUSAL_INPUT_MEMORY);
        response_overload(api->front, conn);
        return;
    }
    text_add(&text, "{\"file_id\":\"%s\",\"upload_id\":\"%s\"}\n", parts->file->about.id,
             parts->id);
    ask_answer(transfer, &text);
}

static int begin_on_body(struct api *api, struct conn *conn, struct http_text span, bool is_last)
{
    return ask_take(api, conn, span, is_last, begin_ask);
}

const struct route_stream api_parts_begin = {
    .begin = ask_begin_head,
    .body = begin_on_body,
    .sent = ask_on_sent,
    .gone = transfer_on_gone,
};

/* ---- where a part is put -------------------------------------------------------------------- */

static void url_ask(struct transfer *transfer, const struct json_view *body)
{
    char url[FILE_URL_BYTES];
    struct text text = {0};
    struct json_view value;
    if (!json_view_member(body, "part_num", &value)) {
        ask_invalid(transfer, ",\"part_num\"", "field required", "value_error.missing");
        return;
    }
    const uint32_t number = ask_number(&value);
    struct parts *parts = ask_parts(transfer, body);
    if (!parts)
        return;
    if (number == 0) {
        transfer_refuse(transfer, 400, "part_num must be a number from 1 to 10000.");
        return;
    }
    parts_use(parts);
    const size_t bytes =
        part_url_format(transfer->api->files, transfer->base, parts->id, number, url);
    text_add(&text, "{\"upload_url\":");
    text_add_json(&text, url, bytes);
    text_add(&text, "}\n");
    ask_answer(transfer, &text);
}

static int url_on_body(struct api *api, struct conn *conn, struct http_text span, bool is_last)
{
    return ask_take(api, conn, span, is_last, url_ask);
}

const struct route_stream api_parts_url = {
    .begin = ask_begin_head,
    .body = url_on_body,
    .sent = ask_on_sent,
    .gone = transfer_on_gone,
};

/* ---- they are put together ------------------------------------------------------------------ */

static bool join_begin_head(struct api *api, struct conn *conn, const struct http_head *head)
{
    return ask_begin(api, conn, head, JOIN_BYTES_MAX);
}

/* Whether this is the tag, in the quotes of a header, which are escaped here, or without. */
static bool join_tag_is(const struct json_view *said, const char *tag)
{
    char quoted[PARTS_TAG_BYTES + 8];
    int bytes = snprintf(quoted, sizeof quoted, "\"\\\"%s\\\"\"", tag);
    const size_t plain = strlen(tag);
    return (said->bytes == (size_t)bytes && memcmp(said->text, quoted, said->bytes) == 0) ||
           (said->bytes == plain + 2 && memcmp(said->text + 1, tag, plain) == 0);
}

/* One that a client names, after `last`. Its number; 0: it is wrong, and `message` says how. */
static uint32_t join_part(const struct parts *parts, const struct json_view *item, uint32_t last,
                          char message[MESSAGE_BYTES])
{
    const struct json_view said = json_view_get(item, "PartNumber"),
                           tag = json_view_get(item, "ETag");
    const uint32_t number = ask_number(&said);
    const struct part *part = number > 0 ? parts_find(parts, number) : NULL;
    if (number == 0 || !json_view_is_string(&tag))
        snprintf(message, MESSAGE_BYTES,
                 "multipart_metadata has, for each part, its ETag and its "
                 "PartNumber, from 1 to 10000.");
    else if (number <= last)
        snprintf(message, MESSAGE_BYTES,
                 "multipart_metadata has part %u after part %u: each is named once, in order.",
                 number, last);
    else if (!part)
        snprintf(message, MESSAGE_BYTES, "Part %u was not uploaded, or not to its end.", number);
    else if (!join_tag_is(&tag, part->tag))
        snprintf(message, MESSAGE_BYTES,
                 "The ETag of part %u is not the one that its last upload was answered with.",
                 number);
    else
        return number;
    return 0;
}

/* Whether the client names all there are, each as it was last answered; else what is wrong. */
static bool join_is_right(const struct parts *parts, const struct json_view *list,
                          char message[MESSAGE_BYTES])
{
    struct json_view item = {0};
    uint32_t last = 0, count = 0;
    while (json_view_next(list, &item)) {
        last = join_part(parts, &item, last, message);
        if (last == 0)
            return false;
        if (parts->parts[count].number != last)
            break; /* one before it was left out */
        count++;
    }
    if (count == parts->count)
        return true;
    snprintf(message, MESSAGE_BYTES, "Part %u was uploaded, and multipart_metadata has it not.",
             parts->parts[count].number);
    return false;
}

static void join_ask(struct transfer *transfer, const struct json_view *body)
{
    struct api *api = transfer->api;
    struct conn *conn = transfer->conn;
    char message[MESSAGE_BYTES];
    struct json_view list;
    if (!json_view_member(body, "multipart_metadata", &list)) {
        ask_invalid(transfer, ",\"multipart_metadata\"", "field required", "value_error.missing");
        return;
    }
    if (list.text[0] != '[') {
        ask_invalid(transfer, ",\"multipart_metadata\"", "value is not a valid list",
                    "type_error.list");
        return;
    }
    struct parts *parts = ask_parts(transfer, body);
    if (!parts)
        return;
    if (!join_is_right(parts, &list, message)) {
        parts_use(parts);
        transfer_refuse(transfer, 400, message);
    } else if (parts_are_busy(api->files)) {
        transfer_give(transfer);
        front_count_refusal(api->front, REQUEST_REFUSAL_INPUT_MEMORY);
        response_overload(api->front, conn);
    } else {
        transfer->parts = parts;
        parts_join(parts, &ops, transfer);
    }
}

static int join_on_body(struct api *api, struct conn *conn, struct http_text span, bool is_last)
{
    return ask_take(api, conn, span, is_last, join_ask);
}

static void join_on_kept(void *owner, struct file *file)
{
    struct transfer *transfer = owner;
    transfer->parts = NULL;
    transfer_file_kept(transfer, file);
}

static void join_on_failed(void *owner, int rc)
{
    struct transfer *transfer = owner;
    transfer->parts = NULL;
    transfer_file_lost(transfer, rc);
}

const struct route_stream api_parts_join = {
    .begin = join_begin_head,
    .body = join_on_body,
    .sent = ask_on_sent,
    .gone = transfer_on_gone,
};
