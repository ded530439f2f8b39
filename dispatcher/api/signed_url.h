/* SPDX-License-Identifier: MIT */
/*
 * signed_url.h - requests whose URL says that they may: ?expires= and ?signature= of files.
 */
#ifndef DISPATCHER_SIGNED_URL_H
#define DISPATCHER_SIGNED_URL_H

#include "dispatcher/api/routes.h"
#include "dispatcher/files/parts.h"

/* Of what is there below the route, whether the query is a signature: 0; -ENOENT: it has none;
 * -EACCES: not for this, or not by this server; -ETIME: it was. */
route_signature_fn signed_download; /* "{id}" */
route_signature_fn signed_part;     /* "{upload_id}/{number}" */

/* Takes the last one apart. */
bool signed_part_read(const char *argument, char id[PARTS_ID_BYTES], uint32_t *number);

/* What to say of the last two. */
const char *signed_url_refusal(int rc);

#endif
