/* SPDX-License-Identifier: MIT */
/*
 * fetch_address.c - the ranges that are not public: IANA's special-purpose registries for IPv4 and
 * IPv6 (RFC 6890 and what updates it).
 */
#include "dispatcher/fetcher/fetch_address.h"

#include <netinet/in.h>
#include <string.h>

#define PORT_FIRST_FREE 1024u

struct range {
    uint8_t bytes[FETCH_ADDRESS_BYTES];
    uint8_t bits;
    const char *what;
};

/* clang-format off: tables */
static const struct range ranges4[] = {
    {{0}, 8, "an unspecified address"},
    {{10}, 8, "a private address"},
    {{100, 64}, 10, "an address of a provider's own network"},
    {{127}, 8, "a loopback address"},
    {{169, 254}, 16, "a link-local address"},
    {{172, 16}, 12, "a private address"},
    {{192, 0, 0}, 24, "an address of a protocol"},
    {{192, 0, 2}, 24, "an address for documentation"},
    {{192, 88, 99}, 24, "an address of a relay"},
    {{192, 168}, 16, "a private address"},
    {{198, 18}, 15, "an address for benchmarks"},
    {{198, 51, 100}, 24, "an address for documentation"},
    {{203, 0, 113}, 24, "an address for documentation"},
    {{224}, 4, "a multicast address"},
    {{240}, 4, "a reserved address"},
};

static const struct range ranges6[] = {
    {{0}, 128, "an unspecified address"},
    {{[15] = 1}, 128, "a loopback address"},
    {{0xfe, 0x80}, 10, "a link-local address"},
    {{0xfe, 0xc0}, 10, "a site-local address"},
    {{0xfc}, 7, "a private address"},
    {{0xff}, 8, "a multicast address"},
    {{0x20, 1}, 23, "an address of a protocol"}, /* Teredo is in it */
    {{0x20, 1, 0x0d, 0xb8}, 32, "an address for documentation"},
    {{0x3f, 0xff}, 20, "an address for documentation"},
};

/* Those that carry an address of IPv4, and at which byte. */
static const struct {
    uint8_t bytes[12];
    uint8_t bits, offset;
} carriers[] = {
    {{[10] = 0xff, 0xff}, 96, 12},   /* ::ffff:0:0/96, mapped */
    {{0, 0x64, 0xff, 0x9b}, 96, 12}, /* 64:ff9b::/96, NAT64 */
    {{0x20, 2}, 16, 2},              /* 2002::/16, 6to4 */
};

/* All that is given out as unicast: 2000::/3. */
static const uint8_t unicast[1] = {0x20};
/* clang-format on */

static const char *address_find(const struct range *ranges, size_t count, const uint8_t *address)
{
    for (size_t i = 0; i < count; i++)
        if (fetch_rule_covers(ranges[i].bytes, ranges[i].bits, address))
            return ranges[i].what;
    return NULL;
}

const char *fetch_address_class(const uint8_t bytes[FETCH_ADDRESS_BYTES])
{
    for (size_t i = 0; i < ARRAY_COUNT(carriers); i++)
        if (fetch_rule_covers(carriers[i].bytes, carriers[i].bits, bytes))
            return address_find(ranges4, ARRAY_COUNT(ranges4), bytes + carriers[i].offset);
    const char *what = address_find(ranges6, ARRAY_COUNT(ranges6), bytes);
    return !what && !fetch_rule_covers(unicast, 3, bytes) ? "a reserved address" : what;
}

bool fetch_address_take(struct fetch_address *out, const struct sockaddr *address)
{
    *out = (struct fetch_address){{0}, 0};
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof(in));
        out->bytes[10] = out->bytes[11] = 0xff;
        memcpy(out->bytes + 12, &in.sin_addr, sizeof(in.sin_addr));
        out->port = ntohs(in.sin_port);
    } else if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof(in6));
        memcpy(out->bytes, &in6.sin6_addr, sizeof(in6.sin6_addr));
        out->port = ntohs(in6.sin6_port);
    } else {
        return false;
    }
    return true;
}

bool fetch_address_is_allowed(const struct fetch_rules *rules, const char *host,
                              const struct fetch_address *address)
{
    for (uint32_t i = 0; i < rules->count; i++)
        if (fetch_rule_allows(&rules->items[i], host, address->bytes, address->port))
            return true;
    return false;
}

const char *fetch_address_refuse(const struct fetch_rules *rules, const char *host,
                                 const struct fetch_address *address)
{
    if (fetch_address_is_allowed(rules, host, address))
        return NULL;
    const char *what = fetch_address_class(address->bytes);
    if (what)
        return what;
    return address->port == 80 || address->port == 443 || address->port >= PORT_FIRST_FREE
               ? NULL
               : "a port of another service";
}
