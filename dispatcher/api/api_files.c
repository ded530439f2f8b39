/* SPDX-License-Identifier: MIT */
/* api_files.c - the handlers of /v4/files that look: list, show, remove. */
#include <string.h>

#include "dispatcher/api/api.h"
#include "dispatcher/api/transfer.h"
#include "dispatcher/files/files.h"
#include "dispatcher/http/response.h"
#include "dispatcher/text/text.h"

void api_files_list(struct api *api, struct conn *conn, const struct http_head *head)
{
    struct text text = {0};
    char base[BASE_BYTES];
    uint32_t count = 0, limit = conn->request.list_count_max;
    if (transfer_is_refused(api, conn))
        return;
    if (limit == 0)
        limit = LIST_COUNT_MAX;
    base_format(head, base);
    text_add(&text, "{\"data\":[");
    for (const struct file *file = files_newest(api->files, conn->request.token);
         file && count < limit; file = files_before(api->files, file)) {
        text_add(&text, count++ > 0 ? "," : "");
        transfer_file_format(&text, base, file);
    }
    text_add(&text, "],\"total\":%u,\"limit\":%u}\n", count, limit);
    response_text(api->front, conn, 200, NULL, &text);
}

/* The one that is asked for; NULL: that was answered. */
static struct file *files_asked_for(struct api *api, struct conn *conn)
{
    if (transfer_is_refused(api, conn))
        return NULL;
    struct file *file = files_find(api->files, conn->request.token, conn->request.argument);
    if (!file)
        transfer_missing(api, conn);
    return file;
}

void api_file_get(struct api *api, struct conn *conn, const struct http_head *head)
{
    const struct file *file = files_asked_for(api, conn);
    struct text text = {0};
    char base[BASE_BYTES];
    if (!file)
        return;
    base_format(head, base);
    transfer_file_format(&text, base, file);
    text_add(&text, "\n");
    response_text(api->front, conn, 200, NULL, &text);
}

void api_file_delete(struct api *api, struct conn *conn, const struct http_head *head)
{
    struct file *file = files_asked_for(api, conn);
    (void)head;
    if (!file)
        return;
    log_event(&api->reactor->log, LEVEL_INFO, "file_removed", LOG_WORD("file", file->about.id),
              LOG_TEXT("reason", "DELETE was called for it"),
              LOG_NATURAL("bytes", file->about.bytes));
    file_remove(file);
    response_send(api->front, conn, &(struct response){.status = 204, .body = ""});
}
