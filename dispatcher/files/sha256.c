/* SPDX-License-Identifier: MIT */
/* sha256.c - one of two libraries, behind the same three functions. */
#include "dispatcher/files/sha256.h"

#include <stddef.h>

#include <sodium.h>

#include "dispatcher/reactor/library.h"
#include "millrace/check.h"

/* Its interface is that of every 3.x, with its SHA256_CTX of 112 bytes. The newer one (EVP) reads
 * OpenSSL's configuration, and allocates for each hash. */
#define LIBRARY_CRYPTO "libcrypto.so.3"

_Static_assert(sizeof(crypto_hash_sha256_state) <= sizeof(struct sha256), "it has room");
_Static_assert(crypto_hash_sha256_BYTES == SHA256_BYTES, "a hash");

struct sha256_functions {
    int (*init)(void *state);
    int (*add)(void *state, const void *bytes, size_t count);
    int (*finish)(unsigned char *hash, void *state);
};

static int sha256_sodium_init(void *state)
{
    return crypto_hash_sha256_init(state);
}

static int sha256_sodium_add(void *state, const void *bytes, size_t count)
{
    return crypto_hash_sha256_update(state, bytes, count);
}

static int sha256_sodium_finish(unsigned char *hash, void *state)
{
    return crypto_hash_sha256_final(state, hash);
}

static const struct library_function names[] = {
    {"SHA256_Init", offsetof(struct sha256_functions, init)},
    {"SHA256_Update", offsetof(struct sha256_functions, add)},
    {"SHA256_Final", offsetof(struct sha256_functions, finish)},
};

/* Those that are used; read by threads, and written before there are any. */
static struct sha256_functions functions = {sha256_sodium_init, sha256_sodium_add,
                                            sha256_sodium_finish};

const char *sha256_open(void)
{
    struct sha256_functions found;
    if (library_load(LIBRARY_CRYPTO, names, ARRAY_COUNT(names), &found))
        return "libsodium";
    functions = found;
    return "libcrypto";
}

void sha256_init(struct sha256 *hash)
{
    functions.init(hash->state);
}

void sha256_add(struct sha256 *hash, const void *bytes, size_t count)
{
    functions.add(hash->state, bytes, count);
}

void sha256_finish(struct sha256 *hash, char out[SHA256_HEX_BYTES])
{
    unsigned char bytes[SHA256_BYTES];
    functions.finish(bytes, hash->state);
    sodium_bin2hex(out, SHA256_HEX_BYTES, bytes, sizeof bytes);
}
