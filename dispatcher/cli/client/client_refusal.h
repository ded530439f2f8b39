/* SPDX-License-Identifier: MIT */
/* client_refusal.h - what a server says when it does not do what it is asked, in words. */
#ifndef DISPATCHER_CLIENT_REFUSAL_H
#define DISPATCHER_CLIENT_REFUSAL_H

#include "dispatcher/text/json_view.h"
#include "dispatcher/text/text.h"

/* Adds "the server answered with status 501: This server keeps no files.", of an answer that is no
 * success. */
void client_refusal_add(long status, const char *bytes, size_t count, struct text *out);

/* Likewise, of its `detail`: "..." or {"message":"..."} or [{"loc":[...],"msg":"..."}] */
void client_detail_add(long status, const struct json_view *detail, struct text *out);

/* Adds a string's characters, and of anything else its JSON. */
void client_value_add(const struct json_view *value, struct text *out);

/* A member as text that ends in a NUL; NULL when there is none. The caller finishes `text`. */
const char *client_member_text(const struct json_view *object, const char *key, struct text *text);

#endif
