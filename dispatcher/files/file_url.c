/* SPDX-License-Identifier: MIT */
/* file_url.c - URLs, and until when they are good. */
#include "dispatcher/files/file_url.h"

#include <stdio.h>

#include "dispatcher/files/parts.h"

static uint64_t url_expiry_s(const struct files *files)
{
    const uint64_t ttl_s = files->config->files_ttl_ms / 1000;
    const uint64_t for_s = ttl_s > 0 && ttl_s < FILE_URL_S ? ttl_s : FILE_URL_S;
    const uint64_t until_s = (uint64_t)files->reactor->wall_s + for_s;
    return (until_s / FILE_URL_STEP_S + 1) * FILE_URL_STEP_S;
}

size_t file_url_format(const struct files *files, const char *base, const char *id,
                       char out[FILE_URL_BYTES])
{
    char proof[FILE_PROOF_BYTES] = "";
    if (files->config->tokens.count > 0) {
        const struct file_claim claim = {FILE_PURPOSE_DOWNLOAD, id, 0, url_expiry_s(files)};
        file_proof_format(files->secret, &claim, proof);
    }
    int bytes = snprintf(out, FILE_URL_BYTES, "%s/v4/files/download/%s%s", base, id, proof);
    mr_assert(bytes > 0 && (size_t)bytes < FILE_URL_BYTES);
    return (size_t)bytes;
}

size_t part_url_format(const struct files *files, const char *base, const char *id, uint32_t number,
                       char out[FILE_URL_BYTES])
{
    char proof[FILE_PROOF_BYTES];
    const uint64_t expires_s = (uint64_t)files->reactor->wall_s + PARTS_IDLE_S;
    const struct file_claim claim = {FILE_PURPOSE_PART, id, number, expires_s};
    file_proof_format(files->secret, &claim, proof);
    int bytes = snprintf(out, FILE_URL_BYTES, "%s/v4/files/parts/%s/%u%s", base, id, number, proof);
    mr_assert(bytes > 0 && (size_t)bytes < FILE_URL_BYTES);
    return (size_t)bytes;
}
