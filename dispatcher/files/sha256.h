/* SPDX-License-Identifier: MIT */
/*
 * sha256.h - SHA-256, by the library that is quickest here.
 *
 * OpenSSL's libcrypto uses what the processor has for it, and is loaded if it is there; libsodium,
 * which always is, does not.
 */
#ifndef DISPATCHER_SHA256_H
#define DISPATCHER_SHA256_H

#include <stddef.h>

#define SHA256_BYTES 32u
#define SHA256_HEX_BYTES 65u /* 64 digits and the NUL */

/* A hash on its way; as large as the larger one of both. */
struct sha256 {
    _Alignas(8) unsigned char state[112];
};

/* Chooses, before there is a hash on its way. Returns the library's name. */
const char *sha256_open(void);

void sha256_init(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *bytes, size_t count);

/* Its digits; it is of no use afterwards. */
void sha256_finish(struct sha256 *hash, char out[SHA256_HEX_BYTES]);

#endif
