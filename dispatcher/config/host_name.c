/* SPDX-License-Identifier: MIT */
/* host_name.c - what options may name as hosts and origins. */
#include "dispatcher/config/host_name.h"

#include <stddef.h>
#include <string.h>

#define HOST_NAME_BYTES_MAX 253u /* of any name in DNS */

static bool host_name_is(const char *text, size_t bytes);

bool host_name_is_valid(const char *host)
{
    return host_name_is(host, strlen(host));
}

/* SCHEME://HOST[:PORT], or the one word that browsers have for pages without one. */
bool host_origin_is_valid(const char *origin)
{
    const char *slashes = strstr(origin, "://");
    if (strcmp(origin, "null") == 0)
        return true;
    if (!slashes || slashes == origin || strlen(origin) > 2 * HOST_NAME_BYTES_MAX)
        return false;
    const char *host = slashes + 3;
    return host[0] != '\0' && host[strcspn(host, "/?# \t*@")] == '\0';
}

static bool host_name_is(const char *text, size_t bytes)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    for (size_t i = 0; i < bytes; i++)
        if (!strchr(letters, text[i]) && !strchr("-._", text[i]))
            return false;
    return bytes > 0 && bytes <= HOST_NAME_BYTES_MAX && text[bytes - 1] != '.';
}
