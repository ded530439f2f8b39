/* SPDX-License-Identifier: MIT */
/* cors.c - which web pages may read answers. */
#include "dispatcher/config/cors.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dispatcher/config/host_name.h"
#include "dispatcher/config/refuse.h"

/* What depends on the page must not be kept for another one (Fetch, 3.2.5). */
#define CORS_VARY "Vary: Origin\r\n"
/* What scripts see of the head besides what they always do: all of it. That the word for all comes
 * last is for browsers that do not know it. */
#define CORS_EXPOSE                                                                                \
    "Access-Control-Expose-Headers: X-Request-Id, X-Correlation-Id, Retry-After, "                 \
    "X-Millrace-Pipeline, *\r\n"

static int cors_add(struct cors *cors, const char *origin, char reason[CLI_REASON_BYTES]);
static bool cors_ends(const char *text, const char *end);

int cors_init(struct cors *cors, const struct cli_list *list, char reason[CLI_REASON_BYTES])
{
    int rc = 0;
    *cors = (struct cors){0};
    if (list->count > CORS_ORIGIN_COUNT_MAX)
        return refuse(reason, "--cors-origin: %u at most", CORS_ORIGIN_COUNT_MAX);
    for (uint32_t i = 0; i < list->count && rc == 0; i++)
        rc = cors_add(cors, list->items[i], reason);
    if (rc == 0 && cors->is_any && cors->count > 1)
        return refuse(reason, "--cors-origin " CORS_ANY " is every origin: no others beside it");
    return rc;
}

void cors_finish(struct cors *cors)
{
    for (uint32_t i = 0; i < CORS_ORIGIN_COUNT_MAX; i++) {
        free(cors->lines[i]);
        free(cors->origins[i]);
    }
    *cors = (struct cors){0};
}

/* A frame that its page puts into a sandbox has the origin null, so every page can have it. */
bool cors_is_open(const struct cors *cors)
{
    return cors->is_any || cors_find(cors, "null", strlen("null")) > 0;
}

uint32_t cors_find(const struct cors *cors, const char *origin, size_t bytes)
{
    if (cors->is_any)
        return 1;
    for (uint32_t i = 0; i < cors->count; i++)
        if (strlen(cors->origins[i]) == bytes && memcmp(cors->origins[i], origin, bytes) == 0)
            return i + 1;
    return 0;
}

const char *cors_lines(const struct cors *cors, uint32_t found)
{
    if (cors->count == 0)
        return "";
    if (cors->is_any)
        return cors->lines[0];
    return found > 0 && found <= cors->count ? cors->lines[found - 1] : CORS_VARY;
}

int cors_origin_check(const char *origin, char reason[CLI_REASON_BYTES])
{
    if (strcmp(origin, CORS_ANY) == 0)
        return 0;
    bool is_written = host_origin_is_valid(origin);
    for (const char *at = origin; *at != '\0'; at++)
        is_written = is_written && *at > ' ' && *at < 0x7f;
    if (!is_written)
        return refuse(reason,
                      "--cors-origin %s: not an origin, like https://app.example:8443 without a "
                      "path, nor null or " CORS_ANY,
                      origin);
    if ((strncasecmp(origin, "http://", 7) == 0 && cors_ends(origin, ":80")) ||
        (strncasecmp(origin, "https://", 8) == 0 && cors_ends(origin, ":443")))
        return refuse(reason,
                      "--cors-origin %s: browsers leave the usual port out, and compare letter by "
                      "letter: write it without",
                      origin);
    return 0;
}

static int cors_add(struct cors *cors, const char *origin, char reason[CLI_REASON_BYTES])
{
    const bool is_any = strcmp(origin, CORS_ANY) == 0;
    int rc = cors_origin_check(origin, reason);
    if (rc < 0)
        return rc;
    char *text = strdup(origin), **lines = &cors->lines[cors->count];
    cors->origins[cors->count] = text;
    /* Browsers write it in small letters, and want to read exactly that again. */
    for (char *at = text; at && *at != '\0'; at++)
        *at = (char)tolower((unsigned char)*at);
    if (!text || asprintf(lines, "Access-Control-Allow-Origin: %s\r\n%s" CORS_EXPOSE, text,
                          is_any ? "" : CORS_VARY) == -1) {
        *lines = NULL;
        snprintf(reason, CLI_REASON_BYTES, "no memory");
        return -ENOMEM;
    }
    cors->is_any = cors->is_any || is_any;
    cors->count++;
    return 0;
}

static bool cors_ends(const char *text, const char *end)
{
    size_t bytes = strlen(text), end_bytes = strlen(end);
    return bytes >= end_bytes && strcmp(text + bytes - end_bytes, end) == 0;
}
