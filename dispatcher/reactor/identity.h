/* SPDX-License-Identifier: MIT */
/*
 * identity.h - random ids, from randomness fetched a page at a time.
 */
#ifndef DISPATCHER_IDENTITY_H
#define DISPATCHER_IDENTITY_H

#include <stddef.h>
#include <stdint.h>

#define IDENTITY_HEX_BYTES 33u /* 32 digits and the NUL */
#define RUN_ID_BYTES 37u       /* "run_", 32 digits and the NUL */

/* Owned by the loop; zero is empty. Bytes are wiped as they are used. */
struct identity {
    uint8_t bytes[4096];
    size_t left;
};

/* 128 random bits as hex digits. */
void identity_hex(struct identity *identity, char out[IDENTITY_HEX_BYTES]);

#endif
