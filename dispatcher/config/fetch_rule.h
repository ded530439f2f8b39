/* SPDX-License-Identifier: MIT */
/*
 * fetch_rule.h - where files are fetched from besides public addresses, --fetch-allow:
 *
 *     files.internal   files.internal:9000   10.0.0.0/8   10.1.2.3:8080   fd00::/8   [fd00::1]:9000
 */
#ifndef DISPATCHER_FETCH_RULE_H
#define DISPATCHER_FETCH_RULE_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/config/cli.h"
#include "millrace/check.h"

#define FETCH_RULE_COUNT_MAX 64u
#define FETCH_HOST_BYTES_MAX 253u /* of any name in DNS */
#define FETCH_ADDRESS_BYTES 16u   /* IPv6; those of IPv4 are ::ffff:a.b.c.d */

struct fetch_rule {
    bool is_address;
    uint8_t address[FETCH_ADDRESS_BYTES];
    uint8_t prefix_bits;                 /* of the address, those that count */
    uint16_t port;                       /* 0: any */
    char host[FETCH_HOST_BYTES_MAX + 1]; /* in lower case; "": it is an address */
};

/* --fetch-allow none: nothing is fetched at all, and nothing else is said beside it. */
bool fetch_rule_is_none(const char *text);

/* -EINVAL, with a reason that has the name of the option; `none` is no rule. */
int fetch_rule_parse(struct fetch_rule *out, const char *text,
                     char reason[CLI_REASON_BYTES]) MUST_USE;

/* Whether it could be said: a rule, or none. */
int fetch_rule_check(const char *text, char reason[CLI_REASON_BYTES]) MUST_USE;

/* Whether the first bits of two addresses are the same. */
bool fetch_rule_covers(const uint8_t *prefix, unsigned bits, const uint8_t *address);

/* Whether the rule allows this port of this address, which the name `host` (in lower case; "":
 * none) has. */
bool fetch_rule_allows(const struct fetch_rule *rule, const char *host,
                       const uint8_t address[FETCH_ADDRESS_BYTES], uint16_t port);

#endif
