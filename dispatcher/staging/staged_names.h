/* SPDX-License-Identifier: MIT */
/*
 * staged_names.h - what files are called on their way: in a request, and in what a worker is told.
 */
#ifndef DISPATCHER_STAGED_NAMES_H
#define DISPATCHER_STAGED_NAMES_H

#include <stdbool.h>

#include "dispatcher/files/disk_file.h"
#include "dispatcher/inputs/file_reference.h"
#include "dispatcher/staging/staging.h"
#include "millrace/check.h"

/* The id of the stored file that is meant, if it is one: said as such, or as the URL that POST
 * /v4/files answered, of whatever host. */
bool staged_id_find(const struct file_reference *reference, char id[FILE_ID_BYTES]);

/* The name of what a URL has: as its client calls it, or else the last part of the URL. */
void staged_url_name(const struct file_reference *reference, char name[FILE_NAME_BYTES_MAX + 1]);

/* "input 2: https://host/path", for messages: without what follows a question mark, which may be a
 * secret. */
#define STAGED_PLACE_BYTES 240u
void staged_place_format(uint32_t input, const char *where, size_t bytes,
                         char out[STAGED_PLACE_BYTES]);

/* Makes the body of FILES (protocol.h). 0 or -ENOMEM. */
int staged_message_make(struct staged *staged) MUST_USE;

#endif
