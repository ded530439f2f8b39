/* SPDX-License-Identifier: MIT */
/* run_class.h - classes of runs: 0, which goes first, to 9; two of them have words. */
#ifndef DISPATCHER_RUN_CLASS_H
#define DISPATCHER_RUN_CLASS_H

#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"

#define RUN_CLASS_COUNT 10u
#define RUN_CLASS_INTERACTIVE 2u
#define RUN_CLASS_BATCH 7u
#define RUN_CLASS_USUAL RUN_CLASS_INTERACTIVE
#define RUN_CLASS_NONE 255u /* nothing is said */

/* "interactive", "batch" or a digit. 0 or -EINVAL. */
int run_class_read(const char *text, size_t bytes, uint32_t *out) MUST_USE;

/* "interactive", "batch", or the digit. */
const char *run_class_name(uint32_t class);

#endif
