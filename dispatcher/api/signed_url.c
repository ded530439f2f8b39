/* SPDX-License-Identifier: MIT */
/* signed_url.c - the query of a signed URL. */
#include "dispatcher/api/signed_url.h"

#include <errno.h>
#include <string.h>

#include "dispatcher/api/api.h"
#include "dispatcher/files/files.h"

/* `claim` says all but its time. */
static int signed_url_check(const struct api *api, struct file_claim *claim, struct http_text query)
{
    struct http_text expires, signature;
    if (!http_query_find(query, "signature", &signature))
        return -ENOENT;
    if (!files_are_on(api->files) || !http_query_find(query, "expires", &expires) ||
        !http_text_number(expires, &claim->expires_s))
        return -EACCES;
    return file_signature_check(api->files->secret, claim, signature.data, signature.bytes,
                                (uint64_t)api->reactor->wall_s);
}

int signed_download(const struct api *api, const char *argument, struct http_text query)
{
    struct file_claim claim = {.purpose = FILE_PURPOSE_DOWNLOAD, .id = argument};
    return file_id_is_valid(argument, strlen(argument)) ? signed_url_check(api, &claim, query)
                                                        : -ENOENT;
}

bool signed_part_read(const char *argument, char id[PARTS_ID_BYTES], uint32_t *number)
{
    uint64_t value;
    const char *slash = strchr(argument, '/');
    if (!slash || slash - argument != PARTS_ID_BYTES - 1 ||
        !http_text_number((struct http_text){slash + 1, strlen(slash + 1)}, &value) || value < 1 ||
        value > PART_NUMBER_MAX)
        return false;
    memcpy(id, argument, PARTS_ID_BYTES - 1);
    id[PARTS_ID_BYTES - 1] = '\0';
    *number = (uint32_t)value;
    return parts_id_is_valid(id);
}

int signed_part(const struct api *api, const char *argument, struct http_text query)
{
    char id[PARTS_ID_BYTES];
    struct file_claim claim = {.purpose = FILE_PURPOSE_PART, .id = id};
    return signed_part_read(argument, id, &claim.part) ? signed_url_check(api, &claim, query)
                                                       : -ENOENT;
}

const char *signed_url_refusal(int rc)
{
    return rc == -ETIME ? "The time of this URL is over: ask again for what it is of."
                        : "The signature of this URL is not one for it.";
}
