/* SPDX-License-Identifier: MIT */
/*
 * rank_source.h - where a request says what its run is scheduled by: whose it is (--tenant), and
 * what it would find again on a worker (--affinity).
 */
#ifndef DISPATCHER_RANK_SOURCE_H
#define DISPATCHER_RANK_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "dispatcher/config/cli.h"
#include "millrace/check.h"

#define RANK_HEADER_COUNT_MAX 4u /* different ones, of all pipelines */
#define RANK_HEADER_BYTES_MAX 64u
#define RANK_PREFIX_BYTES_MAX 65536u

enum rank_source_kind {
    RANK_BY_NOTHING = 0,
    RANK_BY_TOKEN,  /* the name of its token */
    RANK_BY_FIELD,  /* a member of "scheduling" in its body */
    RANK_BY_HEADER, /* the value of a header */
    RANK_BY_PREFIX, /* the beginning of its first input that is text */
};

struct rank_source {
    enum rank_source_kind kind;
    uint64_t header;       /* RANK_BY_HEADER: rank_header_name() of it */
    uint32_t prefix_bytes; /* RANK_BY_PREFIX */
};

/* A header that some pipeline looks at. */
struct rank_header {
    const char *text; /* in lower case; memory of the configuration */
    uint64_t name;
};

struct rank_headers {
    struct rank_header items[RANK_HEADER_COUNT_MAX];
    uint32_t count;
};

/* Whether "token", "field" or "header NAME" is said; and for affinity "none", "field", "header
 * NAME" or "prefix BYTES". 0 or -EINVAL with one line in `reason`. */
int rank_tenant_check(const char *text, char reason[CLI_REASON_BYTES]) MUST_USE;
int rank_affinity_check(const char *text, char reason[CLI_REASON_BYTES]) MUST_USE;

/* What such a text says, but for the header. 0 or -EINVAL: it says nothing of the kind. */
int rank_source_read(const char *text, struct rank_source *out) MUST_USE;

/* The name of the header that such a text says; NULL: it says none. */
const char *rank_header_of(const char *text);

/* By which a header is known. */
uint64_t rank_header_name(const char *lower_case);

#endif
