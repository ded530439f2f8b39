/* SPDX-License-Identifier: MIT */
/* origin.c - what the fields of a browser say of who made it ask. */
#include "dispatcher/api/origin.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

static const char host_refused[] =
    "The Host of this request is neither an IP address nor localhost. Where no token is asked for, "
    "other names are refused, since a web page can make its name lead here. millrace serve allows "
    "one with --allow-host NAME, asks for tokens with --token-file FILE, and lets everyone in with "
    "--no-auth.";
static const char page_refused[] =
    "A web page of another origin made this request. Where no token is asked for, it is refused. "
    "millrace serve allows it with --allow-origin ORIGIN, asks for tokens with --token-file FILE, "
    "and lets everyone in with --no-auth.";

static bool origin_host_is_fine(const struct config *config, struct http_text host);
static bool origin_page_is_fine(const struct config *config, const struct http_head *head);

const char *origin_refusal(const struct config *config, const struct http_head *head)
{
    const bool names_some = config->allow_hosts.count > 0 || config->allow_origins.count > 0;
    if (config->tokens.count > 0 || (config->no_auth && !names_some))
        return NULL;
    if (!origin_host_is_fine(config, head->host))
        return host_refused;
    return origin_page_is_fine(config, head) ? NULL : page_refused;
}

uint32_t origin_page(const struct config *config, const struct http_head *head)
{
    const struct http_header *origin =
        config->cors.count > 0 ? http_head_find(head, "origin") : NULL;
    return origin ? cors_find(&config->cors, origin->value.data, origin->value.bytes) : 0;
}

bool origin_is_preflight(const struct http_head *head)
{
    return head->method == HTTP_OPTIONS && http_head_find(head, "origin") &&
           http_head_find(head, "access-control-request-method");
}

/* Names are the same in capitals. */
static bool origin_is_text(struct http_text text, const char *word)
{
    return text.bytes == strlen(word) && strncasecmp(text.data, word, text.bytes) == 0;
}

static bool origin_is_listed(struct http_text text, const struct cli_list *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (origin_is_text(text, list->items[i]))
            return true;
    return false;
}

/* Without the port; of an IPv6 address, what is in its brackets. */
static struct http_text origin_name_of(struct http_text host)
{
    const char *end = memrchr(host.data, host.data[0] == '[' ? ']' : ':', host.bytes);
    if (host.data[0] == '[' && end)
        return (struct http_text){host.data + 1, (size_t)(end - host.data) - 1};
    return (struct http_text){host.data, end ? (size_t)(end - host.data) : host.bytes};
}

/* In any of the forms that browsers take for one, so that it cannot be a name. */
static bool origin_is_address(struct http_text name, bool is_bracketed)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr in6;
    struct in_addr in;
    if (name.bytes >= sizeof(text))
        return false;
    memcpy(text, name.data, name.bytes);
    text[name.bytes] = '\0';
    return is_bracketed ? inet_pton(AF_INET6, text, &in6) == 1 : inet_aton(text, &in) != 0;
}

/* HTTP/1.0 need not say one, and browsers always do. */
static bool origin_host_is_fine(const struct config *config, struct http_text host)
{
    if (host.bytes == 0)
        return true;
    const bool is_bracketed = host.data[0] == '[';
    struct http_text name = origin_name_of(host);
    if (!is_bracketed && name.bytes > 1 && name.data[name.bytes - 1] == '.')
        name.bytes--; /* the same name, written in full */
    return origin_is_address(name, is_bracketed) || origin_is_text(name, "localhost") ||
           origin_is_listed(name, &config->allow_hosts);
}

/* "https://a:1" is the page of Host "a:1". Not the scheme, which a proxy in front may have taken
 * off: the host is what a page cannot choose. */
static bool origin_is_of_host(struct http_text origin, struct http_text host)
{
    const char *slashes = memmem(origin.data, origin.bytes, "://", 3);
    if (!slashes)
        return false;
    size_t scheme_bytes = (size_t)(slashes - origin.data) + 3;
    return origin.bytes - scheme_bytes == host.bytes &&
           strncasecmp(slashes + 3, host.data, host.bytes) == 0;
}

/* Sec-Fetch-Site comes to addresses of this machine and with TLS; older browsers, and others', send
 * Origin alone, and that only with what may change something. */
static bool origin_page_is_fine(const struct config *config, const struct http_head *head)
{
    const struct http_header *site = http_head_find(head, "sec-fetch-site");
    const struct http_header *origin = http_head_find(head, "origin");
    if (origin && origin_is_listed(origin->value, &config->allow_origins))
        return true;
    if (origin_page(config, head) > 0)
        return true;
    /* "none" is what no page has made: an address typed in, a bookmark. A "same-site" is another
     * port of this machine, or another name of a domain. */
    if (site)
        return origin_is_text(site->value, "same-origin") || origin_is_text(site->value, "none");
    return !origin || origin_is_of_host(origin->value, head->host);
}
