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

/* Makes the body of FILES (protocol.h). 0 or -ENOMEM. */
int staged_message_make(struct staged *staged) MUST_USE;

#endif
