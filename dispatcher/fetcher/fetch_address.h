/* SPDX-License-Identifier: MIT */
/*
 * fetch_address.h - which addresses the fetcher connects to: public ones, and what --fetch-allow
 * says.
 *
 * What is checked is the address that a connection is about to be made to, so it does not matter
 * how it was written, which name led to it, or whether that name leads elsewhere now and then.
 */
#ifndef DISPATCHER_FETCH_ADDRESS_H
#define DISPATCHER_FETCH_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "dispatcher/config/fetch_rule.h"

struct fetch_rules {
    struct fetch_rule items[FETCH_RULE_COUNT_MAX];
    uint32_t count;
};

/* One address and port. */
struct fetch_address {
    uint8_t bytes[FETCH_ADDRESS_BYTES]; /* of IPv4: ::ffff:a.b.c.d */
    uint16_t port;
};

/* False: it is neither IPv4 nor IPv6. */
bool fetch_address_take(struct fetch_address *out, const struct sockaddr *address);

/* What it is instead of a public address, as words for people ("a loopback address"); NULL: it is
 * public. Addresses that carry one of IPv4 are what that is. */
const char *fetch_address_class(const uint8_t bytes[FETCH_ADDRESS_BYTES]);

/* Whether a rule allows it; `host` is the name that led there, in lower case; "": none. */
bool fetch_address_is_allowed(const struct fetch_rules *rules, const char *host,
                              const struct fetch_address *address);

/* Why nothing is fetched from there, as such words; NULL: it may be. */
const char *fetch_address_refuse(const struct fetch_rules *rules, const char *host,
                                 const struct fetch_address *address);

#endif
