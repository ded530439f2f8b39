/* SPDX-License-Identifier: MIT */
/*
 * origin.h - requests that a web page made its reader's browser send, where no token is asked for.
 *
 * A server on a loopback address trusts whoever is on this machine. A browser is on this machine,
 * and sends what pages from anywhere tell it to: a page may post a form to any address, and a page
 * whose name was made to lead to 127.0.0.1 after it was loaded (DNS rebinding) reads the answers,
 * too. The first shows in Sec-Fetch-Site or Origin, which pages cannot write, the second in Host,
 * which names what the browser believes to be talking to. Other clients send nothing of that.
 *
 * And pages of other origins that are meant to call, whether with tokens or without (CORS).
 */
#ifndef DISPATCHER_ORIGIN_H
#define DISPATCHER_ORIGIN_H

#include "dispatcher/config/config.h"
#include "dispatcher/http/http_parse.h"

/* Why this request is not taken, in a sentence for its client that names the option which would; or
 * NULL. Where there are tokens, or --no-auth lets everyone in and names nobody, all are. */
const char *origin_refusal(const struct config *config, const struct http_head *head);

/* Which page this is that may read the answer, as cors_find() says it. */
uint32_t origin_page(const struct config *config, const struct http_head *head);

/* A browser asks in the name of a page whether it may send a request that no form could be. */
bool origin_is_preflight(const struct http_head *head);

#endif
