/* SPDX-License-Identifier: MIT */
/* listen_address.c - the spelling of addresses to listen on. */
#include "dispatcher/config/listen_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/config/refuse.h"

#define PORT_TEXT_BYTES_MAX 5u
#define HOST_BYTES_MAX 64u

static int listen_address_split(const char *text, char host[HOST_BYTES_MAX], const char **port,
                                char reason[CLI_REASON_BYTES]);

int listen_address_make(const char *text, char **out, char reason[CLI_REASON_BYTES])
{
    *out = NULL;
    char host[HOST_BYTES_MAX];
    const char *port;
    int rc = listen_address_split(text, host, &port, reason);
    if (rc < 0)
        return rc;
    bool is_localhost = strcmp(host, "localhost") == 0;
    char *address;
    int count = !is_localhost && text[0] != ':'
                    ? asprintf(&address, "%s", text)
                    : asprintf(&address, "%s:%s", is_localhost ? "127.0.0.1" : "0.0.0.0", port);
    if (count == -1) {
        snprintf(reason, CLI_REASON_BYTES, "no memory");
        return -ENOMEM;
    }
    struct sockaddr_storage unused;
    socklen_t bytes;
    rc = listen_address_parse(address, &unused, &bytes, reason);
    if (rc < 0) {
        free(address);
        return rc;
    }
    *out = address;
    return 0;
}

int listen_address_parse(const char *text, struct sockaddr_storage *out, socklen_t *bytes,
                         char reason[CLI_REASON_BYTES])
{
    char host[HOST_BYTES_MAX];
    const char *port;
    int rc = listen_address_split(text, host, &port, reason);
    if (rc < 0)
        return rc;
    struct addrinfo hints = {
        .ai_family = text[0] == '[' ? AF_INET6 : AF_INET,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
    };
    struct addrinfo *found;
    /* NULL would mean the loopback addresses, "" is an error: both are not what is meant by
     * none. */
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return refuse(reason, "'%s' is not an address: give numbers, like 127.0.0.1 or [::1]",
                      host);
    mr_assert(found->ai_addrlen <= sizeof(*out));
    *out = (struct sockaddr_storage){0};
    memcpy(out, found->ai_addr, found->ai_addrlen);
    *bytes = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

bool listen_address_is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof(in));
        return ntohl(in.sin_addr.s_addr) >> 24 == 127;
    }
    struct sockaddr_in6 in6;
    memcpy(&in6, address, sizeof(in6));
    bool is_mapped = IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr);
    return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr) || (is_mapped && in6.sin6_addr.s6_addr[12] == 127);
}

/* Splits "HOST:PORT" and gives the host without brackets. */
static int listen_address_split(const char *text, char host[HOST_BYTES_MAX], const char **port,
                                char reason[CLI_REASON_BYTES])
{
    const char *colon = strrchr(text, ':');
    bool is_port = colon && colon[1] != '\0' &&
                   strspn(colon + 1, "0123456789") == strlen(colon + 1) &&
                   strlen(colon + 1) <= PORT_TEXT_BYTES_MAX && strtol(colon + 1, NULL, 10) <= 65535;
    if (!is_port)
        return refuse(reason, "'%s' is not ADDRESS:PORT, like 127.0.0.1:8080 or [::1]:8080", text);
    size_t bytes = (size_t)(colon - text);
    bool is_bracketed = bytes >= 2 && text[0] == '[' && text[bytes - 1] == ']';
    if (!is_bracketed && memchr(text, ':', bytes))
        return refuse(reason, "'%s' needs brackets around its address, like [::1]:8080", text);
    if (is_bracketed) {
        text++;
        bytes -= 2;
    }
    if (bytes >= HOST_BYTES_MAX)
        return refuse(reason, "'%.*s' is not an address", (int)bytes, text);
    memcpy(host, text, bytes);
    host[bytes] = '\0';
    *port = colon + 1;
    return 0;
}
