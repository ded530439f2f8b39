/* SPDX-License-Identifier: MIT */
/*
 * file_url.h - what clients call a stored file, or a place for a part of one, by a URL.
 */
#ifndef DISPATCHER_FILE_URL_H
#define DISPATCHER_FILE_URL_H

#include <stddef.h>
#include <stdint.h>

#include "dispatcher/files/file_signature.h"
#include "dispatcher/files/files.h"

#define FILE_URL_BASE_BYTES 300u /* "https://", a host and a port, and the NUL */
#define FILE_URL_BYTES 512u

/* Where there are tokens, for how long a URL of a file does without one: a day, or --files-ttl if
 * that is less; and then up to the end of the hour, so that one file has one URL for a while. */
#define FILE_URL_S 86400u
#define FILE_URL_STEP_S 3600u

/* Writes where this file is downloaded: `base`, which is "http://host:port" or nothing, and the
 * path. Allocates nothing. Returns the bytes written. */
size_t file_url_format(const struct files *files, const char *base, const char *id,
                       char out[FILE_URL_BYTES]);

/* Likewise where the part of this number of an upload is put, by whoever has the URL. */
size_t part_url_format(const struct files *files, const char *base, const char *id, uint32_t number,
                       char out[FILE_URL_BYTES]);

#endif
