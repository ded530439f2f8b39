/* SPDX-License-Identifier: MIT */
/*
 * tokens.h - who may call: the token file, and the comparison in constant time.
 *
 * The file holds `name:sha256-of-token` a line (64 hex digits), blank lines and lines that begin
 * with '#'. Only hashes are ever in memory; neither tokens nor hashes are logged or given to a
 * worker.
 */
#ifndef DISPATCHER_TOKENS_H
#define DISPATCHER_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"

#define TOKEN_COUNT_MAX 1024u
#define TOKEN_FILE_BYTES_MAX (256u * 1024)
#define TOKEN_NAME_BYTES_MAX 64u

#define TOKEN_BYTES 47u      /* "mr_", 43 characters of base64url, and the NUL */
#define TOKEN_HASH_BYTES 65u /* 64 hex digits and the NUL */

struct token_entry {
    char *name;
    uint8_t hash[32];
    uint32_t class; /* the best that its runs may have, see token_class.h */
};

/* Owned by the config. Zero is "no tokens". No two entries have one name or one hash. */
struct tokens {
    struct token_entry *entries;
    size_t count;
};

/* Reads the file. 0; -errno; or -EINVAL with the reason ("line 3: ...") in `reason`. A file without
 * a single token is -EINVAL: "no tokens" would mean that everyone may. */
int tokens_load(struct tokens *out, const char *path, char *reason, size_t reason_bytes) MUST_USE;

/* The entry whose hash is that of `token`, NULL when none is. Takes the same time whichever entry
 * matches. */
const struct token_entry *tokens_find(const struct tokens *tokens, const char *token, size_t count);

/* Those that were read anew, of which each that has a name of `now` gets that one's place: places
 * stand for owners (owner.h). A name that is no more keeps its place and class, with a hash that no
 * token has. 0; -ENOMEM; -ENOSPC: there would be more than TOKEN_COUNT_MAX; then nothing has
 * changed. */
int tokens_follow(struct tokens *next, const struct tokens *now) MUST_USE;

void tokens_finish(struct tokens *tokens);

/* True when `name` is 1 to TOKEN_NAME_BYTES_MAX letters, digits and "._@-". */
bool token_name_is_valid(const char *name);

/* SHA-256 of any text as hex digits: of tokens, and of pointers for their ids. */
void token_hash(const char *text, size_t bytes, char hash[TOKEN_HASH_BYTES]);

/* Makes a token of 256 random bits, and the hash that stands for it in the file. 0 or -EIO (no
 * randomness can be had). */
int token_create(char token[TOKEN_BYTES], char hash[TOKEN_HASH_BYTES]) MUST_USE;

/* Appends `name:hash` to the file, which is created for its owner alone when it is missing, and
 * waits until it is on the disk. Two of these at once do not disturb each other. 0; -EEXIST when
 * the file has the name already; -EINVAL with the reason when it is no token file; -errno. */
int tokens_append(const char *path, const char *name, const char *hash, char *reason,
                  size_t reason_bytes) MUST_USE;

#endif
