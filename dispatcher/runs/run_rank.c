/* SPDX-License-Identifier: MIT */
/* run_rank.c - SipHash-2-4 of what tenants and keys are called. */
#include "dispatcher/runs/run_rank.h"

#include <errno.h>
#include <sodium.h>

#include "dispatcher/text/packed.h"

_Static_assert(RANK_SECRET_BYTES == crypto_shorthash_KEYBYTES, "SipHash");

int rank_secret_make(struct rank_secret *out)
{
    if (sodium_init() == -1)
        return -EIO;
    randombytes_buf(out->bytes, sizeof out->bytes);
    return 0;
}

uint64_t rank_hash(const struct rank_secret *secret, const void *bytes, size_t count)
{
    uint64_t hash;
    _Static_assert(sizeof hash == crypto_shorthash_BYTES, "SipHash");
    crypto_shorthash((unsigned char *)&hash, bytes, count, secret->bytes);
    return hash > 0 ? hash : 1;
}

/* The text is longer than what is at hand: its header is enough, if its beginning is there. */
static const uint8_t *prefix_text(const uint8_t *in, const uint8_t *end, uint64_t *count)
{
    if (in == end)
        return NULL;
    if (*in >= 0xa0 && *in < 0xc0) {
        *count = *in & 0x1f;
        return in + 1;
    }
    unsigned bytes = *in == 0xd9 ? 1 : *in == 0xda ? 2 : *in == 0xdb ? 4 : 0;
    if (bytes == 0 || (size_t)(end - in) < 1 + bytes)
        return NULL;
    *count = packed_number(in + 1, bytes);
    return in + 1 + bytes;
}

uint64_t rank_hash_prefix(const struct rank_secret *secret, const uint8_t *payload, size_t count,
                          uint32_t prefix_bytes)
{
    const uint8_t *end = payload + count;
    struct packed_item item;
    const uint8_t *in = packed_read_kind(payload, end, PACKED_ARRAY, &item);
    in = packed_read_kind(in, end, PACKED_STRING, &item);
    if (!in || in == end)
        return 0;
    /* Of the inputs' array only the header is looked at: its items may not all be at hand. */
    uint32_t header = *in >= 0x90 && *in < 0xa0 ? 1 : *in == 0xdc ? 3 : *in == 0xdd ? 5 : 0;
    if (header == 0 || (size_t)(end - in) < header)
        return 0;
    for (in += header; in && in < end; in = packed_skip(in, end)) {
        uint64_t text_bytes;
        const uint8_t *text = prefix_text(in, end, &text_bytes);
        if (!text)
            continue;
        if (text_bytes > prefix_bytes)
            text_bytes = prefix_bytes;
        return text_bytes <= (size_t)(end - text) ? rank_hash(secret, text, text_bytes) : 0;
    }
    return 0;
}
