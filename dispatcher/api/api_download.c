/* SPDX-License-Identifier: MIT */
/* api_download.c - GET /v4/files/download/{id}: a file, or a part of it, as fast as it is read. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "dispatcher/api/api.h"
#include "dispatcher/api/transfer.h"
#include "dispatcher/files/download.h"
#include "dispatcher/http/response.h"
#include "dispatcher/text/put.h"

#define HEADERS_BYTES 1600u
#define TAG_BYTES (FILE_HASH_BYTES + 2u)
/* What is read is put behind what is on its way when there is no more of that. */
#define ON_ITS_WAY_BYTES_MAX (DOWNLOAD_BUFFER_BYTES / 2)

static void download_on_ready(void *owner, const char *bytes, size_t count);
static void download_on_failed(void *owner, int rc);

static const struct download_ops ops = {download_on_ready, download_on_failed};

/* ---- what is said of it --------------------------------------------------------------------- */

/* Nothing that a browser would run. */
static const char *const types[][2] = {
    {"txt", "text/plain; charset=utf-8"},
    {"csv", "text/csv; charset=utf-8"},
    {"json", "application/json"},
    {"pdf", "application/pdf"},
    {"zip", "application/zip"},
    {"gz", "application/gzip"},
    {"png", "image/png"},
    {"jpg", "image/jpeg"},
    {"jpeg", "image/jpeg"},
    {"gif", "image/gif"},
    {"webp", "image/webp"},
    {"mp3", "audio/mpeg"},
    {"wav", "audio/wav"},
    {"ogg", "audio/ogg"},
    {"flac", "audio/flac"},
    {"mp4", "video/mp4"},
    {"webm", "video/webm"},
};

static const char *download_type(const char *name)
{
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < ARRAY_COUNT(types); i++)
        if (strcasecmp(dot + 1, types[i][0]) == 0)
            return types[i][1];
    return "application/octet-stream";
}

static bool download_is_plain(char byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= 'a' && byte <= 'z') || byte == '.' || byte == '-' || byte == '_';
}

/* The name twice: for those who know UTF-8 in heads (RFC 8187), and for those who do not. */
static void download_put_name(struct put *put, const char *name)
{
    static const char digits[] = "0123456789ABCDEF";
    PUT(put, "Content-Disposition: attachment; filename=\"");
    for (const char *at = name; *at; at++)
        put_bytes(put, download_is_plain(*at) || *at == ' ' ? at : "_", 1);
    PUT(put, "\"; filename*=UTF-8''");
    for (const char *at = name; *at; at++) {
        const unsigned char byte = (unsigned char)*at;
        const char escape[] = {'%', digits[byte >> 4], digits[byte & 15]};
        if (download_is_plain(*at))
            put_bytes(put, at, 1);
        else
            put_bytes(put, escape, sizeof escape);
    }
    PUT(put, "\r\n");
}

static void download_tag(const struct file *file, char tag[TAG_BYTES])
{
    snprintf(tag, TAG_BYTES, "\"%s\"", file->about.sha256);
}

/* Files never change, but whose they are is not for caches that others share. */
static void download_headers(const struct file *file, const struct http_range *part, char *text)
{
    char tag[TAG_BYTES];
    struct put put = {text, text + HEADERS_BYTES - 1};
    download_tag(file, tag);
    PUT(&put, "Accept-Ranges: bytes\r\nX-Content-Type-Options: nosniff\r\n"
              "Cache-Control: private\r\nETag: ");
    put_text(&put, tag);
    PUT(&put, "\r\n");
    if (part) {
        PUT(&put, "Content-Range: bytes ");
        put_number(&put, part->first);
        PUT(&put, "-");
        put_number(&put, part->first + part->bytes - 1);
        PUT(&put, "/");
        put_number(&put, file->about.bytes);
        PUT(&put, "\r\n");
    }
    download_put_name(&put, file->about.name);
    *put.at = '\0';
}

static void download_head_send(struct api *api, struct conn *conn, const struct file *file,
                               const struct http_range *part)
{
    char headers[HEADERS_BYTES];
    download_headers(file, part, headers);
    response_head(api->front, conn,
                  &(struct response){.status = part ? 206 : 200,
                                     .content_type = download_type(file->about.name),
                                     .headers = headers},
                  part ? part->bytes : file->about.bytes);
}

/* ---- the request ---------------------------------------------------------------------------- */

static void download_range_refuse(struct api *api, struct conn *conn, const struct file *file)
{
    static const char body[] = "{\"detail\":\"The file has no such bytes.\"}\n";
    char headers[64];
    snprintf(headers, sizeof headers, "Content-Range: bytes */%llu\r\n",
             (unsigned long long)file->about.bytes);
    front_count_refusal(api->front, request_refusal_of_status(416));
    response_send(
        api->front, conn,
        &(struct response){
            .status = 416, .headers = headers, .body = body, .body_bytes = sizeof body - 1});
}

static void download_start(struct api *api, struct conn *conn, struct file *file,
                           const struct http_range *part)
{
    int rc;
    struct transfer *transfer = transfer_take(api, conn);
    const struct http_range range = part ? *part : (struct http_range){0, file->about.bytes};
    if (transfer) {
        transfer->range = range;
        transfer->is_part = part != NULL;
        transfer->left = range.bytes;
        transfer->download = download_begin(file, range.first, range.bytes, &ops, transfer, &rc);
        if (transfer->download)
            return;
        transfer_give(transfer);
    }
    front_count_refusal(api->front, REQUEST_REFUSAL_INPUT_MEMORY);
    response_overload(api->front, conn);
}

static bool download_begin_head(struct api *api, struct conn *conn, const struct http_head *head)
{
    char tag[TAG_BYTES], headers[HEADERS_BYTES];
    struct http_range part;
    if (transfer_is_refused(api, conn))
        return false;
    const struct request *request = &conn->request;
    struct file *file = request->is_signed
                            ? files_get(api->files, request->argument)
                            : files_find(api->files, request->token, request->argument);
    if (!file) {
        transfer_missing(api, conn);
        return false;
    }
    download_tag(file, tag);
    const enum http_range_result what = http_range_of(head, tag, file->about.bytes, &part);
    if (http_range_is_had(head, tag)) {
        download_headers(file, NULL, headers);
        response_send(api->front, conn,
                      &(struct response){.status = 304, .headers = headers, .body = ""});
    } else if (what == HTTP_RANGE_NONE) {
        download_range_refuse(api, conn, file);
    } else if (head->method == HTTP_HEAD || file->about.bytes == 0) {
        download_head_send(api, conn, file, NULL);
        if (conn->state == CONN_RESPONDING)
            conn_response_done(api->front, conn);
    } else {
        download_start(api, conn, file, what == HTTP_RANGE_PART ? &part : NULL);
    }
    return false;
}

/* ---- the bytes ------------------------------------------------------------------------------ */

/* A charge for each block, which comes back when it is sent. */
static bool download_append(struct transfer *transfer)
{
    struct front *front = transfer->api->front;
    struct conn *conn = transfer->conn;
    for (size_t at = 0, count; at < transfer->ready_bytes; at += count) {
        const size_t left = transfer->ready_bytes - at;
        count = left < OUT_BLOCK_ROOM ? left : OUT_BLOCK_ROOM;
        if (out_append(&front->out, &conn->out, transfer->ready + at, count, false) < 0)
            return false;
        out_charge(&conn->out, count);
    }
    return true;
}

static void download_flow(struct transfer *transfer)
{
    struct front *front = transfer->api->front;
    struct conn *conn = transfer->conn;
    if (transfer->ready_bytes == 0 || transfer->on_its_way > ON_ITS_WAY_BYTES_MAX ||
        conn->state != CONN_RESPONDING)
        return;
    if (!download_append(transfer)) {
        front_count_refusal(front, REQUEST_REFUSAL_MEMORY);
        conn_doom(front, conn);
        return;
    }
    transfer->on_its_way += transfer->ready_bytes;
    transfer->left -= transfer->ready_bytes;
    transfer->ready_bytes = 0;
    conn_mark_dirty(front, conn);
    if (transfer->left > 0) {
        download_next(transfer->download);
        return;
    }
    transfer_give(transfer);
    conn_response_done(front, conn);
}

static void download_on_ready(void *owner, const char *bytes, size_t count)
{
    struct transfer *transfer = owner;
    if (!transfer->has_begun)
        download_head_send(transfer->api, transfer->conn, transfer->download->file,
                           transfer->is_part ? &transfer->range : NULL);
    transfer->has_begun = true;
    transfer->ready = bytes;
    transfer->ready_bytes = count;
    download_flow(transfer);
}

static void download_on_failed(void *owner, int rc)
{
    struct transfer *transfer = owner;
    struct api *api = transfer->api;
    struct conn *conn = transfer->conn;
    const bool has_begun = transfer->has_begun;
    log_event(&api->reactor->log, LEVEL_ERROR, "download_failed",
              LOG_WORD("file", transfer->download->file->about.id),
              LOG_TEXT("error", strerror(-rc)), LOG_WORD("request", conn->request.id));
    if (has_begun) {
        conn_doom(api->front, conn); /* the client has fewer bytes than it was told */
        return;
    }
    transfer_give(transfer);
    if (rc == -ENOENT)
        transfer_missing(api, conn);
    else
        response_detail(api->front, conn, 500, "The file cannot be read: see the log.");
}

static void download_on_sent(struct api *api, struct conn *conn, uint64_t charge)
{
    struct transfer *transfer = conn->pending;
    (void)api;
    transfer->on_its_way -= charge < transfer->on_its_way ? charge : transfer->on_its_way;
    download_flow(transfer);
}

const struct route_stream api_download = {
    .begin = download_begin_head,
    .sent = download_on_sent,
    .gone = transfer_on_gone,
};
