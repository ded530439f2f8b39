/* SPDX-License-Identifier: MIT */
/* staged_names.c - ids in requests, paths for workers. */
#include "dispatcher/staging/staged_names.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/inputs/input.h"
#include "millrace/protocol.h"

#define DOWNLOAD_PATH "/v4/files/download/"

bool staged_id_find(const struct file_reference *reference, char id[FILE_ID_BYTES])
{
    const char *text = reference->where;
    size_t bytes = reference->where_bytes;
    const char *path =
        reference->is_url ? memmem(text, bytes, DOWNLOAD_PATH, sizeof DOWNLOAD_PATH - 1) : NULL;
    if (reference->is_url && !path)
        return false;
    if (path) {
        bytes -= (size_t)(path - text) + sizeof DOWNLOAD_PATH - 1;
        text = path + sizeof DOWNLOAD_PATH - 1;
        const char *query = memchr(text, '?', bytes); /* what is signed for */
        bytes = query ? (size_t)(query - text) : bytes;
    }
    if (!file_id_is_valid(text, bytes))
        return false;
    snprintf(id, FILE_ID_BYTES, "%.*s", (int)bytes, text);
    return true;
}

/* Up to a query or a fragment. */
static size_t staged_path_bytes(const char *where, size_t bytes)
{
    size_t end = 0;
    while (end < bytes && where[end] != '?' && where[end] != '#')
        end++;
    return end;
}

void staged_url_name(const struct file_reference *reference, char name[FILE_NAME_BYTES_MAX + 1])
{
    if (reference->name_bytes > 0)
        file_name_make(reference->name, reference->name_bytes, name);
    else
        file_name_make(reference->where,
                       staged_path_bytes(reference->where, reference->where_bytes), name);
}

void staged_place_format(uint32_t input, const char *where, size_t bytes,
                         char out[STAGED_PLACE_BYTES])
{
    const size_t shown = staged_path_bytes(where, bytes);
    snprintf(out, STAGED_PLACE_BYTES, "input %u: %.*s", input, shown > 200 ? 200 : (int)shown,
             where);
}

int staged_message_make(struct staged *staged)
{
    struct input_packing packing;
    char folder[MESSAGE_FILES_BYTES_MAX / 4];
    size_t bytes;
    input_packing_init(&packing);
    int count =
        snprintf(folder, sizeof folder, "%s/%s", staged->staging->files->runs_path, staged->folder);
    mr_assert(count > 0 && (size_t)count < sizeof folder);
    int rc = msgpack_pack_array(&packing.packer, 2);
    if (rc == 0)
        rc = input_pack_text(&packing, folder, (size_t)count);
    if (rc == 0)
        rc = msgpack_pack_array(&packing.packer, staged->count);
    for (uint32_t i = 0; rc == 0 && i < staged->count; i++)
        rc = input_pack_text(&packing, staged->disk_files[i].name,
                             strlen(staged->disk_files[i].name));
    if (rc == 0) {
        staged->files.message = input_packing_take(&packing, &bytes);
        staged->files.message_bytes = bytes;
        mr_assert(bytes <= MESSAGE_FILES_BYTES_MAX);
    }
    input_packing_finish(&packing);
    return rc < 0 ? -ENOMEM : 0;
}
