/* SPDX-License-Identifier: MIT */
/* identity.c - random ids. */
#include "dispatcher/reactor/identity.h"

#include <sodium.h>

void identity_hex(struct identity *identity, char out[IDENTITY_HEX_BYTES])
{
    if (identity->left < 16) {
        randombytes_buf(identity->bytes, sizeof(identity->bytes));
        identity->left = sizeof(identity->bytes);
    }
    identity->left -= 16;
    sodium_bin2hex(out, IDENTITY_HEX_BYTES, identity->bytes + identity->left, 16);
    sodium_memzero(identity->bytes + identity->left, 16);
}
