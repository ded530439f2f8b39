/* SPDX-License-Identifier: MIT */
/* fetch_rule.c - the spelling of --fetch-allow, and what it allows. */
#include "dispatcher/config/fetch_rule.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/config/host_name.h"
#include "dispatcher/config/refuse.h"
#include "dispatcher/text/ascii.h"

#define PLACE_BYTES (FETCH_HOST_BYTES_MAX + 1)
#define MAPPED_BITS 96u

static bool rule_split(const char *text, char place[PLACE_BYTES], uint16_t *port);
static bool rule_take_address(struct fetch_rule *rule, char *place);
static bool rule_take_host(struct fetch_rule *rule, const char *place);

bool fetch_rule_is_none(const char *text)
{
    return strcmp(text, "none") == 0;
}

int fetch_rule_parse(struct fetch_rule *out, const char *text, char reason[CLI_REASON_BYTES])
{
    char place[PLACE_BYTES];
    *out = (struct fetch_rule){0};
    if (rule_split(text, place, &out->port) &&
        (rule_take_address(out, place) || rule_take_host(out, place)))
        return 0;
    return refuse(reason,
                  "--fetch-allow %.200s: not a host, an address or a range of them, like "
                  "files.internal, 10.1.2.3:8080, 10.0.0.0/8 or [fd00::1]:9000",
                  text);
}

int fetch_rule_check(const char *text, char reason[CLI_REASON_BYTES])
{
    struct fetch_rule unused;
    return fetch_rule_is_none(text) ? 0 : fetch_rule_parse(&unused, text, reason);
}

bool fetch_rule_covers(const uint8_t *prefix, unsigned bits, const uint8_t *address)
{
    size_t whole = bits / 8;
    unsigned rest = bits % 8;
    return memcmp(prefix, address, whole) == 0 &&
           (rest == 0 || ((prefix[whole] ^ address[whole]) >> (8 - rest)) == 0);
}

bool fetch_rule_allows(const struct fetch_rule *rule, const char *host,
                       const uint8_t address[FETCH_ADDRESS_BYTES], uint16_t port)
{
    if (rule->port != 0 && rule->port != port)
        return false;
    return rule->is_address ? fetch_rule_covers(rule->address, rule->prefix_bits, address)
                            : strcmp(rule->host, host) == 0;
}

/* ---- its spelling -------------------------------------------------------------------------- */

static bool rule_number(const char *text, unsigned long max, unsigned long *out)
{
    size_t digits = strspn(text, "0123456789");
    *out = strtoul(text, NULL, 10);
    return digits > 0 && digits <= 5 && text[digits] == '\0' && *out <= max;
}

/* Takes a port off the end, and brackets off an address. */
static bool rule_split(const char *text, char place[PLACE_BYTES], uint16_t *port)
{
    const char *end = text + strlen(text), *colon = strrchr(text, ':');
    unsigned long number = 0;
    if (text[0] == '[') {
        end = strchr(++text, ']');
        if (!end || (end[1] != '\0' && end[1] != ':'))
            return false;
        colon = end[1] == ':' ? end + 1 : NULL;
    } else if (colon && colon != strchr(text, ':')) {
        colon = NULL; /* IPv6 without a port */
    } else if (colon) {
        end = colon;
    }
    if (colon && (!rule_number(colon + 1, UINT16_MAX, &number) || number == 0))
        return false;
    size_t bytes = (size_t)(end - text);
    if (bytes >= PLACE_BYTES)
        return false;
    memcpy(place, text, bytes);
    place[bytes] = '\0';
    *port = (uint16_t)number;
    return true;
}

/* ADDRESS or ADDRESS/BITS; what is behind those bits is zero, lest another range was meant. */
static bool rule_take_address(struct fetch_rule *rule, char *place)
{
    struct in_addr in;
    unsigned long bits, bits_max = 128;
    char *slash = strchr(place, '/');
    if (slash)
        *slash = '\0';
    if (inet_pton(AF_INET, place, &in) == 1) {
        rule->address[10] = rule->address[11] = 0xff;
        memcpy(rule->address + 12, &in, sizeof(in));
        bits_max = 32;
    } else if (inet_pton(AF_INET6, place, rule->address) != 1) {
        if (slash)
            *slash = '/';
        return false;
    }
    bits = bits_max;
    if (slash && !rule_number(slash + 1, bits_max, &bits)) {
        *slash = '/';
        return false;
    }
    rule->prefix_bits = (uint8_t)(bits_max == 32 ? bits + MAPPED_BITS : bits);
    rule->is_address = true;
    for (unsigned i = rule->prefix_bits; i < 8 * FETCH_ADDRESS_BYTES; i++)
        if (rule->address[i / 8] & (0x80u >> i % 8))
            return false;
    return true;
}

static bool rule_take_host(struct fetch_rule *rule, const char *place)
{
    size_t bytes = strlen(place);
    /* A name that ends with a number would be an address to others. */
    if (!host_name_is_valid(place) || (place[bytes - 1] >= '0' && place[bytes - 1] <= '9'))
        return false;
    *rule = (struct fetch_rule){.port = rule->port};
    for (size_t i = 0; i < bytes; i++)
        rule->host[i] = ascii_lower(place[i]);
    return true;
}
