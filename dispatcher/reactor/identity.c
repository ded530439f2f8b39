/* SPDX-License-Identifier: MIT */
/* identity.c - random ids. */
#include "dispatcher/reactor/identity.h"

#include <endian.h>
#include <string.h>

#include <sodium.h>

static uint64_t identity_eight_digits(const uint8_t four[4]);

void identity_hex(struct identity *identity, char out[IDENTITY_HEX_BYTES])
{
    if (identity->left < 16) {
        randombytes_buf(identity->bytes, sizeof(identity->bytes));
        identity->left = sizeof(identity->bytes);
    }
    identity->left -= 16;
    /* Not sodium_bin2hex(), which takes three times as long to hide what whoever asked is told. */
    for (size_t i = 0; i < 16; i += 4) {
        uint64_t text = identity_eight_digits(identity->bytes + identity->left + i);
        memcpy(out + 2 * i, &text, sizeof text);
    }
    out[32] = '\0';
    sodium_memzero(identity->bytes + identity->left, 16);
}

/* Of four bytes, as they lie in memory, all at once: half a byte in each, then its digit. */
static uint64_t identity_eight_digits(const uint8_t four[4])
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint32_t bytes;
    memcpy(&bytes, four, sizeof bytes);
    uint64_t twos = le32toh(bytes);
    twos = (twos | twos << 16) & UINT64_C(0x0000ffff0000ffff);
    twos = (twos | twos << 8) & UINT64_C(0x00ff00ff00ff00ff);
    uint64_t halves = (twos >> 4 | twos << 8) & 0x0f * ones;
    uint64_t letters = (halves + 6 * ones) >> 4 & ones;
    return htole64(halves + '0' * ones + letters * ('a' - '0' - 10));
}
