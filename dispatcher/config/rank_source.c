/* SPDX-License-Identifier: MIT */
/* rank_source.c - what is said of tenants and affinity. */
#include "dispatcher/config/rank_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/config/refuse.h"

#define HEADER_WORD "header "
#define PREFIX_WORD "prefix "

const char *rank_header_of(const char *text)
{
    if (strncmp(text, HEADER_WORD, strlen(HEADER_WORD)) != 0)
        return NULL;
    const char *name = text + strlen(HEADER_WORD);
    size_t bytes = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
    return bytes > 0 && bytes <= RANK_HEADER_BYTES_MAX && name[bytes] == '\0' ? name : NULL;
}

/* 0: it is none. */
static uint32_t rank_prefix_of(const char *text)
{
    if (strncmp(text, PREFIX_WORD, strlen(PREFIX_WORD)) != 0)
        return 0;
    const char *number = text + strlen(PREFIX_WORD);
    size_t digits = strspn(number, "0123456789");
    unsigned long bytes = digits > 0 && digits <= 5 ? strtoul(number, NULL, 10) : 0;
    return number[digits] == '\0' && bytes <= RANK_PREFIX_BYTES_MAX ? (uint32_t)bytes : 0;
}

int rank_source_read(const char *text, struct rank_source *out)
{
    uint32_t prefix_bytes = rank_prefix_of(text);
    enum rank_source_kind kind = RANK_BY_NOTHING;
    if (strcmp(text, "token") == 0)
        kind = RANK_BY_TOKEN;
    else if (strcmp(text, "field") == 0)
        kind = RANK_BY_FIELD;
    else if (rank_header_of(text))
        kind = RANK_BY_HEADER;
    else if (prefix_bytes > 0)
        kind = RANK_BY_PREFIX;
    else if (strcmp(text, "none") != 0)
        return -EINVAL;
    *out = (struct rank_source){.kind = kind, .prefix_bytes = prefix_bytes};
    return 0;
}

int rank_tenant_check(const char *text, char reason[CLI_REASON_BYTES])
{
    struct rank_source by;
    if (rank_source_read(text, &by) == 0 && by.kind != RANK_BY_NOTHING && by.kind != RANK_BY_PREFIX)
        return 0;
    return refuse(reason,
                  "--tenant '%.80s' is not token, field, nor the name of a header, like header "
                  "X-Tenant (of %u letters at most)",
                  text, RANK_HEADER_BYTES_MAX);
}

int rank_affinity_check(const char *text, char reason[CLI_REASON_BYTES])
{
    struct rank_source by;
    if (rank_source_read(text, &by) == 0 && by.kind != RANK_BY_TOKEN)
        return 0;
    return refuse(reason,
                  "--affinity '%.80s' is not none, field, the name of a header, like header "
                  "X-Session (of %u letters at most), nor a prefix, like prefix 1024 (1 to %u)",
                  text, RANK_HEADER_BYTES_MAX, RANK_PREFIX_BYTES_MAX);
}

/* Names are the operator's, so any hash does that keeps them apart: FNV-1a. */
uint64_t rank_header_name(const char *lower_case)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; lower_case[i] != '\0'; i++)
        hash = (hash ^ (uint8_t)lower_case[i]) * UINT64_C(0x100000001b3);
    return hash;
}
