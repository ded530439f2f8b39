/* SPDX-License-Identifier: MIT */
/* fetch_url.c - a small strict parser of http and https URLs. */
#include "dispatcher/fetcher/fetch_url.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dispatcher/config/host_name.h"
#include "dispatcher/text/ascii.h"

#define PORT_DIGIT_COUNT_MAX 5u

#define url_refuse(reason, ...) (snprintf(reason, FETCH_REASON_BYTES, __VA_ARGS__), -EINVAL)

/* What is left of the text. */
struct rest {
    const char *text;
    size_t bytes;
};

static int url_take_scheme(struct fetch_url *url, struct rest *rest, char *reason);
static int url_take_authority(struct fetch_url *url, const char *text, size_t bytes, char *reason);
static int url_take_path(struct fetch_url *url, struct rest rest, char *reason);

int fetch_url_parse(struct fetch_url *out, const char *text, size_t bytes,
                    char reason[FETCH_REASON_BYTES])
{
    struct rest rest = {text, bytes};
    *out = (struct fetch_url){.bytes = 0};
    if (bytes > FETCH_URL_BYTES_MAX)
        return url_refuse(reason, "the URL is longer than %u bytes", FETCH_URL_BYTES_MAX);
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return url_refuse(reason, "the URL has a control character");
    int rc = url_take_scheme(out, &rest, reason);
    if (rc < 0)
        return rc;
    size_t authority = 0;
    while (authority < rest.bytes && !strchr("/?#", rest.text[authority]))
        authority++;
    rc = url_take_authority(out, rest.text, authority, reason);
    if (rc < 0)
        return rc;
    return url_take_path(out, (struct rest){rest.text + authority, rest.bytes - authority}, reason);
}

int fetch_url_check(const struct fetch_url *url, const struct fetch_rules *rules,
                    char reason[FETCH_REASON_BYTES])
{
    const char *what =
        url->is_address ? fetch_address_refuse(rules, url->host, &url->address) : NULL;
    return what ? url_refuse(reason, FETCH_REFUSED, url->host, what) : 0;
}

/* ---- parts --------------------------------------------------------------------------------- */

static void url_add(struct fetch_url *url, const char *text, size_t bytes)
{
    mr_assert(url->bytes + bytes < sizeof(url->text));
    memcpy(url->text + url->bytes, text, bytes);
    url->bytes += bytes;
    url->text[url->bytes] = '\0';
}

static int url_take_scheme(struct fetch_url *url, struct rest *rest, char *reason)
{
    static const struct {
        const char *text;
        uint16_t port;
    } schemes[] = {{"http://", 80}, {"https://", 443}};
    for (size_t i = 0; i < ARRAY_COUNT(schemes); i++) {
        size_t bytes = strlen(schemes[i].text);
        if (rest->bytes < bytes || strncasecmp(rest->text, schemes[i].text, bytes) != 0)
            continue;
        url_add(url, schemes[i].text, bytes);
        url->address.port = schemes[i].port;
        rest->text += bytes;
        rest->bytes -= bytes;
        return 0;
    }
    return url_refuse(reason, "the URL does not begin with http:// or https://");
}

/* ":8080", or nothing. */
static int url_take_port(struct fetch_url *url, const char *text, size_t bytes, char *reason)
{
    unsigned long port = 0;
    if (bytes == 0)
        return 0;
    for (size_t i = 1; i < bytes && i <= PORT_DIGIT_COUNT_MAX && text[i] >= '0' && text[i] <= '9';
         i++)
        port = port * 10 + (unsigned long)(text[i] - '0');
    char canonical[8];
    int count = snprintf(canonical, sizeof(canonical), ":%lu", port);
    if (port == 0 || port > UINT16_MAX || bytes != (size_t)count ||
        memcmp(text, canonical, bytes) != 0)
        return url_refuse(reason, "the port of the URL is not a number from 1 to 65535");
    url->address.port = (uint16_t)port;
    url_add(url, text, bytes);
    return 0;
}

/* Of a name, the last part decides: one that is a number makes an address of it, and there are many
 * spellings of these. */
static bool url_host_is_number(const char *host)
{
    const char *dot = strrchr(host, '.');
    const char *last = dot ? dot + 1 : host;
    return (last[0] >= '0' && last[0] <= '9' && last[strspn(last, "0123456789")] == '\0') ||
           strncasecmp(last, "0x", 2) == 0;
}

/* `text` is lower case. */
static int url_take_name(struct fetch_url *url, char *reason)
{
    size_t bytes = strlen(url->host);
    struct in_addr in;
    if (inet_pton(AF_INET, url->host, &in) == 1) {
        url->address.bytes[10] = url->address.bytes[11] = 0xff;
        memcpy(url->address.bytes + 12, &in, sizeof(in));
        url->is_address = true;
    } else if (!host_name_is_valid(url->host)) {
        return url_refuse(reason, "the host of the URL is not a name of letters, digits, '-', '_' "
                                  "and '.', or an address");
    } else if (url_host_is_number(url->host)) {
        return url_refuse(reason, "the host of the URL is a number, but no address like 192.0.2.1");
    }
    url_add(url, url->host, bytes);
    return 0;
}

static int url_take_authority(struct fetch_url *url, const char *text, size_t bytes, char *reason)
{
    const char *end = text + bytes, *host = text, *host_end = text;
    bool is_ipv6 = bytes > 0 && text[0] == '[';
    if (memchr(text, '@', bytes))
        return url_refuse(reason, "the URL has a user or a password");
    if (is_ipv6) {
        host = text + 1;
        host_end = memchr(text, ']', bytes);
        if (!host_end || (host_end + 1 < end && host_end[1] != ':'))
            return url_refuse(reason, "the host of the URL has no second bracket");
    } else {
        host_end = memchr(text, ':', bytes);
        host_end = host_end ? host_end : end;
    }
    size_t host_bytes = (size_t)(host_end - host);
    if (!is_ipv6 && host_bytes > 1 && host[host_bytes - 1] == '.')
        host_bytes--;
    if (host_bytes == 0 || host_bytes > FETCH_HOST_BYTES_MAX)
        return url_refuse(reason, "the URL has no host, or one that is too long");
    for (size_t i = 0; i < host_bytes; i++)
        url->host[i] = ascii_lower(host[i]);
    if (!is_ipv6) {
        int rc = url_take_name(url, reason);
        return rc < 0 ? rc : url_take_port(url, host_end, (size_t)(end - host_end), reason);
    }
    if (inet_pton(AF_INET6, url->host, url->address.bytes) != 1)
        return url_refuse(reason, "the host of the URL is in brackets, but no IPv6 address");
    url->is_address = true;
    url_add(url, "[", 1);
    url_add(url, url->host, host_bytes);
    url_add(url, "]", 1);
    host_end++;
    return url_take_port(url, host_end, (size_t)(end - host_end), reason);
}

/* The rest without its fragment. */
static int url_take_path(struct fetch_url *url, struct rest rest, char *reason)
{
    static const char hex[] = "0123456789ABCDEF";
    url->path_offset = url->bytes;
    if (rest.bytes == 0 || rest.text[0] != '/')
        url_add(url, "/", 1);
    for (size_t i = 0; i < rest.bytes && rest.text[i] != '#'; i++) {
        unsigned char byte = (unsigned char)rest.text[i];
        bool is_plain = byte > ' ' && byte < 0x7f && !strchr("\"<>\\^`{|}", byte);
        char encoded[3] = {'%', hex[byte >> 4], hex[byte & 15]};
        if (url->bytes + 3 > FETCH_URL_BYTES_MAX)
            return url_refuse(reason, "the URL is longer than %u bytes", FETCH_URL_BYTES_MAX);
        url_add(url, is_plain ? rest.text + i : encoded, is_plain ? 1 : 3);
    }
    return 0;
}

/* ---- its name ------------------------------------------------------------------------------ */

static int url_hex(char digit)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = digit ? strchr(digits, digit | 0x20) : NULL;
    return found ? (int)(found - digits) : -1;
}

size_t fetch_url_name(const struct fetch_url *url, char *out, size_t room)
{
    const char *path = url->text + url->path_offset;
    size_t end = strcspn(path, "?"), begin = end, count = 0;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    for (size_t i = begin; i < end && count < room; i++) {
        int high = path[i] == '%' && i + 2 < end ? url_hex(path[i + 1]) : -1;
        int low = high >= 0 ? url_hex(path[i + 2]) : -1;
        out[count++] = path[i];
        if (low >= 0)
            out[count - 1] = (char)(high << 4 | low);
        i += low >= 0 ? 2 : 0;
    }
    return count;
}
