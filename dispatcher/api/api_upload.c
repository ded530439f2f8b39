/* SPDX-License-Identifier: MIT */
/* api_upload.c - POST /v4/files: a file that is stored while it arrives; PUT of a part of one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/api/api.h"
#include "dispatcher/api/signed_url.h"
#include "dispatcher/api/transfer.h"
#include "dispatcher/files/upload.h"
#include "dispatcher/http/http_parameter.h"
#include "dispatcher/http/multipart.h"
#include "dispatcher/http/response.h"
#include "dispatcher/text/text.h"

/* What a form has besides its file. */
#define FORM_BYTES_MAX (64u * 1024)
_Static_assert(UPLOAD_SLACK_BYTES >= 2 * HTTP_PIECE_BYTES, "what comes after conn_hold()");

#define FIELD_MISSING                                                                              \
    "[{\"loc\":[\"body\",\"pfile\"],\"msg\":\"field required\",\"type\":\"value_error.missing\"}]"

static void upload_on_room(void *owner);
static void upload_on_kept(void *owner, struct file *file);
static void upload_on_failed(void *owner, int rc);

static const struct upload_ops ops = {upload_on_room, upload_on_kept, upload_on_failed};

/* ---- the head ------------------------------------------------------------------------------- */

/* Whether it may be, as far as the head says; else it is answered. */
static bool upload_form_begin(struct transfer *transfer, const struct http_head *head)
{
    const struct http_header *type = http_head_find(head, "content-type");
    const struct http_header *disposition = http_head_find(head, "content-disposition");
    const char *reason = NULL;
    if (!type || !http_parameter_type_is(type->value, "multipart/form-data")) {
        int64_t bytes = disposition ? http_parameter_filename(disposition->value, transfer->name,
                                                              sizeof transfer->name)
                                    : 0;
        transfer->name_bytes = bytes > 0 ? (uint32_t)bytes : 0;
        return true;
    }
    transfer->form = malloc(sizeof *transfer->form);
    int rc = transfer->form ? multipart_init(transfer->form, type->value, &reason) : -503;
    if (rc < 0)
        transfer_refuse(transfer, -rc, reason ? reason : "Out of memory.");
    return rc == 0;
}

static void upload_overload(struct api *api, struct conn *conn)
{
    front_count_refusal(api->front, REQUEST_REFUSAL_INPUT_MEMORY);
    response_overload(api->front, conn);
}

/* As far as it is said; else it is answered. */
static bool upload_length_is_fine(struct transfer *transfer, const struct http_head *head)
{
    struct request *request = &transfer->conn->request;
    request->is_streamed = true;
    request->body_bytes_max =
        transfer->api->config->file_bytes_max + (transfer->form ? FORM_BYTES_MAX : 0);
    if (head->content_length <= request->body_bytes_max)
        return true;
    transfer_refuse(transfer, 413, transfer_too_large);
    return false;
}

/* Whether there is an upload; else it is answered why not, which `rc` says. */
static bool upload_has_begun(struct transfer *transfer, const struct http_head *head, int rc)
{
    struct api *api = transfer->api;
    struct conn *conn = transfer->conn;
    if (transfer->upload) {
        conn->request.keep_alive = head->keep_alive;
        return true;
    }
    if (rc == -ENOSPC || rc == -EMFILE) {
        transfer_refuse(transfer, 507, rc == -ENOSPC ? transfer_no_room : transfer_too_many);
    } else {
        transfer_give(transfer);
        upload_overload(api, conn);
    }
    return false;
}

static bool upload_begin_head(struct api *api, struct conn *conn, const struct http_head *head)
{
    struct request *request = &conn->request;
    int rc;
    if (transfer_is_refused(api, conn))
        return false;
    struct transfer *transfer = transfer_take(api, conn);
    if (!transfer) {
        upload_overload(api, conn);
        return false;
    }
    if (!upload_form_begin(transfer, head))
        return false;
    base_format(head, transfer->base);
    if (!upload_length_is_fine(transfer, head))
        return false;
    transfer->upload = upload_begin(api->files, request->token,
                                    transfer->form ? 0 : head->content_length, &ops, transfer, &rc);
    return upload_has_begun(transfer, head, rc);
}

/* The one that its URL names, as far as he may; NULL: that was answered. */
static struct parts *part_parts(struct api *api, struct conn *conn, uint32_t *number)
{
    char id[PARTS_ID_BYTES];
    const struct request *request = &conn->request;
    struct parts *parts =
        signed_part_read(request->argument, id, number) ? parts_get(api->files, id) : NULL;
    if (parts && (request->is_signed || parts_are_of(parts, request->token)))
        return parts;
    transfer_missing_upload(api, conn);
    return NULL;
}

static bool part_begin_head(struct api *api, struct conn *conn, const struct http_head *head)
{
    uint32_t number;
    int rc;
    if (transfer_is_refused(api, conn))
        return false;
    struct parts *parts = part_parts(api, conn, &number);
    if (!parts)
        return false;
    struct transfer *transfer = transfer_take(api, conn);
    if (!transfer) {
        upload_overload(api, conn);
        return false;
    }
    if (!upload_length_is_fine(transfer, head))
        return false;
    transfer->upload = upload_begin_part(parts, number, head->content_length, &ops, transfer, &rc);
    if (transfer->upload)
        memcpy(transfer->tag, transfer->upload->part.tag, sizeof transfer->tag);
    return upload_has_begun(transfer, head, rc);
}

/* ---- the body ------------------------------------------------------------------------------- */

/* False: it was refused, and is over. */
static bool upload_add_span(struct transfer *transfer, struct http_text span)
{
    int rc = upload_add(transfer->upload, span.data, span.bytes);
    if (rc == -EFBIG)
        transfer_refuse(transfer, 413, transfer_too_large);
    else if (rc < 0)
        transfer_refuse(transfer, 507, transfer_no_room);
    return rc == 0;
}

static bool upload_part_begin(struct transfer *transfer)
{
    char field[8];
    const struct http_text disposition = multipart_disposition(transfer->form);
    int64_t bytes = http_parameter_find(disposition, "name", field, sizeof field);
    transfer->is_in_file = bytes == 5 && memcmp(field, "pfile", 5) == 0;
    if (!transfer->is_in_file)
        return true;
    if (transfer->has_file) {
        transfer_refuse(transfer, 400, "the form has two files");
        return false;
    }
    transfer->has_file = true;
    bytes = http_parameter_filename(disposition, transfer->name, sizeof transfer->name);
    transfer->name_bytes = bytes > 0 ? (uint32_t)bytes : 0;
    return true;
}

/* Likewise. */
static bool upload_form_take(struct transfer *transfer, struct http_text span)
{
    struct multipart *form = transfer->form;
    struct http_text data;
    const char *reason;
    int rc;
    do {
        size_t consumed;
        rc = multipart_feed(form, span.data, span.bytes, &consumed, &data, &reason);
        if (rc < 0) {
            transfer_refuse(transfer, -rc, reason);
            return false;
        }
        if (rc == MULTIPART_PART && !upload_part_begin(transfer))
            return false;
        if (rc == MULTIPART_DATA && transfer->is_in_file && !upload_add_span(transfer, data))
            return false;
        span = (struct http_text){span.data + consumed, span.bytes - consumed};
    } while (rc != MULTIPART_MORE && rc != MULTIPART_COMPLETE);
    return true;
}

static bool upload_form_is_whole(struct transfer *transfer)
{
    struct api *api = transfer->api;
    struct conn *conn = transfer->conn;
    if (!transfer->form || (multipart_is_complete(transfer->form) && transfer->has_file))
        return true;
    if (!multipart_is_complete(transfer->form)) {
        transfer_refuse(transfer, 400, "the form ends before its last boundary");
        return false;
    }
    transfer_give(transfer);
    conn_answer_begin(api->front, conn);
    api_detail(api, conn, 422, FIELD_MISSING);
    return false;
}

static int upload_on_body(struct api *api, struct conn *conn, struct http_text span, bool is_last)
{
    struct transfer *transfer = conn->pending;
    const bool goes_on = span.bytes == 0  ? true
                         : transfer->form ? upload_form_take(transfer, span)
                                          : upload_add_span(transfer, span);
    if (!goes_on)
        return 0;
    if (is_last) {
        if (!upload_form_is_whole(transfer))
            return 0;
        upload_end(transfer->upload, transfer->name, transfer->name_bytes);
        conn_answer_begin(api->front, conn);
    } else if (transfer->upload->is_full && !conn->is_held) {
        conn_hold(api->front, conn);
    }
    return 0;
}

/* ---- the disk ------------------------------------------------------------------------------- */

static void upload_on_room(void *owner)
{
    struct transfer *transfer = owner;
    conn_release(transfer->api->front, transfer->conn);
}

static void upload_part_kept(struct transfer *transfer)
{
    struct front *front = transfer->api->front;
    struct conn *conn = transfer->conn;
    char headers[PARTS_TAG_BYTES + 16];
    snprintf(headers, sizeof headers, "ETag: \"%s\"\r\n", transfer->tag);
    transfer_give(transfer);
    response_send(front, conn, &(struct response){.status = 200, .headers = headers, .body = ""});
}

static void upload_on_kept(void *owner, struct file *file)
{
    struct transfer *transfer = owner;
    transfer->upload = NULL;
    if (file)
        transfer_file_kept(transfer, file);
    else
        upload_part_kept(transfer);
}

static void upload_on_failed(void *owner, int rc)
{
    struct transfer *transfer = owner;
    transfer->upload = NULL;
    transfer_file_lost(transfer, rc);
}

static void upload_on_sent(struct api *api, struct conn *conn, uint64_t charge)
{
    (void)api, (void)conn, (void)charge; /* 100 Continue */
}

const struct route_stream api_upload = {
    .begin = upload_begin_head,
    .body = upload_on_body,
    .sent = upload_on_sent,
    .gone = transfer_on_gone,
};

const struct route_stream api_part = {
    .begin = part_begin_head,
    .body = upload_on_body,
    .sent = upload_on_sent,
    .gone = transfer_on_gone,
};
