/* SPDX-License-Identifier: MIT */
/* source_digest.h - what the file of a pipeline has in it, as a few bytes to compare. */
#ifndef DISPATCHER_SOURCE_DIGEST_H
#define DISPATCHER_SOURCE_DIGEST_H

#include <stdint.h>

#include "millrace/check.h"

/* Owned by the configuration of its pipeline. All zero: nothing is known. */
struct source_digest {
    uint8_t bytes[32];
};

/* Reads the whole file, and waits for it. 0, or -errno and `out` is all zero. */
int source_digest_take(struct source_digest *out, const char *path) MUST_USE;

#endif
