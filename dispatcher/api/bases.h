/* SPDX-License-Identifier: MIT */
/*
 * bases.h - how clients call this server ("http://host:port"), remembered from the head of a
 * request until its body is there: urls of files that runs give out begin with it.
 *
 * Most requests say the same. What no request of late has said is forgotten; then a url has no
 * host, which is that of the request to any client.
 */
#ifndef DISPATCHER_BASES_H
#define DISPATCHER_BASES_H

#include <stdint.h>

#include "dispatcher/files/file_url.h"
#include "dispatcher/http/http_parse.h"

#define BASE_BYTES FILE_URL_BASE_BYTES
#define BASE_COUNT 32u

/* Zero: none was said yet. */
struct bases {
    uint64_t count; /* that were added, ever */
    char texts[BASE_COUNT][BASE_BYTES];
};

/* Its number, from 1; 0: the head does not say. */
uint64_t bases_take(struct bases *bases, const struct http_head *head);

/* What has this number, or "". */
const char *bases_text(const struct bases *bases, uint64_t number);

/* What the head says: the text, or "". */
void base_format(const struct http_head *head, char out[BASE_BYTES]);

#endif
