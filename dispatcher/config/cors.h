/* SPDX-License-Identifier: MIT */
/*
 * cors.h - which web pages may read answers (Fetch, 3.2), as the lines that heads of answers have.
 *
 * Made once, from --cors-origin, so that a request costs a search for its origin and nothing else.
 * Credentials in the sense of Fetch (cookies, certificates) are never allowed: there are none, and
 * a token is a header that a page has to set itself.
 */
#ifndef DISPATCHER_CORS_H
#define DISPATCHER_CORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/config/cli.h"
#include "millrace/check.h"

#define CORS_ORIGIN_COUNT_MAX 64u
#define CORS_ANY "*"

/* All zero: no page may, and no answer says a word of it. */
struct cors {
    uint32_t count;                       /* of `lines` */
    char *lines[CORS_ORIGIN_COUNT_MAX];   /* owned; for the page of this origin, with their CRLFs */
    char *origins[CORS_ORIGIN_COUNT_MAX]; /* owned; as browsers write them */
    bool is_any;                          /* the only line is for every page */
};

/* From what --cors-origin said. -EINVAL: not an origin as browsers write it, or the word for all of
 * them and others beside it; -ENOMEM; with `reason`. cors_finish() in any case. */
int cors_init(struct cors *cors, const struct cli_list *list,
              char reason[CLI_REASON_BYTES]) MUST_USE;
void cors_finish(struct cors *cors);

/* Whether it can be one of the list. -EINVAL with `reason`. */
int cors_origin_check(const char *origin, char reason[CLI_REASON_BYTES]) MUST_USE;

/* Whether pages that anybody can make are among those that may. */
bool cors_is_open(const struct cors *cors);

/* A page of this origin, the value of its header: 1 and more, for cors_lines(); 0: it may not. */
uint32_t cors_find(const struct cors *cors, const char *origin, size_t bytes);

/* The lines of an answer to whoever was found; 0 is who may not, or is no page. */
const char *cors_lines(const struct cors *cors, uint32_t found);

#endif
