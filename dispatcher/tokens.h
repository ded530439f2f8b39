/* SPDX-License-Identifier: MIT */
/*
 * tokens.h - who may call: the token file, and the comparison in constant time.
 *
 * The file holds `name:sha256-of-token` a line (64 hex digits), blank lines and lines that begin with
 * '#'. Only hashes are ever in memory; neither tokens nor hashes are logged or given to a worker.
 */
#ifndef DISPATCHER_TOKENS_H
#define DISPATCHER_TOKENS_H

#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"

struct token_entry {
    char *name;
    uint8_t hash[32];
};

/* Owned by the config. Zero is "no tokens". */
struct tokens {
    struct token_entry *entries;
    size_t count;
};

/* Reads the file. 0; -errno; or -EINVAL with the reason ("line 3: ...") in `reason`. */
int tokens_load(struct tokens *out, const char *path, char *reason, size_t reason_bytes) MUST_USE;

/* The name of the entry whose hash is that of `token`, NULL when none is. Takes the same time
 * whichever entry matches. */
const char *tokens_find(const struct tokens *tokens, const char *token, size_t count);

void tokens_finish(struct tokens *tokens);

#endif
