/* SPDX-License-Identifier: MIT */
/* identity.c - random ids. */
#include "dispatcher/reactor/identity.h"

#include <sodium.h>

void identity_hex(struct identity *identity, char out[IDENTITY_HEX_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    if (identity->left < 16) {
        randombytes_buf(identity->bytes, sizeof(identity->bytes));
        identity->left = sizeof(identity->bytes);
    }
    identity->left -= 16;
    /* Not sodium_bin2hex(), which takes three times as long to hide what whoever asked is told. */
    for (size_t i = 0; i < 16; i++) {
        uint8_t byte = identity->bytes[identity->left + i];
        out[2 * i] = digits[byte >> 4];
        out[2 * i + 1] = digits[byte & 0x0f];
    }
    out[32] = '\0';
    sodium_memzero(identity->bytes + identity->left, 16);
}
