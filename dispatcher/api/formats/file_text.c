/* SPDX-License-Identifier: MIT */
/* file_text.c - what is said of a file that a run gives out. */
#include "dispatcher/api/formats/file_text.h"

#include <string.h>

#include "dispatcher/api/answer.h"
#include "dispatcher/files/file_url.h"
#include "dispatcher/staging/giving.h"
#include "dispatcher/text/put.h"

#define NAME_ROOM (6u * FILE_NAME_BYTES_MAX + 8u) /* as a JSON string, all of it escaped */
#define URL_ROOM (2u * FILE_URL_BYTES)

_Static_assert(NAME_ROOM + URL_ROOM + FILE_ID_BYTES + 128 <= JSON_FILE_OBJECT_BYTES_MAX,
               "an object fits");

static void file_text_put_string(struct put *put, const char *text, size_t bytes, size_t room)
{
    mr_assert(room <= (size_t)(put->end - put->at));
    put->at += json_out_text(text, bytes, put->at, room);
}

static size_t file_text_write(void *owner, uint32_t number, char *out)
{
    const struct file_text *text = owner;
    const struct file *file = giving_show(text->run->given, number);
    struct put put = {out, out + JSON_FILE_OBJECT_BYTES_MAX};
    char url[FILE_URL_BYTES];
    if (!file)
        return 0;
    const struct file_about *about = &file->about;
    const size_t url_bytes = file_url_format(file->files, text->answer->base, about->id, url);
    PUT(&put, "{\"name\":");
    file_text_put_string(&put, about->name, strlen(about->name), NAME_ROOM);
    PUT(&put, ",\"path\":\"");
    put_text(&put, about->id);
    PUT(&put, "\",\"size\":");
    put_number(&put, about->bytes);
    PUT(&put, ",\"url\":");
    file_text_put_string(&put, url, url_bytes, URL_ROOM);
    PUT(&put, "}");
    return (size_t)(put.at - out);
}

const struct json_files *file_text_begin(struct file_text *text, const struct answer *answer,
                                         const struct run *run, const uint8_t *data, size_t bytes,
                                         size_t *room)
{
    const size_t count = json_out_file_count(data, bytes);
    if (count == 0 || count > GIVEN_COUNT_MAX)
        return NULL;
    *room = count * JSON_FILE_BYTES_MAX;
    *text = (struct file_text){
        .files = {.owner = text, .write = file_text_write}, .run = run, .answer = answer};
    return &text->files;
}
