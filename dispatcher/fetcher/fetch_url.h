/* SPDX-License-Identifier: MIT */
/*
 * fetch_url.h - the URLs that are fetched, and posted to: one spelling of each, so that there is
 * nothing for two programs to read in two ways.
 */
#ifndef DISPATCHER_FETCH_URL_H
#define DISPATCHER_FETCH_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/config/fetch_rule.h"
#include "dispatcher/fetcher/fetch_address.h"
#include "dispatcher/fetcher/fetch_message.h"
#include "millrace/check.h"

struct fetch_url {
    char text[FETCH_URL_BYTES_MAX + 1]; /* http or https, the host, the port if it was said, the
                                           path; blanks and what is not ASCII percent-encoded */
    size_t bytes;
    size_t path_offset;
    char host[FETCH_HOST_BYTES_MAX + 1]; /* in lower case, without a last dot; IPv6 without its
                                            brackets */
    bool is_address;                     /* it is one, and `address` is it, and the port */
    struct fetch_address address;
};

/* -EINVAL: it is no URL that is fetched, and why as a sentence without its end. That is all but
 * http and https, users and passwords, control characters, and hosts that are neither a name in
 * ASCII nor an address in its usual spelling. */
int fetch_url_parse(struct fetch_url *out, const char *text, size_t bytes,
                    char reason[FETCH_REASON_BYTES]) MUST_USE;

/* A host, and what fetch_address_refuse() says. */
#define FETCH_REFUSED "%s is at %s, which is not allowed"

/* -EINVAL also where the URL has an address that nothing is fetched from. Of a name that is known
 * when it is connected to. */
int fetch_url_check(const struct fetch_url *url, const struct fetch_rules *rules,
                    char reason[FETCH_REASON_BYTES]) MUST_USE;

/* The last part of its path with percent-encoding resolved, at most so many bytes; 0: there is
 * none. */
size_t fetch_url_name(const struct fetch_url *url, char *out, size_t room);

#endif
