/* SPDX-License-Identifier: MIT */
/*
 * size_text.h - bytes as people read them: 12.0 GiB.
 */
#ifndef DISPATCHER_SIZE_TEXT_H
#define DISPATCHER_SIZE_TEXT_H

#include <stdint.h>

#define SIZE_TEXT_BYTES 24u

/* In GiB from one on, else in MiB, with one digit behind the point. */
void size_text(char out[SIZE_TEXT_BYTES], uint64_t bytes);

#endif
