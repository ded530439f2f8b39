/* SPDX-License-Identifier: MIT */
/* transfer.c - files on their way, in one list; what is said of a file. */
#include "dispatcher/api/transfer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/api/api.h"
#include "dispatcher/files/download.h"
#include "dispatcher/files/file_url.h"
#include "dispatcher/files/upload.h"
#include "dispatcher/http/multipart.h"
#include "dispatcher/http/response.h"
#include "dispatcher/text/text.h"

const char transfer_too_large[] = "The file is larger than a file may be here (--file-limit).";
const char transfer_no_room[] = "There is no room for this file: the disk is full, or all files "
                                "together are as large as they may be (--files-total).";
const char transfer_too_many[] = "There are as many parts of unfinished files as there may be.";

struct transfer *transfer_take(struct api *api, struct conn *conn)
{
    struct transfer *transfer = calloc(1, sizeof *transfer);
    if (!transfer)
        return NULL;
    mr_assert(!conn->pending);
    transfer->api = api;
    transfer->conn = conn;
    transfer->next = api->transfers;
    if (api->transfers)
        api->transfers->previous = transfer;
    api->transfers = transfer;
    conn->pending = transfer;
    return transfer;
}

void transfer_give(struct transfer *transfer)
{
    struct api *api = transfer->api;
    if (transfer->upload)
        upload_drop(transfer->upload);
    if (transfer->parts)
        parts_forget(transfer->parts);
    if (transfer->download)
        download_end(transfer->download);
    *(transfer->previous ? &transfer->previous->next : &api->transfers) = transfer->next;
    if (transfer->next)
        transfer->next->previous = transfer->previous;
    conn_detach(transfer->conn);
    free(transfer->form);
    free(transfer);
}

void transfer_on_gone(struct api *api, struct conn *conn)
{
    (void)api;
    transfer_give(conn->pending);
}

void transfers_finish(struct api *api)
{
    while (api->transfers)
        transfer_give(api->transfers);
}

void transfer_refuse(struct transfer *transfer, int status, const char *text)
{
    struct front *front = transfer->api->front;
    struct conn *conn = transfer->conn;
    transfer_give(transfer);
    if (conn->state == CONN_BODY)
        conn_answer_begin(front, conn);
    response_detail(front, conn, status, text);
}

void transfer_file_kept(struct transfer *transfer, const struct file *file)
{
    struct api *api = transfer->api;
    struct conn *conn = transfer->conn;
    struct text text = {0};
    char headers[128];
    log_event(&api->reactor->log, LEVEL_INFO, "file_kept", LOG_WORD("file", file->about.id),
              LOG_NATURAL("bytes", file->about.bytes), LOG_WORD("token", conn->request.token),
              LOG_WORD("request", conn->request.id));
    transfer_file_format(&text, transfer->base, file);
    text_add(&text, "\n");
    snprintf(headers, sizeof headers, "Location: /v4/files/%s\r\n", file->about.id);
    transfer_give(transfer);
    response_text_with(api->front, conn, 201, NULL, headers, &text);
}

void transfer_file_lost(struct transfer *transfer, int rc)
{
    struct api *api = transfer->api;
    struct conn *conn = transfer->conn;
    if (rc == -ESTALE) {
        transfer_give(transfer);
        transfer_missing_upload(api, conn);
        return;
    }
    log_event(&api->reactor->log, LEVEL_ERROR, "upload_failed", LOG_TEXT("error", strerror(-rc)),
              LOG_WORD("request", conn->request.id));
    if (rc == -ENOSPC || rc == -EDQUOT)
        transfer_refuse(transfer, 507, transfer_no_room);
    else if (rc == -EMFILE)
        transfer_refuse(transfer, 507, transfer_too_many);
    else if (rc == -E2BIG)
        transfer_refuse(transfer, 413, transfer_too_large);
    else if (rc == -EFBIG)
        transfer_refuse(transfer, 413, "The file is larger than this server may write.");
    else
        transfer_refuse(transfer, 500, "The file cannot be stored: see the log.");
}

void transfer_file_format(struct text *text, const char *base, const struct file *file)
{
    const struct file_about *about = &file->about;
    char url[FILE_URL_BYTES];
    const size_t bytes = file_url_format(file->files, base, about->id, url);
    text_add(text, "{\"id\":\"%s\",\"path\":\"%s\",\"url\":", about->id, about->id);
    text_add_json(text, url, bytes);
    text_add(text, ",\"name\":");
    text_add_json(text, about->name, strlen(about->name));
    text_add(text, ",\"size\":%llu,\"sha256\":\"%s\",\"created_at\":%.6f,\"updated_at\":%.6f}",
             (unsigned long long)about->bytes, about->sha256, about->created_at, about->created_at);
}

bool transfer_is_refused(struct api *api, struct conn *conn)
{
    if (files_are_on(api->files))
        return false;
    response_detail(api->front, conn, 501,
                    "This server keeps no files. millrace serve does with --files DIR.");
    return true;
}

void transfer_missing(struct api *api, struct conn *conn)
{
    api_detail(api, conn, 404, "{\"message\":\"File not found\"}");
}

void transfer_missing_upload(struct api *api, struct conn *conn)
{
    api_detail(api, conn, 404, "{\"message\":\"Upload not found\"}");
}
